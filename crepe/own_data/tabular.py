"""Rows of a table as Parquet for polars: a copy that is made some rows at a time, so that memory does not grow with it.

`crepe.io.tables` reads the files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.progress import meter
from crepe.io.tables import Table, as_text, open_table

ROWS = 20_000
"""Rows of a batch."""

LINE = "line"
"""Column of the line or row of the file, from 1, in which a row begins."""


def column(name: str) -> pl.Expr:
    """A column of the table by its name, which may be anything; polars itself takes `*` for all of them."""
    return pl.col(_stored(name))


def _stored(name: str) -> str:
    return f":{name}"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table, all values text."""

    table: Table
    names: list[str]
    """The columns that can be text; lists and bytes, say, cannot."""
    count: int
    parquet: Path

    @property
    def path(self) -> Path:
        """The file they were read from."""
        return self.table.path

    @property
    def unit(self) -> str:
        """Unit of `LINE`: "line" or "row"."""
        return self.table.unit

    def scan(self) -> pl.LazyFrame:
        """The columns, see `column`, and `LINE`; nothing is read yet."""
        return pl.scan_parquet(self.parquet, glob=False)

    def batches(self, names: list[str]) -> Iterator[pl.DataFrame]:
        """Some columns in pieces, in order."""
        with pq.ParquetFile(self.parquet) as file:
            for batch in file.iter_batches(ROWS, columns=list(map(_stored, names))):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame


def read(path: Path, parquet: Path) -> Rows:
    """Read a table.

    Args:
        path: a file that `crepe.io.tables` reads.
        parquet: where its rows are put.

    Raises:
        CrepeError: the file is missing, of another kind, malformed or without rows.
    """
    table = open_table(path)
    names = [name for name in table.names if table.is_text(name)]
    if not names:
        known = ", ".join(table.names) or "none"
        raise CrepeError(path, f"has no column of text, but {known}", "write lists, objects and bytes as strings")
    schema = pa.schema([(_stored(name), pa.large_string()) for name in names] + [(LINE, pa.int64())])
    count = 0
    with pq.ParquetWriter(parquet, schema) as writer, meter(path.name, None, "rows") as done:
        for batch, lines in table.read():
            values = [as_text(batch.column(name), table.classes(name)) for name in names]
            writer.write_batch(pa.record_batch([*values, pa.array(lines, pa.int64())], schema))
            count += batch.num_rows
            done.advance(batch.num_rows)
    if not count:
        raise CrepeError(path, "has no rows")
    return Rows(table, names, count, parquet)
