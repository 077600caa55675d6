"""Read and write shards: files of ragged sequences of codes with a label, the input of all models.

A folder holds Arrow IPC files of at most `ROWS` rows each, `train-00000-of-00002.arrow` and so on, and a
`manifest.json` with what they hold and the digests that tie them to the clean data and the archive. A file has record
batches of `label: int32` and `codes: large_list<uint8>` (characters) or `large_list<int32>` (the rest), not compressed.
Code 0 is "no symbol", an all-zero column; sequences end with their last other code.

Where train texts are to get synonyms (`crepe.training.augmentation`), their rows are whole, neither cut to a length nor
at their last other code, and two more splits in files of the same form go with them. `spots` has a row for each train
row: for each word that can be replaced, where it begins in the row and the number of its entry in the thesaurus,
`large_list<int32>`. `synonyms` has the entries, one behind the other: a row of the word itself, then one for each
synonym by rank; the label is the number of the entry.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.files import check, digest, read_json, replacing, write_json
from crepe.io.section import Section, one_of
from crepe.ragged import Ragged

ROWS = 500_000
SPLITS = ("train", "test")
SPOTS, SYNONYMS = "spots", "synonyms"
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.parquet"

_AGAIN = "run `crepe encode` again"


@dataclass(frozen=True, slots=True)
class Shard(Section):
    """A file of a split."""

    file: str
    rows: int
    values: int
    """Number of codes in all rows."""
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest(Section):
    """Content of a folder of shards: checksums and counts, and the data that the shards were made of."""

    dataset: str
    feature: str
    dtype: str
    """`uint8` or `int32`."""
    symbols: int
    """Largest code that can occur, `vocab_size` of a network's inputs."""
    length: int | None
    """Number of codes that a text is cut to; None if texts stay whole. With a thesaurus, train rows are cut when
    they are drawn."""
    source: str
    """sha256 of the alphabet, or of vocabulary.parquet."""
    classes: list[str]
    rows: dict[str, int]
    """Rows of `train` and `test`."""
    archive: str
    """sha256 of the archive that the data came in."""
    clean: dict[str, str]
    """sha256 of the clean Parquet files of `train` and `test`."""
    thesaurus: str | None = None
    """sha256 of the thesaurus that synonyms come from; None, and not in the file, where there are none."""
    shards: dict[str, list[Shard]] = field(default_factory=dict)

    def write(self, folder: Path | str) -> None:
        """Write `manifest.json`, the last file of a folder to appear."""
        content = self.as_dict()
        if self.thesaurus is None:
            del content["thesaurus"]
        write_json(Path(folder) / MANIFEST, content)

    @classmethod
    def read(cls, folder: Path | str) -> "Manifest":
        """Read a folder's manifest.

        Raises:
            CrepeError: it is missing, damaged, or lacks a key.
        """
        path = Path(folder) / MANIFEST
        content = read_json(path, _AGAIN)
        try:
            manifest = cls.parse(content, source="manifest")
            one_of(manifest, "dtype", ("uint8", "int32"))
            found = {split: sum(shard.rows for shard in parts) for split, parts in manifest.shards.items()}
            rows = {split: manifest.rows[split] for split in SPLITS}
            if manifest.thesaurus:
                rows |= {SPOTS: rows["train"], SYNONYMS: found[SYNONYMS]}
            for split, count in rows.items():
                if found[split] != count:
                    raise ValueError(f"the shards of {split} do not add up to its rows")
        except (CrepeError, ValueError, KeyError) as error:
            fault = f"{error.subject}: {error.fault}" if isinstance(error, CrepeError) else error
            raise CrepeError(path, f"is not a manifest of shards ({fault})", _AGAIN) from error
        return manifest


