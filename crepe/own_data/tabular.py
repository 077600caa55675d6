"""Tables of texts as people have them, CSV in its many forms or Parquet, read whole or refused with the line at fault.

Nothing is mended silently: Python's own reader is strict where faster ones guess. A CSV file is turned into Parquet
first, a piece at a time, so that memory does not grow with it.
"""

import csv
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.progress import meter

SAMPLE = 1 << 20
"""Characters that the form of a CSV file is found by."""
ROWS = 20_000
"""Rows taken at a time."""
LONGEST = 1 << 26
"""Most characters of a field."""

LINE = "line"
"""Column of where a row begins, counted from 1: the line of a CSV file, the row of a Parquet file."""

_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_DOUBLED, _ESCAPED, _NONE = "quotes inside doubled", "quotes inside behind a backslash", "no quoting"
_QUOTINGS: dict[str, dict[str, Any]] = {
    _DOUBLED: {},
    _ESCAPED: {"escapechar": "\\"},
    _NONE: {"quoting": csv.QUOTE_NONE},
}
_KINDS = {b"PK\x03\x04": "a zip archive or an Excel sheet", b"\x1f\x8b": "compressed by gzip", b"%PDF": "a PDF"}
_PLAIN = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)


@dataclass(frozen=True, slots=True)
class Table:
    """A table on disk, all its values text."""

    path: Path
    """The file that it was read from."""
    names: list[str]
    """Of the columns."""
    about: str
    """What kind of file it is."""
    parquet: Path
    """The rows: the file itself, or what was made of it."""

    @property
    def unit(self) -> str:
        """What `LINE` counts."""
        return "row" if self.parquet == self.path else "line"

    def scan(self) -> pl.LazyFrame:
        """The columns as text under their names, and `LINE`; nothing is read yet."""
        frame = pl.scan_parquet(self.parquet)
        if self.unit == "row":
            return frame.select(pl.col(self.names).cast(pl.String)).with_row_index(LINE, 1)
        return frame

    def batches(self, names: list[str]) -> Iterator[pl.DataFrame]:
        """Some columns in pieces, in order."""
        for batch in pq.ParquetFile(self.parquet).iter_batches(ROWS, columns=names):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame.select(pl.col(names).cast(pl.String))


def read(path: Path, parquet: Path) -> Table:
    """Read a table.

    Args:
        path: a CSV or Parquet file.
        parquet: where a CSV file's rows are put.

    Raises:
        CrepeError: the file is missing, of another kind, or not well-formed; the text has the line.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise CrepeError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not start:
        raise CrepeError(f"{path}: is empty")
    for begin, kind in _KINDS.items():
        if start.startswith(begin):
            raise CrepeError(f"{path}: is {kind}; make a CSV or Parquet file of it")
    return _parquet(path) if start == b"PAR1" else _csv(path, parquet)


def _parquet(path: Path) -> Table:
    try:
        schema = pl.scan_parquet(path).collect_schema()
        rows = pq.ParquetFile(path).metadata.num_rows
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        raise CrepeError(f"{path}: is no whole Parquet file ({error})") from error
    names = [name for name, kind in schema.items() if kind.is_integer() or kind.is_float() or kind in _PLAIN]
    if LINE in names:
        raise CrepeError(f"{path}: has a column {LINE!r}; give it another name")
    if rows == 0:
        raise CrepeError(f"{path}: has no rows")
    return Table(path, names, "Parquet", path)


def _csv(path: Path, parquet: Path) -> Table:
    csv.field_size_limit(LONGEST)
    encoding, about = _encoding(path)
    with _text(path, encoding) as (_, stream):
        sample, whole = stream.read(SAMPLE), not stream.read(1)
    if "\0" in sample:
        raise CrepeError(f"{path}: holds NUL bytes; it is no text, or UTF-16 without a byte-order mark")
    delimiter, quoting, rows = _form(path, sample, whole)
    header = len(rows) > 1 and _is_header(rows[0], rows[1:])
    names = rows[0] if header else [f"column {number}" for number in range(1, len(rows[0]) + 1)]
    for name, times in Counter(names).items():
        if times > 1 or name == LINE:
            raise CrepeError(f"{path}: line 1: column {name!r} {'stands twice' if times > 1 else 'is'}; rename it")
    form = {"delimiter": delimiter, "strict": True, **_QUOTINGS[quoting]}
    schema = pa.schema([(name, pa.large_string()) for name in names] + [(LINE, pa.int64())])
    broken: list[int] = []
    with _text(path, encoding) as (raw, stream), meter(path.name, path.stat().st_size, "B") as done:
        records, position = _records(path, stream, form, len(names)), 0
        if header:
            next(records)
        with pq.ParquetWriter(parquet, schema) as writer:
            while batch := list(islice(records, ROWS)):
                columns = list(zip(*batch, strict=True))
                try:
                    writer.write_batch(pa.record_batch(list(map(pa.array, columns, schema.types)), schema))
                except UnicodeEncodeError:
                    broken += [line for *fields, line in batch if not _encodable("".join(fields))]
                done.advance(raw.tell() - position)
                position = raw.tell()
    if broken:
        listed = ", ".join(map(str, broken[:5])) + (f" and {len(broken) - 5:,} more" if len(broken) > 5 else "")
        raise CrepeError(
            f"{path}: is not UTF-8 in {'lines' if len(broken) > 1 else 'line'} {listed}; convert it, if it is "
            f"Windows' Western code by: iconv -f WINDOWS-1252 -t UTF-8 {path} > converted.csv"
        )
    head = "with" if header else "without"
    return Table(path, names, f"CSV, {_DELIMITERS[delimiter]}, {quoting}, {about}, {head} a header", parquet)


def _encoding(path: Path) -> tuple[str, str]:
    """The encoding by a file's first bytes, for Python and for people."""
    with path.open("rb") as stream:
        start = stream.read(3)
    if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16", "UTF-16"
    return "utf-8-sig", "UTF-8 with a byte-order mark" if start == BOM_UTF8 else "UTF-8"


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[tuple[IO[bytes], IO[str]]]:
    """A file's bytes and their text; bytes that are no UTF-8 become lone surrogates."""
    errors = "strict" if encoding == "utf-16" else "surrogateescape"
    try:
        with path.open("rb") as raw, TextIOWrapper(raw, encoding, errors, newline="") as stream:
            yield raw, stream
    except UnicodeError as error:
        raise CrepeError(f"{path}: is not {encoding.upper()} throughout ({error}); convert it to UTF-8") from error


