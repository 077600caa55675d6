r"""Turn an archive's CSV files into Parquet: labels from 0, text unescaped and trimmed as the original program does it.

A line is a row: the class, counted from 1, then the text fields, separated by commas. A field stands in quotes, inside
which `""` is a quote, or without any, and then ends at the next comma; a comma at the end of a line opens no field. In
each field the two characters `\n` become a newline, then ASCII white space is trimmed off both ends.

What the original refuses is refused, with file, line and reason: a line end inside quotes, anything behind a closing
quote, a blank line, a header row, another number of fields, a class that is no whole number from 1, NUL bytes, a class
without train rows. So are bytes that are no UTF-8, of which Parquet cannot make text. A byte-order mark and line ends
of CR and LF are taken: no text is lost by them.

If the dataset has a `subset`, only the rows that it names are kept, in its order; `crepe subset` writes such a file.
Any archive that holds them, in whichever of its two files, gives the same Parquet files.
"""

import argparse
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from crepe import config, layout
from crepe.config.catalog import CsvFile, Dataset
from crepe.data import subset
from crepe.data.archive import extracted
from crepe.data.clean_record import CleanRecord
from crepe.errors import CrepeError
from crepe.io.files import alone, digest, replacing
from crepe.io.progress import Meter, meter
from crepe.options import add_config

CHUNK = 4 << 20
"""Bytes of CSV that are read at a time."""
LONGEST_LINE = 64 << 20
"""Most bytes of a line."""
ROW_GROUP = 25_000
"""Rows of a Parquet row group."""

BLANKS = " \t\n\v\f\r"
"""ASCII white space; a no-break or an ideographic space is text."""

