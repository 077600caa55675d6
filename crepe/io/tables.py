"""Read tables of texts as people have them: CSV in its many forms, JSON lines, Parquet and Arrow.

`Table` is the one reader of such files: `crepe init-dataset` and `crepe predict --input` take the same files and refuse
the same ones, with the line at fault. A file is told by its content, not by its name.

A CSV file is read twice, some rows at a time: first to find every fault, so that nothing is written of a file that
turns out to be malformed, then to take its rows. Python's own reader is strict where faster ones guess.
"""

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import isnan
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io import dialect
from crepe.io.lines import Lines, encodable, reading

ROWS, CHARACTERS = 8192, 1 << 22
"""Most rows of a batch, and characters after which a batch of CSV or JSON ends."""
BUFFER = 1 << 20
"""Bytes of a column of a Parquet file that are read at a time."""

Batch = tuple[pa.RecordBatch, Sequence[int]]
"""Rows, and the line or row of the file, from 1, in which each begins."""

_REFUSED = {
    b"PK\x03\x04": ("is a zip archive or an Excel sheet", "unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("is an Excel sheet", "save it as CSV"),
    b"\x1f\x8b": ("is compressed by gzip", "unpack it: gunzip -k {path}"),
    b"BZh": ("is compressed by bzip2", "unpack it: bunzip2 -k {path}"),
    b"\xfd7zXZ": ("is compressed by xz", "unpack it: unxz -k {path}"),
    b"\x04\x22\x4d\x18": ("is compressed by lz4", "unpack it: unlz4 {path}"),
    b"\x28\xb5\x2f\xfd": ("is compressed by zstd", "unpack it: unzstd {path}"),
    b"7z\xbc\xaf": ("is a 7z archive", "unpack it"),
    b"Rar!": ("is a rar archive", "unpack it"),
    b"%PDF": ("is a PDF", "make a CSV or Parquet file of it"),
    b"FEA1": ("is a Feather file of the old format", "write it as Parquet"),
    b"ORC": ("is an ORC file", "write it as Parquet"),
    b"Obj\x01": ("is an Avro file", "write it as Parquet"),
    b"SQLite format 3": ("is an SQLite database", "export the table as CSV"),
    b"\x93NUMPY": ("is a NumPy array", "make a CSV or Parquet file of it"),
    b"\x80\x04\x95": ("is a Python pickle", "make a CSV or Parquet file of it"),
    b"version https://git-lfs": ("is a pointer of Git LFS, not the file itself", "fetch that: git lfs pull"),
}
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
"""First bytes of Arrow's files and streams."""

_NESTED = {b"json": b"nested"}
"""Metadata of a column of JSON lines that holds lists or objects, as JSON."""


@dataclass(frozen=True)
class Table:
    """A table of texts in a file that has been found readable.

    Raises:
        CrepeError: an iteration finds a damaged row.
    """

    path: Path
    schema: pa.Schema
    """Names and types of the columns; those of CSV and JSON are strings."""
    about: str
    """Description of the kind of file, for messages."""
    unit: str
    """Unit of the numbers in `Batch`: "line" or "row"."""
    read: Callable[[], Iterator[Batch]] = field(repr=False)
    """Starts to read from the first row."""

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema.names)

    def is_text(self, name: str) -> bool:
        """Whether `as_text` takes a column."""
        return self.schema.field(name).metadata != _NESTED and is_plain(self.schema.field(name).type)

    def check(self, name: str) -> None:
        """Raise CrepeError where there is no column `name`, or none that `as_text` takes."""
        if name not in self.names:
            raise CrepeError(self.path, f"has no column {name!r}", f"it has {', '.join(self.names)}")
        if not self.is_text(name):
            kind = self.schema.field(name)
            what = "JSON lists or objects" if kind.metadata == _NESTED else f"of type {kind.type}"
            raise CrepeError(
                self.path, f"column {name!r} is {what}, not text", "write it as strings, or name another column"
            )

    def classes(self, name: str) -> list[str] | None:
        """Names of the values 0, 1, ... of a column, where Hugging Face's `datasets` left them in the schema."""
        try:
            features = json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"]
            names = features[name]["names"]
            if isinstance(names, dict):  # As in older versions.
                names = names["feature"]
        except (KeyError, TypeError, ValueError):
            return None
        if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
            return None
        # Classes of one name would become one.
        return names if len({" ".join(name.split()) for name in names}) == len(names) else None


