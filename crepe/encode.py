"""Turn clean text into shards of integers: a feature's manifest, Arrow files and, for words, the vocabulary.

Rows are read, encoded and written some thousands at a time, however many there are. The manifest is taken away first
and written last: a folder that has one is whole.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crepe import alphabet, config, shards, words
from crepe.config import Feature
from crepe.errors import CrepeError
from crepe.files import digest, read_json, replacing
from crepe.progress import Meter, meter
from crepe.shards import Manifest, Ragged

BATCH = 10_000
"""Rows encoded at a time; few enough that they stay in the processor's cache."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of the dataset")
    parser.add_argument("feature", help="key of the feature")
    parser.add_argument("--clean", type=Path, help="default: data/clean/DATASET")
    parser.add_argument("--output", type=Path, help="default: data/shards/FEATURE/DATASET")
    parser.add_argument("--config", metavar="OVERLAY", help="file or JSON text laid over the configuration")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    key, feature = options.dataset, options.feature
    encode(
        key,
        feature,
        config.load(options.config).feature(feature),
        options.clean or Path("data/clean") / key,
        options.output or Path("data/shards") / feature / key,
    )


def encode(key: str, name: str, feature: Feature, clean: Path, output: Path) -> Manifest:
    """Write a feature's shards of a dataset.

    Args:
        key: the dataset's key.
        name: the feature's key.
        feature: how text becomes integers.
        clean: the folder that `crepe clean` wrote.
        output: a folder. Shards in it that the new manifest does not name are removed.

    Returns:
        The manifest, as written.

    Raises:
        CrepeError: the clean files are missing, damaged or another dataset's, or the folder cannot be written.
    """
    facts = _facts(key, clean)
    coder = {"characters": _characters, "words": _words}[feature.kind](feature, clean / "train.parquet")
    manifest = Manifest(
        dataset=key,
        feature=name,
        dtype=coder.dtype,
        symbols=coder.symbols,
        length=feature.length,
        source=coder.source,
        classes=facts["classes"],
        rows=facts["rows"],
        archive=facts["archive"],
        clean=facts["sha256"],
    )
    _remove(output / shards.MANIFEST)
    if coder.vocabulary:
        with replacing(output / shards.VOCABULARY) as path:
            path.write_bytes(coder.vocabulary)
    for split in shards.SPLITS:
        rows = pl.scan_parquet(clean / f"{split}.parquet", glob=False)
        with meter(f"{key}: {split} {name}", manifest.rows[split], "rows") as done:
            for index, file in enumerate(shards.names(split, manifest.rows[split])):
                parts = _parts(rows.slice(index * shards.ROWS, shards.ROWS), coder, done)
                manifest.shards.setdefault(split, []).append(shards.write(output / file, parts))
    manifest.write(output)
    named = {shard.file for parts in manifest.shards.values() for shard in parts}
    for path in output.glob("t*-[0-9]*-of-[0-9]*.arrow"):
        if path.name not in named:
            _remove(path)
    return manifest


@dataclass(frozen=True, slots=True)
class _Coder:
    """How the texts of some rows become integers."""

    dtype: str
    symbols: int
    column: pl.Expr
    """What polars makes of a row ..."""
    codes: Callable[[pl.Series], tuple[np.ndarray, np.ndarray]]
    """... and what becomes of a batch of it: values and offsets."""
    source: str
    vocabulary: bytes = b""
    """Content of vocabulary.parquet."""


def _characters(feature: Feature, train: Path) -> _Coder:
    assert feature.alphabet is not None
    assert feature.length is not None
    name, length = feature.alphabet, feature.length

    def codes(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        array = texts.reverse().to_arrow()
        _, ends, content = array.buffers()
        offsets = np.frombuffer(ends, np.int64, len(array) + 1)
        return alphabet.encode(content.to_pybytes() if content else b"", offsets, name, length)

    texts = pl.concat_str(*reversed(_fields(train)), separator=" ")
    return _Coder("uint8", len(alphabet.characters(name)), texts, codes, alphabet.digest(name))


def _words(feature: Feature, train: Path) -> _Coder:
    assert feature.vocabulary is not None
    fields = _fields(train)
    vocabulary = words.vocabulary(pl.scan_parquet(train, glob=False), fields, feature.vocabulary)
    if vocabulary.is_empty():
        raise CrepeError(f"{train}: has no words, only punctuation and the like; take a feature of characters")
    content = BytesIO()
    vocabulary.write_parquet(content, compression="zstd", statistics=False)
    index = pl.element().cast(pl.Enum(vocabulary["word"]), strict=False).to_physical().cast(pl.Int32) + 1

    def codes(lists: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        array = lists.to_arrow()
        offsets = array.offsets.to_numpy()  # Of a batch that may be a slice of a longer one.
        return shards.trim(array.values.to_numpy()[offsets[0] : offsets[-1]], offsets - offsets[0])

    lists = words.tokens(fields).list.eval(index.fill_null(0))
    return _Coder("int32", len(vocabulary), lists, codes, sha256(content.getvalue()).hexdigest(), content.getvalue())


def _parts(rows: pl.LazyFrame, coder: _Coder, done: Meter) -> Iterator[Ragged]:
    texts = rows.select("label", codes=coder.column)
    for batch in texts.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming"):
        yield Ragged(*coder.codes(batch["codes"]), batch["label"].to_numpy())
        done.advance(len(batch))


def _fields(path: Path) -> list[str]:
    """Names of the columns of text, in order."""
    return list(pl.read_parquet_schema(path))[1:]


def _facts(key: str, clean: Path) -> dict[str, Any]:
    """What clean.json says, after a look at whether the Parquet files beside it are those it speaks of."""
    path, again = clean / "clean.json", f"run `crepe clean {key}` again"
    if not path.exists():
        raise CrepeError(f"{path}: is missing; run `crepe clean {key}` first")
    facts: dict[str, Any] = read_json(path)
    try:
        found = {name: facts[name] for name in ("dataset", "archive", "rows", "classes", "sha256")}
        named = {split: found["sha256"][split] for split in shards.SPLITS}
    except (KeyError, TypeError) as error:
        raise CrepeError(f"{path}: lacks {error}; {again}") from error
    if found["dataset"] != key:
        raise CrepeError(f"{path}: is of {found['dataset']}, not of {key}; give the right folder with --clean")
    for split, expected in named.items():
        if digest(clean / f"{split}.parquet") != expected:
            raise CrepeError(f"{clean}/{split}.parquet: is not the file clean.json speaks of (sha256 differs); {again}")
    return found


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CrepeError(f"{path}: cannot be removed: {error.strerror or error}") from error
