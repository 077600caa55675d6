"""Layers over packed columns: all texts of a minibatch stand behind one another in one matrix [columns, features].

What `crepe.models.convnet` is made of: convolution, pooling and a fully connected layer that cost what there is, with
gradients that are fast and summed in a fixed order. On a CPU some are ways of our own, since libraries are made for
batches of images of one size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from crepe.device import send

PIECE = 256
"""Columns of a piece."""

PLACEWISE = torch.backends.cpu.get_cpu_capability() != "AVX512"
"""Whether a CPU convolves by a matrix product for each place in the kernel; oneDNN is faster with wide registers."""


class Layout:
    """Where the columns of each row stand when all rows stand behind one another.

    Args:
        widths: int64 [rows], columns of each row, 1 or more.
        device: of the tensors.
    """

    def __init__(self, widths: np.ndarray, device: torch.device) -> None:
        self.widths = widths
        self.begins = np.cumsum(widths) - widths
        rows = np.repeat(np.arange(len(widths)), widths)
        self.starts = send(self.begins, device)
        """int64 [rows], place of each row's first column."""
        self.rows = send(rows, device)
        """int64 [total], row of each place."""
        self.columns = send(np.arange(len(rows)) - self.begins[rows], device)
        """int64 [total], column within its row of each place."""

    def behind(self, used: np.ndarray) -> np.ndarray:
        """Places of the columns behind the first `used` of each row: int64."""
        rest = self.widths - used
        ends = np.cumsum(rest)
        return np.repeat(self.begins + used - ends + rest, rest) + np.arange(ends[-1])


@dataclass(frozen=True, slots=True)
class Packed:
    """The columns of a minibatch between two layers. The last row is the empty text."""

    values: Tensor
    """[columns, features]; at the end spare columns of the layout may be lacking."""
    layout: Layout
    used: np.ndarray
    """int64 [rows], how many of a row's columns are its own; for those behind, the empty text's first stands."""


def lookup(codes: Tensor, weight: Tensor) -> Tensor:
    """Convolution over one-hot columns without making them.

    Args:
        codes: int64 [columns], 0 for the all-zero column.
        weight: [features, symbols, 1, kernel].

    Returns:
        [columns - kernel + 1, features].
    """
    features, symbols, _, kernel = weight.shape
    # Row k * (symbols + 1) + i is what symbol i at position k of the kernel adds; symbol 0 adds nothing.
    table = F.pad(weight.squeeze(2).permute(2, 1, 0), (0, 0, 1, 0)).reshape(-1, features)
    bags = codes.unfold(0, kernel, 1) + torch.arange(kernel, device=codes.device) * (symbols + 1)
    if codes.device.type == "cpu":
        y: Tensor = _Lookup.apply(codes, bags, table)  # type: ignore[no-untyped-call]
        return y
    return F.embedding_bag(bags, table, mode="sum")