def is_plain(kind: pa.DataType) -> bool:
    """Whether `as_text` takes a column of this type."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_plain(kind.value_type)
    if types.is_interval(kind):  # Arrow makes no text of these.
        return False
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        types.is_boolean,
        types.is_temporal,
        types.is_null,
    )
    return any(test(kind) for test in tests)


def as_text(column: pa.Array, classes: Sequence[str] | None = None) -> pa.Array:
    """The values of a column as large_string [rows]; NaN, and the NULL of databases, are null.

    Args:
        column: values of a type for which `is_plain` holds.
        classes: the names of its integers, counted from 0; numbers that have none are null.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if classes is not None and pa.types.is_integer(column.type):
        known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(classes)))
        return pa.array(classes, pa.large_string()).take(pc.if_else(known, column, None))
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    text = column.cast(pa.large_string())
    return pc.if_else(pc.equal(text, dialect.NULL), pa.scalar(None, pa.large_string()), text)


def open_table(path: Path, least: int = 2) -> Table:
    """Find out what kind of table a file is.

    Args:
        path: the file.
        least: fewest columns, 1 or 2. With 1, and where it cannot be told, a first row of CSV names the columns.

    Raises:
        CrepeError: the file is missing, of another kind, or malformed.
    """
    with reading(path):
        with path.open("rb") as stream:
            start = stream.read(64)
        if not path.is_file():
            raise CrepeError(path, "is no regular file, and is read more than once", "write it to a file first")
    if not start:
        raise CrepeError(path, "is empty")
    for begin, (fault, remedy) in _REFUSED.items():
        if start.startswith(begin):
            raise CrepeError(path, fault, remedy.format(path=path))
    if start.startswith(b"PAR1"):
        table = _parquet(path)
    elif start.startswith(_ARROW):
        table = _arrow(path)
    else:
        table = _text(path, least)
    for name, times in Counter(table.names).items():
        if times > 1:
            where = "line 1: " if table.unit == "line" else ""
            raise CrepeError(path, f"{where}column {name!r} stands twice", "rename one")
    return table


# --- Parquet and Arrow


def _parquet(path: Path) -> Table:
    def read() -> Iterator[Batch]:
        # What is read ahead is kept until the end, and a column of a row group comes in one piece otherwise.
        with reading(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) as file:
            yield from _numbered(path, file.iter_batches(ROWS))

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise CrepeError(path, f"is no whole Parquet file ({error})", "write or fetch it again") from error
    return Table(path, schema, "Parquet", "row", read)


