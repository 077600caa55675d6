"""A split that resides on the device, and batches gathered from it there.

Only lengths and labels stay on the host as well: networks choose shapes by the lengths, and asking the
device for them would make it wait in every step.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.models.device import send
from crepe.ragged import Ragged

LEAST_CODES = 2048
"""A batch is not split into parts of fewer codes than this: each part costs something of its own."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a split, sorted by length: neighbours have similar lengths and can be computed together."""

    values: Tensor
    """uint8 or int32 [total] of the whole split, on the device."""
    starts: Tensor
    """int64 [rows], where each row begins in `values`."""
    lengths_device: Tensor
    """int64 [rows], ascending, number of codes in each row, on the device."""
    lengths: np.ndarray
    """The same on the host."""
    labels: Tensor
    """int64 [rows], classes from 0."""

    @classmethod
    def of(cls, values: Tensor, starts: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> "Batch":
        """Make a batch of rows from their starts, lengths and labels on the host."""
        sent = send(np.stack([starts, lengths, labels]).astype(np.int64, copy=False), values.device)
        return cls(values, sent[0], sent[1], lengths, sent[2])

    def __len__(self) -> int:
        return len(self.lengths)

    def split(self, number: int) -> list["Batch"]:
        """Split the batch into `number` batches of consecutive rows, which have about as many codes each.

        It is not split where these would have less than `LEAST_CODES` codes on average.
        """
        if number == 1 or self.lengths.sum() < number * LEAST_CODES:
            return [self]
        # An empty row costs something, too.
        sums = np.cumsum(self.lengths + 1)
        firsts = np.searchsorted(sums, np.arange(number) * (sums[-1] / number), side="right")
        return [
            Batch(
                self.values,
                self.starts[first:last],
                self.lengths_device[first:last],
                self.lengths[first:last],
                self.labels[first:last],
            )
            for first, last in pairwise([*np.unique(firsts).tolist(), len(self)])
        ]

    def take(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return single codes of rows, int64, of the arguments' shape.

        Args:
            rows: int64, on the device; -1 stands for an empty row.
            columns: int64, of a shape that broadcasts with it; behind a row's end the code is 0, no symbol.
        """
        inside = columns < F.pad(self.lengths_device, (0, 1))[rows]
        places = torch.where(inside, F.pad(self.starts, (0, 1))[rows] + columns, 0)
        return torch.where(inside, self._take(places), 0)

    def flat(self) -> tuple[Tensor, Tensor]:
        """Concatenate the rows: return their codes, int64 [sum of lengths], and the row of each, int64."""
        device = self.values.device
        total = int(self.lengths.sum())
        rows = torch.repeat_interleave(torch.arange(len(self), device=device), self.lengths_device, output_size=total)
        begins = self.lengths_device.cumsum(0) - self.lengths_device
        return self._take(torch.arange(total, device=device) + (self.starts - begins)[rows]), rows

    def padded(self, columns: int | None = None) -> Tensor:
        """Return the rows as a matrix, int64 [rows, columns], with 0 behind their ends.

        Args:
            columns: number of columns; None takes that of the longest row.
        """
        if columns is None:
            columns = int(self.lengths.max(initial=0))
        device = self.values.device
        return self.take(torch.arange(len(self), device=device)[:, None], torch.arange(columns, device=device))

    def _take(self, places: Tensor) -> Tensor:
        # A split without a single code has nothing to take from, and every place is padding.
        return self.values[places].long() if len(self.values) else torch.zeros_like(places)


class Split:
    """One split of a dataset on a device."""

    def __init__(self, rows: Ragged, device: torch.device) -> None:
        self.device = device
        self.labels = rows.labels
        self.lengths = rows.lengths
        self._starts = rows.offsets[:-1]
        # Not copied unless read-only, which torch cannot be: the rows can be most of what a process holds.
        self._values = torch.from_numpy(np.require(rows.values, requirements="W")).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray) -> "Split":
        """Return the split of only these rows."""
        part = copy(self)
        part.labels, part.lengths, part._starts = self.labels[rows], self.lengths[rows], self._starts[rows]
        return part

    def slice(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return the integers of rows `first` to `last` - 1, one row behind the other; a view of the split if possible.

        Returns:
            int32 [integers], and int64 [rows + 1], where each row begins.
        """
        starts, lengths = self._starts[first:last], self.lengths[first:last]
        offsets = np.append(0, lengths.cumsum())
        if (np.diff(starts) == lengths[:-1]).all():
            values = self._values[int(starts[0]) : int(starts[0] + offsets[-1])]
        else:
            places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
            values = self._values[torch.from_numpy(places).to(self.device)]
        return values.to(torch.int32), torch.from_numpy(offsets).to(self.device)

    def batch(self, rows: np.ndarray) -> Batch:
        """Return the batch of `rows` (indices, in any order and number), sorted by length."""
        rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        return Batch.of(self._values, self._starts[rows], self.lengths[rows], self.labels[rows])

    def drawn(self, rows: np.ndarray, seed: int, number: int) -> Batch:
        """Return batch `number`, counted from 0, of a training with `seed`; subclasses may change the texts.

        Args:
            rows: int64 [batch size], indices of rows.
            seed: seed of the training.
            number: number of the batch.
        """
        return self.batch(rows)

    def by_length(self, size: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """Yield every row once, in batches of at most `size` rows of similar lengths, with the rows' indices.

        The longest rows come first: later batches fit into the memory that earlier ones have freed, and a batch too
        large for the device ends the pass at its start.
        """
        order = np.argsort(self.lengths, kind="stable")
        for first in reversed(range(0, len(order), size)):
            rows = order[first : first + size]
            yield rows, self.batch(rows)
