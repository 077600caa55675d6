"""Made-up texts: as archives, clean text, shards and word vectors; and the original program's dumps of some."""

import base64
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crepe.config.catalog import Dataset
from crepe.data import clean, encode, shards
from crepe.data.archive import pack
from crepe.features import FeatureSettings
from crepe.ragged import Ragged

Row = tuple[object, ...]
"""Label, and the text of each field as str or bytes."""


def encodings(path: Path) -> Iterator[tuple[int, list[bytes], list[int]]]:
    """Read the original program's dumps: label, fields, alphabet indices."""
    for line in path.read_bytes().splitlines():
        row = json.loads(line)
        yield row["label"], [base64.b64decode(field) for field in row["fields_b64"]], row["indices"]


def csv(rows: Iterable[Row]) -> bytes:
    r"""CSV as the paper's datasets have it: every field in quotes, a newline as `\n`."""
    return b"".join(b",".join(map(_quoted, row)) + b"\n" for row in rows)


def _quoted(field: object) -> bytes:
    field = field if isinstance(field, bytes) else str(field).encode()
    return b'"' + field.replace(b'"', b'""').replace(b"\n", rb"\n") + b'"'


def archive(path: Path, train: bytes, test: bytes | None = None, **others: bytes) -> Path:
    """Write an archive of two CSV files and `others`. `test` is like `train` if not given."""
    files = {"train.csv": train, "test.csv": train if test is None else test, **others}
    pack(path, "made_up_csv", {name: io.BytesIO(content) for name, content in files.items()})
    return path


def dataset(rows: int, test_rows: int | None = None, fields: int = 2, classes: int = 2, **changes: Any) -> Dataset:
    """Describe such an archive, as the catalog does."""
    test_rows = rows if test_rows is None else test_rows
    return Dataset(fields=fields, classes=classes, train_rows=rows, test_rows=test_rows, **changes)


def cleaned(folder: Path, rows: Sequence[Row], test: Sequence[Row] | None = None) -> Path:
    """Write rows as an archive and clean it; returns the folder of clean text."""
    test = rows if test is None else test
    path = archive(folder / "made-up.tgz", csv(rows), csv(test))
    classes = max(2, *(int(str(label)) for label, *_ in rows))
    clean.clean("toys", dataset(len(rows), len(test), len(rows[0]) - 1, classes), path, folder / "clean")
    return folder / "clean"


def encoded(folder: Path, rows: Sequence[Row], feature: FeatureSettings, test: Sequence[Row] | None = None) -> Ragged:
    """Clean and encode rows; returns the train split. The shards are in `folder / "shards"`, the key is the kind."""
    encode.encode("toys", feature.kind, feature, cleaned(folder, rows, test), folder / "shards")
    return shards.read(folder / "shards", "train")


def frame(rows: Sequence[Sequence[str]]) -> pl.DataFrame:
    """Fields as the columns of clean text."""
    count = max(map(len, rows), default=1)
    return pl.DataFrame(rows, [f"field_{number}" for number in range(1, count + 1)], orient="row")


def binary(entries: Sequence[tuple[str, Sequence[float]]], end: bytes = b"", words: int | None = None) -> bytes:
    """A file in word2vec's binary format; `end` comes after each vector, `words` is the number that it claims."""
    size = len(entries[0][1])
    parts = [word.encode() + b" " + np.array(vector, "<f4").tobytes() + end for word, vector in entries]
    return f"{len(entries) if words is None else words} {size}\n".encode() + b"".join(parts)