def _form(path: Path, sample: str, whole: bool) -> tuple[str, str, list[list[str]]]:
    """Delimiter, quoting and rows of a sample: the first form in which all rows have the same two fields or more.

    Where there is none, the form in which the most rows do: the others are found when the file is read.
    """
    if not whole:
        sample = sample[: sample.rfind("\n") + 1] or sample
    best, most = None, 0.5
    for quoting, delimiter in _forms(sample):
        rows, well = [], True
        try:
            for row in csv.reader(StringIO(sample, newline=""), strict=True, delimiter=delimiter, **_QUOTINGS[quoting]):
                rows.append(row)
        except csv.Error:
            # A sample may end within a field.
            well = not whole
        rows = [row for row in (rows if whole else rows[:-1]) if row]
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        share = count / (len(rows) + (not well)) if rows else 0.0
        if width >= 2 and share > most:
            best, most = (delimiter, quoting, [row for row in rows if len(row) == width]), share
            if share == 1:
                break
    if best is None:
        marks = ", ".join(_DELIMITERS.values())
        raise CrepeError(f"{path}: its lines are not divided into the same two fields or more by any of {marks}")
    return best


def _forms(sample: str) -> Iterator[tuple[str, str]]:
    """Quotings and delimiters in the order that they are tried in."""
    escaped = re.search(r'\\"[^",;\t|\r\n]', sample)
    for quoting in (_ESCAPED, _DOUBLED) if escaped else (_DOUBLED,):
        yield from ((quoting, delimiter) for delimiter in _DELIMITERS)
    # Files with tabs often have none. Quotes around a field are not part of it, though.
    if not re.search(r'(^|\t)"[^\t\n]*"\r?(\t|$)', sample, flags=re.M):
        yield _NONE, "\t"


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first row names the columns: short words, no number, and none that its column has again."""
    if not all(0 < len(name.strip()) <= 40 for name in first):
        return False
    columns = zip(first, zip(*rest, strict=True), strict=True)
    return not any(name.strip().lstrip("-").isdecimal() or name in column for name, column in columns)


def _records(path: Path, stream: IO[str], form: dict[str, Any], width: int) -> Iterator[list[Any]]:
    """The fields of each row and the line that it begins in; blank lines are passed over.

    Raises:
        CrepeError: a row is malformed or has another number of fields.
    """
    reader = csv.reader(stream, **form)
    line = 1
    try:
        for row in reader:
            if row and len(row) != width:
                raise CrepeError(f"{path}: line {line}: has {len(row)} fields where others have {width}")
            if row:
                yield [*row, line]
            line = reader.line_num + 1
    except csv.Error as error:
        raise CrepeError(
            f"{path}: line {line}: {error}; a field that holds a delimiter, a quote or a line end stands in quotes, "
            "and a quote in it is written twice"
        ) from error


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