def _arrow(path: Path) -> Table:
    with path.open("rb") as stream:
        is_file = stream.read(6) == _ARROW[0]

    def batches(source: pa.MemoryMappedFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        if is_file:
            file = pa.ipc.open_file(source)
            return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
        stream = pa.ipc.open_stream(source)
        return stream.schema, iter(stream)

    def read() -> Iterator[Batch]:
        with reading(path), pa.memory_map(str(path)) as source:
            _, whole = batches(source)
            pieces = (batch.slice(start, ROWS) for batch in whole for start in range(0, batch.num_rows, ROWS))
            yield from _numbered(path, pieces)

    try:
        with pa.memory_map(str(path)) as source:
            schema, _ = batches(source)
    except (pa.ArrowException, OSError) as error:
        raise CrepeError(path, f"is no whole Arrow file ({error})", "write or fetch it again") from error
    return Table(path, schema, "Arrow", "row", read)


def _numbered(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[Batch]:
    first = 1
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowException as error:
                rows = f"rows {first:,} to {first + batch.num_rows - 1:,}"
                raise CrepeError(
                    path, f"{rows}: column {name!r}: {error}", "write it again, its texts as UTF-8"
                ) from error
        yield batch, range(first, first + batch.num_rows)
        first += batch.num_rows


# --- Text


def _text(path: Path, least: int) -> Table:
    with path.open("rb") as raw:
        start = raw.read(3)
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        lines = Lines(path, "utf-16", "UTF-16")
    else:
        lines = Lines(path, "utf-8-sig", "UTF-8 with a byte-order mark" if start == BOM_UTF8 else "UTF-8")
    with lines.open() as stream:
        begin = iter(lambda: stream.readline(dialect.SAMPLE), "")
        first = next((line.strip() for line in begin if line.strip()), "")
    if re.match(r"(?i)<(!doctype|html|\?xml)", first):
        raise CrepeError(path, "is HTML or XML, not a table", "download the file itself, or make a CSV file of it")
    if first.startswith("__label__"):
        raise CrepeError(
            path,
            "is a file for fastText (__label__NAME TEXT)",
            rf"make a table of it: sed -E 's/^__label__([^ ]+) +/\1\t/' {path} > table.tsv",
        )
    if first in ("{", "[") or re.match(r"\[\s*\{", first):
        raise CrepeError(path, "is JSON as one value", f"make JSON lines of it: jq -c '.[]' {path} > table.jsonl")
    if first.startswith("[") and _is_list(first):
        raise CrepeError(path, "has a JSON list a line", "write one object a line, with the columns' names")
    if re.match(r'\{\s*(".*|\})', first):
        return _json(lines)
    return _csv(lines, least)


def _batches(rows: Iterable[tuple[Sequence[str | None], int]], schema: pa.Schema) -> Iterator[Batch]:
    """Rows of text as batches of which none takes much memory."""
    batch: list[Sequence[str | None]] = []
    begins: list[int] = []
    size = 0
    for values, line in chain(rows, [((), 0)]):
        if batch and (len(batch) == ROWS or size >= CHARACTERS or not line):
            columns = list(zip(*batch, strict=True))
            yield pa.record_batch(list(map(pa.array, columns, schema.types)), schema), begins
            batch, begins, size = [], [], 0
        batch.append(values)
        begins.append(line)
        size += sum(len(value) for value in values if value is not None)


# --- JSON lines


def _is_list(line: str) -> bool:
    try:
        return isinstance(json.loads(line), list)
    except (ValueError, RecursionError):
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return values


def _json(lines: Lines) -> Table:
    nested: dict[str, bool] = {}
    for _, values in _objects(lines):
        for name, value in values.items():
            nested[name] = nested.get(name, False) or isinstance(value, dict | list)
    schema = pa.schema([pa.field(name, pa.string(), metadata=_NESTED if it else None) for name, it in nested.items()])

    def read() -> Iterator[Batch]:
        rows = (([_json_text(values.get(name)) for name in nested], line) for line, values in _objects(lines))
        yield from _batches(rows, schema)

    return Table(lines.path, schema, f"JSON lines, {lines.about}", "line", read)


def _objects(lines: Lines) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise CrepeError(lines.path, f"line {number}: is not JSON ({reason})", "write one object a line") from error
        if not isinstance(values, dict):
            raise CrepeError(lines.path, f"line {number}: is JSON, but no object", "write one object a line")
        for name, value in values.items():
            if (isinstance(value, str) and not (value.isascii() or encodable(value))) or not encodable(name):
                raise CrepeError(lines.path, f"line {number}: {name!r} holds half of a surrogate pair", "take it out")
        yield number, values


def _json_text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    return value if isinstance(value, str) else json.dumps(value)


# --- CSV


def _csv(lines: Lines, least: int) -> Table:
    form, rows = dialect.find(lines, least)
    width = len(rows[0])
    form, note = dialect.survey(lines, form, width)
    if not form.quoted:
        with lines.open() as stream:
            rows = [row for row, *_ in form.rows(islice(stream, dialect.HEAD)) if row]
    header = dialect.is_header(rows[0], rows[1 : dialect.HEAD], likely=least == 1)
    names = [f"column {number}" for number in range(1, width + 1)]
    if header:
        names = [" ".join(name.split()) or names[number] for number, name in enumerate(rows[0])]
    schema = pa.schema([(name, pa.string()) for name in names])

    def read() -> Iterator[Batch]:
        def rows() -> Iterator[tuple[list[str], int]]:
            return islice(dialect.records(lines, form, width), int(header), None)

        yield from _batches(rows(), schema)

    head = "with" if header else "without"
    kind = dialect.DELIMITERS[form.delimiter] if width > 1 else "one column"
    about = f"CSV, {kind}, {form.quoting}, {lines.about}, {head} a header{note}"
    return Table(lines.path, schema, about, "line", read)
