"""Where the columns of a minibatch stand in each layer of a ConvNet.

Behind one another stand the empty text, row 0 here, and the rows of the minibatch, each with as many columns as the
layer is to look into (`crepe.models.convnet` says why that is enough). A plan is computed where the lengths are, for
all layers at once: on a GPU that is a few small kernels, and nothing has to be waited for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GROUP = 16
"""Rows that the first fully connected layer takes as if they were of one length."""

QUANTUM = {"cpu": 32, "cuda": 2048}
"""Totals of columns are multiples of this, 512 where nothing is said: libraries plan each new shape."""

FIXED = ["cuda"]
"""Kinds of device where shapes follow from few numbers, so that a step can be recorded and played again."""


def fixed(device: torch.device) -> bool:
    """Whether shapes must not depend on what only the device knows."""
    return device.type in FIXED


@dataclass(frozen=True, slots=True)
class Move:
    """How columns get from where a layer leaves them to where the next wants them, and gradients back.

    The first column that a layer leaves is that of the empty text: the constant.
    """

    places: Tensor
    """int64 [columns wanted], the column that each place takes."""
    lacking: Tensor
    """bool [columns wanted], whether that is the constant, for want of one of the row's own."""
    back: Tensor
    """int64 [columns left], the place that takes a column as its row's own."""
    unused: Tensor
    """bool [columns left], that there is none."""


class Geometry:
    """What the layers of a ConvNet make of a text's length.

    Args:
        length: columns of a padded text.
        convolutions: width of the kernel and of the pooling of each layer.
    """

    def __init__(self, length: int, convolutions: Sequence[tuple[int, int]]) -> None:
        self.length = length
        self.kernels, self.pools = zip(*convolutions, strict=True)
        self.tails = tuple(-(-(kernel - 1) // pool) for kernel, pool in convolutions)
        """Further columns that the last one of a row's own looks into, in windows of the pooling."""
        self.scales = tuple(int(scale) for scale in np.cumprod((1, *self.pools)))
        """Columns of the text that there is one for, in the input of each layer and in the end."""
        limits = [length]
        for kernel, pool in convolutions:
            limits.append(max(limits[-1] - kernel + 1, 0) // pool)
        self.limits = tuple(limits)
        """Columns of a padded text, likewise."""

    def size(self, lengths: np.ndarray, device: torch.device) -> int:
        """Columns that a minibatch is taken to have on a device where shapes are fixed: all others follow from that."""
        quantum = QUANTUM[device.type]
        # The empty text goes along, and what is empty keeps a column.
        return -(-(int(np.clip(lengths, 1, self.length).sum()) + 1) // quantum) * quantum

    def rounded(self, totals: Sequence[int], quantum: int) -> tuple[int, ...]:
        """Columns in the input of each layer such that those which come out are whole windows and multiples."""
        return tuple(
            -(-total // (quantum * pool)) * quantum * pool + kernel - 1
            for total, kernel, pool in zip(totals, self.kernels, self.pools, strict=True)
        )

    def bounds(self, size: int, rows: int) -> tuple[int, ...]:
        """Columns that minibatches of `size` have at most in the input of each layer."""
        layers = zip(self.kernels, self.pools, self.tails, self.scales[1:], strict=True)
        return tuple(
            pool * ((size + rows * (scale - 1)) // scale + rows * tail) + kernel - 1
            for kernel, pool, tail, scale in layers
        )


class Plan:
    """The plan of one minibatch.

    Args:
        geometry: of the network.
        sizes: int64 [rows], the texts' lengths on the device, ascending.
        lengths: the same on the host.
    """

    def __init__(self, geometry: Geometry, sizes: Tensor, lengths: np.ndarray) -> None:
        device, count = sizes.device, len(sizes)
        scales, limits, tails, pools = (
            constant(numbers, device)[:, None]
            for numbers in (geometry.scales, geometry.limits, geometry.tails, geometry.pools)
        )
        texts = F.pad(sizes.clamp(max=geometry.length), (1, 0))
        # Even the empty text keeps a column: the constant.
        used = torch.minimum(((texts - 1) // scales + 1).clamp(min=1), limits)
        # Whole windows, so that pooling does not straddle two texts, and room for what the last column looks into.
        widths = (used[1:] + tails) * pools
        if fixed(device):
            totals = geometry.bounds(geometry.size(lengths, device), count + 1)
            self.groups = [(count, geometry.limits[-1])]
        else:
            totals = geometry.rounded(widths.sum(1).tolist(), QUANTUM.get(device.type, 512))
            # Rows are sorted by length: the last of a group is its longest.
            ends = [min(first + GROUP, count) for first in range(0, count, GROUP)]
            counts = [end - first for first, end in pairwise([0, *ends])]
            self.groups = list(zip(counts, used[-1, ends].tolist(), strict=True))
        """Rows, and columns of each, that the last layer's output is wanted in, behind the constant alone."""
        last = (1, *(width for alike, width in self.groups for _ in range(alike)))
        totals = (*totals, sum(last))
        make = constant if fixed(device) else torch.tensor
        widths = torch.cat([widths, make(last, device=device)[None]])
        begins = widths.cumsum(1) - widths
        # The last row has what is left of the totals.
        widths[:, -1] = make(totals, device=device) - begins[:, -1]

        rows, columns = places(widths, sum(totals))
        first, *wanted = totals
        self.rows, self.columns = rows[:first] - 1, columns[:first]
        """int64 [columns], row (-1 is the empty text) and column of each place in the first layer's input."""
        # The last columns are there for what is not wanted: they are all-zero, as the first are.
        self.rows[first - geometry.kernels[0] + 1 :] = -1
        own = torch.minimum(used[1:], widths[1:]).flatten()
        rows, columns = rows[first:] - (count + 1), columns[first:]
        lacking = columns >= own.index_select(0, rows)
        taken = ((begins[:-1] // pools).flatten().index_select(0, rows) + columns).masked_fill_(lacking, 0)

        left = [total // pool for total, pool in zip(totals, geometry.pools, strict=False)]
        rows, columns = places(widths[:-1] // pools, sum(left))
        unused = columns >= own.index_select(0, rows)
        back = (begins[1:].flatten().index_select(0, rows) + columns).masked_fill_(unused, 0)
        self.moves = [
            Move(*parts)
            for parts in zip(
                *(tensor.split_with_sizes(wanted) for tensor in (taken, lacking)),
                *(tensor.split_with_sizes(left) for tensor in (back, unused)),
                strict=True,
            )
        ]
        """From each layer to the next, and from the last to the groups."""


def places(widths: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Of each place, where rows of some widths stand behind one another, the row and the column within it.

    Args:
        widths: int64 of any shape; rows are counted through it.
        total: their sum.

    Returns:
        int64 [total], twice.
    """
    widths = widths.flatten()
    rows = torch.repeat_interleave(widths, output_size=total)
    begins = (widths.cumsum(0) - widths).index_select(0, rows)
    return rows, torch.arange(total, device=widths.device) - begins


@cache
def constant(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """int64 [numbers], made once: a step that was recorded reads it where it was."""
    return torch.tensor(numbers, device=device)