def names(split: str, rows: int) -> list[str]:
    """Return the file names of a split of `rows` rows."""
    count = max(1, -(-rows // ROWS))
    return [f"{split}-{index:05d}-of-{count:05d}.arrow" for index in range(count)]


def write(path: Path | str, parts: Ragged | Iterable[Ragged]) -> Shard:
    """Write a shard file, whole or not at all; each part becomes a record batch."""
    path = Path(path)
    rows = values = 0
    with replacing(path) as temporary:
        with ExitStack() as stack:
            writer = None
            for part in [parts] if isinstance(parts, Ragged) else parts:
                codes = pa.LargeListArray.from_arrays(pa.array(part.offsets, pa.int64()), pa.array(part.values))
                batch = pa.record_batch({"label": pa.array(part.labels, pa.int32()), "codes": codes})
                writer = writer or stack.enter_context(pa.ipc.new_file(str(temporary), batch.schema))
                writer.write_batch(batch)
                rows, values = rows + len(part), values + len(part.values)
        sha256 = digest(temporary)
    return Shard(path.name, rows, values, sha256)


def read(folder: Path | str, split: str, manifest: Manifest | None = None) -> Ragged:
    """Read a split whole, after comparing each file with the digest in the manifest.

    Raises:
        CrepeError: a file is missing, damaged, or not the one the manifest speaks of.
    """
    folder, manifest = Path(folder), manifest or Manifest.read(folder)
    parts, dtype = manifest.shards[split], "int32" if split == SPOTS else manifest.dtype
    batches = [batch for shard in parts for batch in _batches(folder / shard.file, shard, dtype)]
    # What the files hold by now, not what something claims.
    values = np.empty(sum(len(batch["codes"].values) for batch in batches), dtype)
    offsets = np.zeros(sum(map(len, batches)) + 1, np.int64)
    labels = np.empty(len(offsets) - 1, np.int32)
    row = value = 0
    while batches:
        # A file is unmapped when its last batch is copied.
        batch = batches.pop(0)
        codes, stop = batch["codes"], row + len(batch)
        # `to_numpy` imports pandas, where there is one.
        labels[row:stop] = np.from_dlpack(batch["label"])
        offsets[row + 1 : stop + 1] = np.from_dlpack(codes.offsets)[1:] + value
        values[value : offsets[stop]] = np.from_dlpack(codes.values)
        row, value = stop, int(offsets[stop])
    if split in SPLITS:
        _check_range(folder, f"{split}: a class", labels, len(manifest.classes) - 1)
        _check_range(folder, f"{split}: a code", values, manifest.symbols)
    return Ragged(values, offsets, labels)


def read_vocabulary(folder: Path | str, manifest: Manifest) -> pa.Table:
    """The vocabulary of a folder of words or n-grams: `word`, `count`, `rows`; line i has code i + 1.

    Raises:
        CrepeError: it is missing, or not the one the manifest speaks of.
    """
    path = Path(folder) / VOCABULARY
    check(path, manifest.source, MANIFEST, _AGAIN)
    # `pq.read_table` imports pandas, where there is one.
    with pq.ParquetFile(path) as file:
        return file.read()


def _batches(path: Path, shard: Shard, dtype: str) -> list[pa.RecordBatch]:
    """The record batches of a file, which stay where they are; they are as this module writes them."""
    check(path, shard.sha256, MANIFEST, _AGAIN)
    schema = pa.schema({"label": pa.int32(), "codes": pa.large_list(pa.type_for_alias(dtype))})
    try:
        with pa.memory_map(str(path)) as stream, pa.ipc.open_file(stream) as reader:
            batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        if reader.schema != schema:
            raise ValueError("its columns are others")
        for batch in batches:
            batch.validate(full=True)
            label, codes = batch.columns
            ends = codes.offsets[0].as_py(), codes.offsets[-1].as_py()
            if label.null_count or codes.null_count or codes.values.null_count or ends != (0, len(codes.values)):
                raise ValueError("it has holes")
        if (sum(map(len, batches)), sum(len(batch["codes"].values) for batch in batches)) != (shard.rows, shard.values):
            raise ValueError("it has other numbers of rows and values than the manifest says")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CrepeError(path, f"is not an Arrow file of shards ({error})", _AGAIN) from error
    return batches


def _check_range(folder: Path | str, what: str, numbers: np.ndarray, most: int) -> None:
    low, high = numbers.min(initial=0), numbers.max(initial=0)
    if low < 0 or high > most:
        raise CrepeError(folder, f"{what} is not among 0 to {most}, as {MANIFEST} says", _AGAIN)
