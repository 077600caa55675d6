"""Write CSV and Parquet files of any length, some rows at a time. `crepe.io.tables` reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.files import replacing


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[Any]:
    """Yield a writer, whose `write_batch` takes record batches; the file appears when the block ends without an error.

    Raises:
        CrepeError: the file cannot be written, its name ends in neither .csv nor .parquet, or CSV cannot hold a column.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise CrepeError(path, "is neither .csv nor .parquet by its name", "these are what is written")
    with replacing(path) as temporary:
        try:
            with (
                pc.CSVWriter(temporary, schema)
                if suffix == ".csv"
                else pq.ParquetWriter(temporary, schema, compression="zstd") as to
            ):
                yield to
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            remedy = "write a .parquet file" if suffix == ".csv" else "leave them out of the input"
            raise CrepeError(path, f"cannot hold these columns ({error})", remedy) from error
