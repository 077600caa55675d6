"""Read the rows of a table some at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # A machine that only predicts can do without polars.
    import polars as pl


def batches(rows: "pl.LazyFrame", size: int) -> Iterator["pl.DataFrame"]:
    """Yield the rows of a lazy table in their order, a batch of them in memory at a time.

    polars' own `collect_batches` computes some hundred thousand rows ahead, gigabytes of long texts.

    Args:
        rows: the table, a scan of a file and what is computed from each row by itself.
        size: rows of a batch; the last one may have fewer.
    """
    begin = 0
    while len(batch := rows.slice(begin, size).collect()):
        yield batch
        begin += size
