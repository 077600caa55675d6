"""Places of a batch's columns in each layer of a ConvNet. The package's docstring has an example.

A plan is computed where the lengths are, for all layers at once: on a GPU that is a few small kernels, and nothing has
to be waited for.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.models.device import static_shapes
from crepe.models.packed.moves import Move

GROUP = 16
"""Number of rows that the first fully connected layer takes as if they were of one length."""

QUANTUM = {"cpu": 32, "cuda": 2048}
"""Totals of columns are multiples of this, by kind of device: libraries prepare themselves for each new shape."""
_QUANTUM_ELSEWHERE = 512


class Geometry:
    """Sizes of the layers of a ConvNet, and the columns that each makes of a text's length.

    Args:
        length: columns of a padded text.
        convolutions: width of the kernel and of the pooling of each layer.
    """

    def __init__(self, length: int, convolutions: Sequence[tuple[int, int]]) -> None:
        self.length = length
        self.kernels, self.pools = zip(*convolutions, strict=True)
        self.tails = tuple(-(-(kernel - 1) // pool) for kernel, pool in convolutions)
        """Per layer: extra pooling windows after a text's own, for what the kernel reads past its last own window."""
        self.scales = tuple(int(scale) for scale in np.cumprod((1, *self.pools)))
        """By layer, and at the end: columns of the text for each column of the layer's input."""
        limits = [length]
        for kernel, pool in convolutions:
            limits.append(max(limits[-1] - kernel + 1, 0) // pool)
        self.limits = tuple(limits)
        """By layer, and at the end: columns of a padded text in the layer's input."""

    def size(self, lengths: np.ndarray, device: torch.device) -> int:
        """Return the number of columns that a batch is rounded up to where shapes are static; all others follow."""
        quantum = QUANTUM[device.type]
        # The empty text goes along, and each empty text keeps a column.
        return -(-(int(np.clip(lengths, 1, self.length).sum()) + 1) // quantum) * quantum

    def rounded(self, totals: Sequence[int], quantum: int) -> tuple[int, ...]:
        """Round up the columns in each layer's input such that the layer leaves a multiple of `quantum` columns."""
        return tuple(
            -(-total // (quantum * pool)) * quantum * pool + kernel - 1
            for total, kernel, pool in zip(totals, self.kernels, self.pools, strict=True)
        )

    def bounds(self, size: int, rows: int) -> tuple[int, ...]:
        """Return the most columns that a batch of `size` and `rows` has in each layer's input."""
        layers = zip(self.kernels, self.pools, self.tails, self.scales[1:], strict=True)
        return tuple(
            pool * ((size + rows * (scale - 1)) // scale + rows * tail) + kernel - 1
            for kernel, pool, tail, scale in layers
        )


class Plan:
    """The plan of one batch.

    Args:
        geometry: the network's.
        lengths_device: int64 [rows], the texts' lengths on the device, ascending.
        lengths: the same on the host.
    """

    row_of_column: Tensor
    """int64 [columns], the row of each column of the first layer's input; -1 is the empty text."""
    place_in_row: Tensor
    """int64 [columns], its place within the row, from 0."""
    groups: list[tuple[int, int]]
    """Rows of each group that the fully connected layer takes, and columns of each of them."""
    moves: list[Move]
    """From each layer to the next, and from the last to the constant alone and the groups."""

    def __init__(self, geometry: Geometry, lengths_device: Tensor, lengths: np.ndarray) -> None:
        device, count = lengths_device.device, len(lengths_device)
        own = _own(geometry, lengths_device)
        pools, tails = (_column(numbers, device) for numbers in (geometry.pools, geometry.tails))
        # Allocate whole pooling windows per text, plus `tails` extra windows for the kernel.
        widths = (own[1:] + tails) * pools
        if static_shapes(device):
            totals = geometry.bounds(geometry.size(lengths, device), count + 1)
            self.groups = [(count, geometry.limits[-1])]
        else:
            totals = geometry.rounded(widths.sum(1).tolist(), QUANTUM.get(device.type, _QUANTUM_ELSEWHERE))
            self.groups = _groups(own[-1])
        last = (1, *(width for rows, width in self.groups for _ in range(rows)))
        totals = (*totals, sum(last))
        make = on_device if static_shapes(device) else torch.tensor
        widths = torch.cat([widths, make(last, device=device)[None]])
        begins = widths.cumsum(1) - widths
        # The last row takes what is left of the rounded totals.
        widths[:, -1] = make(totals, device=device) - begins[:, -1]

        first, *wanted = totals
        rows, columns = unravel(widths, sum(totals))
        self.row_of_column, self.place_in_row = rows[:first] - 1, columns[:first]
        # The last columns are all-zero, as the first are: `lookup` relies on it.
        self.row_of_column[first - geometry.kernels[0] + 1 :] = -1

        # From here on, row r of layer l, both from 0 and the layer behind the first, is number l * (count + 1) + r.
        own = torch.minimum(own[1:], widths[1:]).flatten()
        rows, columns = rows[first:] - (count + 1), columns[first:]
        is_constant = columns >= own.index_select(0, rows)
        source = ((begins[:-1] // pools).flatten().index_select(0, rows) + columns).masked_fill_(is_constant, 0)

        left = [total // pool for total, pool in zip(totals, geometry.pools, strict=False)]
        rows, columns = unravel(widths[:-1] // pools, sum(left))
        is_unused = columns >= own.index_select(0, rows)
        destination = (begins[1:].flatten().index_select(0, rows) + columns).masked_fill_(is_unused, 0)

        by_layer = [tensor.split_with_sizes(wanted) for tensor in (source, is_constant)]
        by_layer += [tensor.split_with_sizes(left) for tensor in (destination, is_unused)]
        self.moves = [Move(*parts) for parts in zip(*by_layer, strict=True)]


def _own(geometry: Geometry, lengths_device: Tensor) -> Tensor:
    """Columns of each text's own in each layer's input, and at the end: int64 [layers + 1, rows + 1].

    The empty text, row 0, and other empty ones keep a column: the constant.
    """
    scales, limits = (_column(numbers, lengths_device.device) for numbers in (geometry.scales, geometry.limits))
    texts = F.pad(lengths_device.clamp(max=geometry.length), (1, 0))
    return torch.minimum(((texts - 1) // scales + 1).clamp(min=1), limits)


def _groups(own: Tensor) -> list[tuple[int, int]]:
    """Groups of `GROUP` rows, and the columns of the longest of each.

    Args:
        own: int64 [rows + 1], ascending, the empty text first.
    """
    count = len(own) - 1
    ends = [min(first + GROUP, count) for first in range(0, count, GROUP)]
    counts = [end - first for first, end in pairwise([0, *ends])]
    return list(zip(counts, own[ends].tolist(), strict=True))


def unravel(widths: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Return the row and the column within it of each place, where rows of some widths stand behind one another.

    Args:
        widths: int64 of any shape; rows are counted through it.
        total: their sum.

    Returns:
        int64 [total], twice. For widths 2 and 3: rows 0 0 1 1 1, columns 0 1 0 1 2.
    """
    widths = widths.flatten()
    rows = torch.repeat_interleave(widths, output_size=total)
    begins = (widths.cumsum(0) - widths).index_select(0, rows)
    return rows, torch.arange(total, device=widths.device) - begins


def _column(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers by layer, as int64 [numbers, 1]."""
    return on_device(numbers, device)[:, None]


@cache
def on_device(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """Return int64 [numbers], made once: a step that was recorded reads it where it was."""
    return torch.tensor(numbers, device=device)