class _Lookup(torch.autograd.Function):
    """The gradient is such a sum as well, of the columns where a row of the table was used.

    That takes a quarter of torch's time in float32 and a tenth in bfloat16, where it is more exact, too: torch's rounds
    after every column that it adds.
    """

    @staticmethod
    def forward(ctx: Any, codes: Tensor, bags: Tensor, table: Tensor) -> Tensor:
        ctx.codes, ctx.kernel, ctx.symbols = codes.numpy(), bags.shape[1], len(table) // bags.shape[1]
        return F.embedding_bag(bags, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        total = len(gradient)
        # NumPy sorts small integers digit by digit; one sort serves every position of the kernel.
        places = np.argsort(ctx.codes.astype(np.min_scalar_type(ctx.symbols)), kind="stable")
        seen = [places - position for position in range(ctx.kernel)]
        columns = np.concatenate([some[(some >= 0) & (some < total)] for some in seen])
        uses = np.concatenate([np.bincount(ctx.codes[k : k + total], minlength=ctx.symbols) for k in range(ctx.kernel)])
        begins = np.cumsum(uses) - uses
        sums = F.embedding_bag(torch.from_numpy(columns), gradient, torch.from_numpy(begins), mode="sum")
        return None, None, sums


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution over packed columns, without bias.

    Args:
        x: [columns, inputs].
        weight: [outputs, inputs, 1, kernel].

    Returns:
        [columns - kernel + 1, outputs].
    """
    if x.device.type == "cpu" and (PLACEWISE or x.dtype != torch.bfloat16):
        way = _ByPlaces if PLACEWISE else _ByPieces
        y: Tensor = way.apply(x, weight)  # type: ignore[no-untyped-call]
        return y
    return _packed(F.conv2d(_image(x), weight))


class _ByPlaces(torch.autograd.Function):
    """A matrix product for each place in the kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        first, *others = weight.squeeze(2).permute(2, 1, 0).unbind()
        columns = len(x) - len(others)
        y = x[:columns] @ first
        for place, other in enumerate(others, 1):
            y.addmm_(x[place : place + columns], other)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = torch.empty_like(x), torch.empty_like(weight)
        for_x[len(gradient) :] = 0
        for place, matrix in enumerate(weight.squeeze(2).permute(2, 0, 1)):
            seen = slice(place, place + len(gradient))
            torch.addmm(for_x[seen], gradient, matrix, beta=float(place > 0), out=for_x[seen])
            for_weight[:, :, 0, place] = gradient.t() @ x[seen]
        return for_x, for_weight


class _ByPieces(torch.autograd.Function):
    """oneDNN's convolution; the weight's gradient over pieces, as one long row takes it many times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _packed(F.conv2d(_image(x), weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        for_x = conv2d_input(_image(x).shape, weight, _image(gradient))  # type: ignore[no-untyped-call]
        rest = (0, 0, 0, -len(gradient) % PIECE)
        pieces = F.pad(gradient, rest).unfold(0, PIECE, PIECE).unsqueeze(2)
        seen = F.pad(x, rest).unfold(0, PIECE + weight.shape[3] - 1, PIECE).unsqueeze(2)
        return _packed(for_x), conv2d_weight(seen, weight.shape, pieces)  # type: ignore[no-untyped-call]


def max_pool(x: Tensor, pool: int) -> Tensor:
    """The maximum of each `pool` columns, a divisor of all: [columns, features] to [columns // pool, features]."""
    if pool == 1:
        return x
    # An image for each: torch divides the work by images.
    windows = x.view(-1, 1, pool, x.shape[1]).permute(0, 3, 1, 2)
    return _packed(F.max_pool2d(windows, (1, pool)))


def _image(x: Tensor) -> Tensor:
    """Packed columns as an image of one row, channels-last: [1, features, 1, columns]."""
    return x.view(1, 1, *x.shape).permute(0, 3, 1, 2)


def _packed(image: Tensor) -> Tensor:
    """The other way round."""
    return image.permute(0, 2, 3, 1).flatten(0, 2)


def move(packed: Packed, target: Layout) -> Tensor:
    """Columns of each row to where `target` wants them: [all columns of `target`, features]."""
    return _Move.apply(packed.values, packed.layout, packed.used, target)  # type: ignore[no-untyped-call, no-any-return]


class _Move(torch.autograd.Function):
    """Both ways by picking rows of a matrix: fast, and in a fixed order on every device."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, source: Layout, used: np.ndarray, target: Layout) -> Tensor:
        moved = np.minimum(used, target.widths)
        lacking = send(target.behind(moved), values.device)
        places = source.starts[target.rows] + target.columns
        places.index_fill_(0, lacking, int(source.begins[-1]))
        ctx.source, ctx.moved, ctx.target, ctx.length = source, moved, target, len(values)
        ctx.save_for_backward(lacking)
        return values.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        source, target, length = ctx.source, ctx.target, ctx.length
        (lacking,) = ctx.saved_tensors
        spare = source.behind(ctx.moved)
        unused = send(spare[spare < length], gradient.device)
        places = target.starts[source.rows[:length]] + source.columns[:length]
        places.index_fill_(0, unused, 0)
        for_values = gradient.index_select(0, places).index_fill_(0, unused, 0)
        for_values[int(source.begins[-1])] += gradient.index_select(0, lacking).sum(0)
        return for_values, None, None, None


def ragged_linear(stacked: Sequence[Tensor], constant: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A fully connected layer over columns that are `constant` behind those that are given.

    Args:
        stacked: groups of rows, [rows, used columns, features] each, used columns ascending.
        constant: [features], every column behind.
        weight: [outputs, columns * features], column by column; computed with in the dtype of the others.
        bias: [outputs].

    Returns:
        [all rows, outputs].
    """
    product: Tensor = _RaggedLinear.apply(constant, weight, *stacked)  # type: ignore[no-untyped-call]
    return product + bias


class _RaggedLinear(torch.autograd.Function):
    """The products of `ragged_linear`, each part of the large weight and of its gradient being touched once.

    The weight is cut into blocks of columns. A block is multiplied with the rows that reach it and with a row of
    constants, whose product is that of all other rows.
    """

    @staticmethod
    def forward(ctx: Any, constant: Tensor, weight: Tensor, *stacked: Tensor) -> Tensor:
        matrix = weight.to(constant.dtype)
        blocks = _blocks(stacked, constant, weight.shape[1] // len(constant))
        total = constant.new_zeros(sum(map(len, stacked)), len(weight))
        for span, rows in blocks:
            product = rows @ matrix[:, span].t()
            short = len(total) - len(rows) + 1
            total[:short] += product[0]
            total[short:] += product[1:]
        ctx.save_for_backward(constant, weight, matrix, *(rows for _, rows in blocks))
        ctx.spans, ctx.shapes = [span for span, _ in blocks], [group.shape for group in stacked]
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        constant, weight, matrix, *blocks = ctx.saved_tensors
        for_constant, for_weight = torch.zeros_like(constant), torch.empty_like(weight)
        for_groups = [gradient.new_empty(shape).flatten(1) for shape in ctx.shapes]
        for span, rows in zip(ctx.spans, blocks, strict=True):
            short, long = gradient.split_with_sizes([len(gradient) - len(rows) + 1, len(rows) - 1])
            for_rows = torch.cat([short.sum(0, keepdim=True), long])
            for_weight[:, span] = for_rows.t() @ rows
            for_rows = for_rows @ matrix[:, span]
            for_constant += for_rows[0].view(-1, len(constant)).sum(0)
            reached = [group for group in for_groups if group.shape[1] >= span.stop]
            parts = for_rows[1:].split_with_sizes([len(group) for group in reached])
            for group, part in zip(reached, parts, strict=True):
                group[:, span] = part
        return (
            for_constant,
            for_weight,
            *(group.view(shape) for group, shape in zip(for_groups, ctx.shapes, strict=True)),
        )


def _blocks(stacked: Sequence[Tensor], constant: Tensor, columns: int) -> list[tuple[slice, Tensor]]:
    """The columns cut where a group ends: place of a block in the weight; the constants, and the rows that reach it.

    The latter are [1 + rows, size].
    """
    bounds = sorted({0, columns, *(group.shape[1] for group in stacked)})
    return [
        (
            slice(first * len(constant), last * len(constant)),
            torch.cat(
                [constant.repeat(1, last - first)]
                + [group[:, first:last].flatten(1) for group in stacked if group.shape[1] >= last]
            ),
        )
        for first, last in pairwise(bounds)
    ]