_COMMA, _NEWLINE, _QUOTE = b',\n"'
_QUOTED = re.compile(r'"((?:[^"]|"")*+)"')
_MEND = "mend the CSV file and pack the archive again"
_OTHER = "fetch the archive again, or give another archive its own dataset in the configuration"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of the dataset")
    parser.add_argument(
        "--archive", type=Path, metavar="FILE", help="the dataset's archive (default: data/raw/DATASET.tgz)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the clean text (default: data/clean/DATASET)"
    )
    add_config(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    key = options.dataset
    clean(
        key,
        config.load(options.config).dataset(key),
        options.archive or layout.archive(key),
        options.output or layout.clean(key),
    )


def clean(key: str, dataset: Dataset, archive: Path, output: Path) -> CleanRecord:
    """Write `train.parquet`, `test.parquet` and `clean.json`, all of them or none.

    The Parquet files have `label` (Int32, from 0) and `field_1`, `field_2`, ... (String) in the order of the CSV file
    or of the subset; `clean.json` is their `CleanRecord`.

    Args:
        key: the dataset's key.
        dataset: the dataset's entry in the configuration, which the archive must match.
        archive: the archive.
        output: folder to write to.

    Returns:
        The record, as written.

    Raises:
        CrepeError: the archive is damaged, a line of it is malformed, or it does not match the configuration; the
            message names the archive, the file in it and the line. Or the subset's file is missing or damaged.
    """
    rows = {"train": dataset.train_rows, "test": dataset.test_rows}
    wanted = subset.read(layout.installed(Path(dataset.subset)), rows) if dataset.subset else {}
    with (
        alone(output),
        extracted(archive, output) as files,
        replacing(output / layout.CLEAN_RECORD) as summary,
        replacing(output / "train.parquet") as train,
        replacing(output / "test.parquet") as test,
    ):
        names = _class_names(f"{archive}: classes.txt", files.get("classes.txt"), dataset.classes)
        kept = subset.pick(str(archive), _all_rows(key, archive, files, dataset), wanted) if wanted else {}
        for split, path in (("train", train), ("test", test)):
            name, csv = f"{archive}: {split}.csv", files[f"{split}.csv"]
            published: CsvFile = getattr(dataset.csv, split, None) or CsvFile()
            if published.bytes not in (None, size := csv.stat().st_size):
                raise CrepeError(name, f"has {size:,} bytes, not {published.bytes:,} as published (`csv`)", _OTHER)
            algorithm, checksum = published.checksum or ("", "")
            with ThreadPoolExecutor(1) as pool, meter(f"{key}: {split}.csv", size, "B") as done:
                found = pool.submit(digest, csv, algorithm) if checksum else None
                if split in kept:
                    counts = np.bincount(kept[split]["label"], minlength=dataset.classes)
                    _write(kept[split].lazy(), path)
                else:
                    counts = convert(name, csv, path, dataset, done)
            if found and found.result() != checksum:
                fault = f"{algorithm} is {found.result()}, not {checksum} as published (`csv`)"
                raise CrepeError(name, fault, _OTHER)
            if counts.sum() != rows[split]:
                fault = f"has {counts.sum():,} rows, not {rows[split]:,} as the configuration says (`{split}_rows`)"
                raise CrepeError(name, fault, _OTHER)
            if split == "train" and not counts.all():
                lacking = int(counts.argmin())
                raise CrepeError(name, f"class {lacking + 1} ({names[lacking]}) has no rows to learn from", _MEND)
        record = CleanRecord(
            dataset=key,
            archive=digest(archive),
            rows=rows,
            classes=names,
            sha256={"train": digest(train), "test": digest(test)},
        )
        record.write(summary)
    return record


def _class_names(name: str, path: Path | None, classes: int) -> list[str]:
    """Read the names of the classes, a line each; numbers if the archive does not name them."""
    if path is None:
        return [str(number) for number in range(1, classes + 1)]
    try:
        names = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CrepeError(name, "is not UTF-8", "convert it to UTF-8 and pack the archive again") from error
    names = [line.strip() for line in names if line.strip()]
    if len(names) != classes:
        raise CrepeError(name, f"names {len(names)} classes, not {classes} as the configuration says (`classes`)")
    return names


def _all_rows(key: str, archive: Path, files: Mapping[str, Path], dataset: Dataset) -> Iterator[pl.DataFrame]:
    """Yield the clean rows of both CSV files, some at a time."""
    for split in layout.SPLITS:
        csv = files[f"{split}.csv"]
        with meter(f"{key}: rows of {split}.csv", csv.stat().st_size, "B") as done:
            for frame in _frames(f"{archive}: {split}.csv", csv, dataset, done):
                yield frame.select(_texts(dataset))


def convert(name: str, csv: Path, parquet: Path, dataset: Dataset, done: Meter) -> np.ndarray:
    """Write a CSV file as Parquet; returns the rows of each class, int64 [classes]."""
    counts = np.zeros(dataset.classes, np.int64)

    def frames(*_: Any) -> Iterator[pl.DataFrame]:
        for frame in _frames(name, csv, dataset, done):
            np.add(counts, np.bincount(frame["label"], minlength=dataset.classes), out=counts)
            yield frame

    # polars takes the rows as they come, trims them, compresses and writes in parallel, and keeps their order.
    _write(register_io_source(frames, schema=_schema(dataset)).select(_texts(dataset)), parquet)
    return counts


def _schema(dataset: Dataset) -> dict[str, Any]:
    fields = [f"field_{number}" for number in range(1, dataset.fields + 1)]
    return {"label": pl.Int32(), **dict.fromkeys(fields, pl.String())}


def _texts(dataset: Dataset) -> list[pl.Expr]:
    """The label, and the text fields unescaped and trimmed."""
    label, *fields = _schema(dataset)
    return [
        pl.col(label),
        *(pl.col(field).str.replace_all(r"\\n", "\n").str.strip_chars(BLANKS) for field in fields),
    ]


def _frames(name: str, csv: Path, dataset: Dataset, done: Meter) -> Iterator[pl.DataFrame]:
    """Yield the rows of a CSV file, its texts as they are, some megabytes at a time."""
    first = 1
    for chunk in _chunks(name, csv):
        frame = regular_frame(chunk, _schema(dataset), dataset.classes)
        if frame is None:
            frame = pl.DataFrame(list(_rows(name, first, chunk, dataset)), _schema(dataset), orient="row")
        first += len(frame)
        done.advance(len(chunk))
        yield frame


def _write(table: pl.LazyFrame, parquet: Path) -> None:
    try:
        # An open file: when a row is refused, polars may be about to create the file of a path, and does so afterwards.
        with parquet.open("wb") as stream:
            table.sink_parquet(
                stream, compression="zstd", compression_level=1, row_group_size=ROW_GROUP, statistics=False
            )
    except pl.exceptions.PolarsError as error:
        raise CrepeError(parquet.parent, f"cannot be written: {error}") from error


def _chunks(name: str, path: Path) -> Iterator[bytes]:
    """Yield some megabytes of whole lines at a time, with newlines as line ends."""
    with path.open("rb") as stream:
        if stream.peek(len(BOM_UTF8)).startswith(BOM_UTF8):
            stream.seek(len(BOM_UTF8))
        while chunk := stream.read(CHUNK):
            chunk += stream.readline(LONGEST_LINE)
            if not chunk.endswith(b"\n"):
                if stream.peek(1):
                    raise CrepeError(name, f"has a line of more than {LONGEST_LINE:,} bytes", "is it a CSV file?")
                chunk += b"\n"
            # Looking for one byte first is ten times faster than looking for two.
            yield chunk.replace(b"\r\n", b"\n") if b"\r" in chunk else chunk


def regular_frame(chunk: bytes, schema: dict[str, Any], classes: int) -> pl.DataFrame | None:
    """Parse lines in the regular form by polars; None for lines in another form."""
    if not _is_regular(chunk, len(schema) - 1):
        return None
    numbers = pl.Enum([str(number) for number in range(1, classes + 1)])
    try:
        frame = pl.read_csv(chunk, has_header=False, schema=schema | {"label": pl.String()})
    except pl.exceptions.ComputeError:  # Bytes that are no UTF-8.
        return None
    labels = frame["label"].cast(numbers, strict=False)
    return None if labels.has_nulls() else frame.with_columns(labels.to_physical().cast(pl.Int32))


def _is_regular(chunk: bytes, fields: int) -> bool:
    """Whether every line has its fields all in quotes, nothing between them but commas, and no NUL.

    polars mends malformed lines silently, so that what it reads must be known to be well-formed. Of the quotes, every
    second one closes; behind it stands a comma, a line's end, or the next one at once: a quote inside the text.
    """
    data = np.frombuffer(chunk, np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    if len(quotes) == 0 or len(quotes) % 2 or quotes[0] != 0:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    behind = data[closing + 1]
    doubled = behind == _QUOTE
    separators = behind[~doubled]
    row = np.array([_COMMA] * fields + [_NEWLINE], np.uint8)
    return bool(
        np.array_equal(closing + 2 - doubled, np.append(opening[1:], len(data)))
        and len(separators) % len(row) == 0
        and (separators.reshape(-1, len(row)) == row).all()
        and np.count_nonzero(data == _NEWLINE) == len(separators) // len(row)
        and data.min() > 0
    )


def _rows(name: str, first: int, chunk: bytes, dataset: Dataset) -> Iterator[tuple[int | str, ...]]:
    """Parse any lines that the original program takes: label and fields.

    Raises:
        CrepeError: a line is malformed; the message has its number and the reason.
    """
    for number, line in enumerate(chunk.removesuffix(b"\n").split(b"\n"), first):
        try:
            yield _row(line, dataset)
        except _LabelError as error:
            remedy = f"a header row must go; {_MEND}" if number == 1 else _MEND
            raise CrepeError(name, f"line {number}: {error}", remedy) from None
        except ValueError as error:
            raise CrepeError(name, f"line {number}: {error}", _MEND) from None


class _LabelError(ValueError):
    """A class is no whole number, as in a header row."""


def _row(line: bytes, dataset: Dataset) -> tuple[int | str, ...]:
    if not line:
        raise ValueError("is blank")
    if b"\0" in line:
        raise ValueError("holds a NUL byte")
    try:
        label, *texts = _fields(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 from byte {error.start + 1} on") from None
    if len(texts) != dataset.fields:
        raise ValueError(f"has {len(texts)} text fields, not {dataset.fields} as the configuration says (`fields`)")
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)", label):
        raise _LabelError(f"class {label!r} is not a whole number")
    if not 1 <= int(label) <= dataset.classes:
        raise ValueError(f"class {label} is not among 1 to {dataset.classes}, as the configuration says (`classes`)")
    return int(label) - 1, *texts


def _fields(line: str) -> Iterator[str]:
    """Split a line as the original program does."""
    start = 0
    while start < len(line):
        if line[start] != '"':
            end = line.find(",", start)
            end = len(line) if end < 0 else end
            yield line[start:end]
            start = end + 1
            continue
        quoted = _QUOTED.match(line, start)
        if quoted is None:
            raise ValueError(r"has a quote that is not closed; a line end inside a field must be written as \n")
        end = quoted.end()
        if end < len(line) and line[end] != ",":
            raise ValueError(f"has {line[end : end + 20]!r} behind a closing quote; a quote inside is written twice")
        start = end + 1
        yield quoted[1].replace('""', '"')
