"""Ragged arrays: rows of integers of any length, with a label each. Models read nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    @classmethod
    def from_rows(cls, rows: Iterable[ArrayLike], labels: np.ndarray | None = None, dtype: str = "uint8") -> "Ragged":
        """Join rows in memory; labels are 0 if none are given."""
        parts = [np.asarray(row, dtype=dtype) for row in rows]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        values = np.concatenate(parts) if parts else np.empty(0, dtype)
        return cls(values, offsets, np.zeros(len(parts), np.int32) if labels is None else labels)


def trim(values: np.ndarray, offsets: np.ndarray, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cut the rows of `values` to `length` and the zeros off their ends.

    Args:
        values: integers [total].
        offsets: int64 [rows + 1], starts at 0: row i is `values[offsets[i]:offsets[i + 1]]`.
        length: most values of a row; None leaves them whole.

    Returns:
        Values and offsets of the shorter rows.
    """
    starts, stops = offsets[:-1], offsets[1:]
    ends = stops.copy() if length is None else np.minimum(stops, starts + length)
    rows = np.arange(len(ends))
    while len(rows):
        rows = rows[ends[rows] > starts[rows]]
        rows = rows[values[ends[rows] - 1] == 0]
        ends[rows] -= 1
    # Usually few rows are cut: the values between two cuts are copied in one piece.
    cut = np.flatnonzero(ends < stops)
    pieces = zip(np.append(0, stops[cut]), np.append(ends[cut], len(values)), strict=True)
    return (
        np.concatenate([values[start:end] for start, end in pieces]) if len(cut) else values,
        np.append(0, np.cumsum(ends - starts)),
    )


def drop_zeros(values: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove all zeros of rows, inner ones too; arguments and result are those of `trim`."""
    kept = values != 0
    return values[kept], np.append(0, kept.cumsum())[offsets]
