"""CSV and Parquet files of any length, some rows at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.files import replacing

ROWS = 8192
"""Most rows of a Parquet file that are taken at a time."""
BYTES = 4 << 20
"""Bytes of a CSV file that are taken at a time."""
BUFFER = 1 << 20
"""Bytes of a column of a Parquet file that are taken at a time."""


class Table:
    """A file that is there: its columns, and its rows some thousands at a time.

    In a CSV file, which has a header, every column is text.

    Raises:
        CrepeError: it is missing or damaged, its name ends otherwise, or two columns have the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path):
            if _is_csv(path):
                parsing = pc.ParseOptions(newlines_in_values=True)
                reading = pc.ReadOptions(block_size=BYTES)
                with pc.open_csv(path, reading, parsing) as file:
                    names = file.schema.names
                # Each block would guess its types anew.
                types = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
                self._rows: Any = pc.open_csv(path, reading, parsing, types)
                self.schema: pa.Schema = self._rows.schema
            else:
                # What is read ahead is kept until the end, and a column of a row group comes in one piece otherwise.
                file = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER)
                self._rows = file.iter_batches(ROWS)
                self.schema = file.schema_arrow
        twice = {name for name in self.schema.names if self.schema.names.count(name) > 1}
        if twice:
            raise CrepeError(f"{path}: has two columns named {min(twice)!r}; rename one")

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with _reading(self.path):
            yield from self._rows


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[Any]:
    """A writer, whose `write_batch` takes record batches; the file appears when the block ends well.

    Raises:
        CrepeError: the file cannot be written, its name ends otherwise, or a CSV file cannot hold a column.
    """
    csv = _is_csv(path)
    with replacing(path) as temporary:
        try:
            with (
                pc.CSVWriter(temporary, schema)
                if csv
                else pq.ParquetWriter(temporary, schema, compression="zstd") as to
            ):
                yield to
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise CrepeError(f"{path}: cannot hold these columns ({error}); write a .parquet file") from error


def _is_csv(path: Path) -> bool:
    if path.suffix not in (".csv", ".parquet"):
        raise CrepeError(f"{path}: is neither .csv nor .parquet by its name; these are what is read and written")
    return path.suffix == ".csv"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        kind = path.suffix.removeprefix(".")
        reason = getattr(error, "strerror", None) or str(error)
        raise CrepeError(f"{path}: cannot be read as {kind}: {reason}") from error
