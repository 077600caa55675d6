"""Shards: ragged sequences of integers with a label, all that a model ever reads.

A folder holds Arrow IPC files of at most `ROWS` rows each, `train-00000-of-00002.arrow` and so on, and a
`manifest.json` with what they hold and the digests that tie them to the clean data and the archive. A file is one
record batch of `label: int32` and `codes: list<uint8>` (characters) or `list<int32>` (words), uncompressed, so that
opening it is a memory map. Index 0 is "no symbol", an all-zero column; sequences end with their last other index.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crepe.errors import CrepeError
from crepe.files import digest, read_json, replacing, write_json

ROWS = 500_000
SPLITS = ("train", "test")
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.parquet"


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of integers of any length: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    """uint8 or int32 [total]."""
    offsets: np.ndarray
    """int64 [rows + 1], starts at 0."""
    labels: np.ndarray
    """int32 [rows], classes from 0."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """int64 [rows]."""
        return np.diff(self.offsets)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a split."""

    file: str
    rows: int
    values: int
    """Integers in all rows together."""
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a folder of shards holds."""

    dataset: str
    feature: str
    dtype: str
    """`uint8` or `int32`."""
    symbols: int
    """Largest index that can occur."""
    length: int | None
    """Columns that a text is cut to; None where texts stay whole."""
    source: str
    """sha256 of the alphabet, or of vocabulary.parquet."""
    classes: list[str]
    rows: dict[str, int]
    """Rows of `train` and `test`."""
    archive: str
    """sha256 of the archive that the data came in."""
    clean: dict[str, str]
    """sha256 of the clean Parquet files of `train` and `test`."""
    shards: dict[str, list[Shard]] = field(default_factory=dict)

    def write(self, folder: Path | str) -> None:
        """Write `manifest.json`, the last file of a folder to appear."""
        write_json(Path(folder) / MANIFEST, asdict(self))

    @classmethod
    def read(cls, folder: Path | str) -> "Manifest":
        """Read a folder's manifest.

        Raises:
            CrepeError: it is missing, no JSON, or lacks a key.
        """
        path = Path(folder) / MANIFEST
        content: Any = read_json(path)
        try:
            content["shards"] = {name: [Shard(**shard) for shard in parts] for name, parts in content["shards"].items()}
            return cls(**content)
        except (TypeError, KeyError, AttributeError) as error:
            raise CrepeError(f"{path}: is not a manifest of shards ({error}); run `crepe encode` again") from error


def names(split: str, rows: int) -> list[str]:
    """File names of a split of `rows` rows."""
    count = max(1, -(-rows // ROWS))
    return [f"{split}-{index:05d}-of-{count:05d}.arrow" for index in range(count)]


def write(path: Path | str, part: Ragged) -> Shard:
    """Write one shard file, whole or not at all."""
    path = Path(path)
    value_type = pa.from_numpy_dtype(part.values.dtype)
    codes = pa.ListArray.from_arrays(pa.array(part.offsets.astype(np.int32)), pa.array(part.values, type=value_type))
    table = pa.table({"label": pa.array(part.labels, type=pa.int32()), "codes": codes})
    with replacing(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
        sha256 = digest(temporary)
    return Shard(path.name, len(part), len(part.values), sha256)


def read(folder: Path | str, split: str, manifest: Manifest | None = None) -> Ragged:
    """Read a split whole, after comparing each file with the digest in the manifest.

    Raises:
        CrepeError: a file is missing, damaged, or not the one the manifest speaks of.
    """
    folder = Path(folder)
    manifest = manifest or Manifest.read(folder)
    parts = [_read(folder / shard.file, shard) for shard in manifest.shards[split]]
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.values) for part in parts)])
    offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
    return Ragged(
        np.concatenate([part.values for part in parts]),
        np.concatenate([[0], *offsets]),
        np.concatenate([part.labels for part in parts]),
    )


def ragged(rows: Iterable[np.ndarray], labels: np.ndarray | None = None, dtype: str = "uint8") -> Ragged:
    """Rows in memory as one `Ragged`; labels are 0 where there are none."""
    parts = [np.asarray(row, dtype=dtype) for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
    values = np.concatenate(parts) if parts else np.empty(0, dtype)
    return Ragged(values, offsets, np.zeros(len(parts), np.int32) if labels is None else labels)


def _read(path: Path, shard: Shard) -> Ragged:
    again = "run `crepe encode` again"
    if digest(path) != shard.sha256:
        raise CrepeError(f"{path}: is not the file its manifest speaks of (sha256 differs); {again}")
    try:
        with pa.memory_map(str(path)) as stream:
            table = pa.ipc.open_file(stream).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise CrepeError(f"{path}: is not an Arrow file ({error}); {again}") from error
    codes = table["codes"].combine_chunks()
    return Ragged(
        codes.values.to_numpy(zero_copy_only=True),
        codes.offsets.to_numpy(zero_copy_only=True).astype(np.int64),
        table["label"].combine_chunks().to_numpy(zero_copy_only=True),
    )
