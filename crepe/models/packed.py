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
        total = int(widths.sum())
        self.starts = send(self.begins, device)
        """int64 [rows], place of each row's first column."""
        each = send(widths, device)
        self.rows = torch.repeat_interleave(torch.arange(len(widths), device=device), each, output_size=total)
        """int64 [total], row of each place."""
        self.columns = torch.arange(total, device=device) - self.starts[self.rows]
        """int64 [total], column within its row of each place."""

    def find(self, rows: Tensor, columns: Tensor, used: np.ndarray) -> tuple[Tensor, Tensor]:
        """Places of columns, and whether they are among the first `used` of their row; the others have place 0."""
        limits = send(used, rows.device)
        inside = columns < limits[rows]
        return torch.where(inside, self.starts[rows] + columns, 0), inside


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
        y: Tensor = _Lookup.apply(bags, table)  # type: ignore[no-untyped-call]
        return y
    return F.embedding_bag(bags, table, mode="sum")


class _Lookup(torch.autograd.Function):
    """The gradient is such a sum as well, of the columns where a row of the table was used.

    That takes a quarter of torch's time in float32 and a tenth in bfloat16, where it is more exact, too: torch's rounds
    after every column that it adds.
    """

    @staticmethod
    def forward(ctx: Any, bags: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(bags)
        ctx.rows = len(table)
        return F.embedding_bag(bags, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (bags,) = ctx.saved_tensors
        rows = bags.t().flatten().int()
        columns = torch.argsort(rows, stable=True) % len(bags)
        uses = torch.bincount(rows, minlength=ctx.rows)
        return None, F.embedding_bag(columns, gradient, uses.cumsum(0) - uses, mode="sum")


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
        places, inside = source.find(target.rows, target.columns, used)
        ctx.source, ctx.used, ctx.target, ctx.length = source, used, target, len(values)
        ctx.save_for_backward(inside)
        return values.index_select(0, torch.where(inside, places, source.starts[-1]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        source, target, length = ctx.source, ctx.target, ctx.length
        (inside,) = ctx.saved_tensors
        moved = np.minimum(ctx.used, target.widths)
        places, kept = target.find(source.rows[:length], source.columns[:length], moved)
        for_values = gradient.index_select(0, places).mul_(kept[:, None])
        for_values[int(source.begins[-1])] += (~inside).to(gradient.dtype) @ gradient
        return for_values, None, None, None


def ragged_linear(stacked: Sequence[Tensor], constant: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A fully connected layer over columns that are `constant` behind those that are given.

    Args:
        stacked: groups of rows, [rows, used columns, features] each, used columns ascending.
        constant: [features], every column behind.
        weight: [outputs, columns * features], column by column.
        bias: [outputs].

    Returns:
        [all rows, outputs].
    """
    product: Tensor = _RaggedLinear.apply(constant, weight, *stacked)  # type: ignore[no-untyped-call]
    return product + bias


class _RaggedLinear(torch.autograd.Function):
    """The products of `ragged_linear`, each part of the large weight and of its gradient being touched once."""

    @staticmethod
    def forward(ctx: Any, constant: Tensor, weight: Tensor, *stacked: Tensor) -> Tensor:
        # tail[:, c] is what the constant adds from column c on.
        tail = (weight.view(-1, len(constant)) @ constant[:, None]).view(len(weight), -1).flip(1).cumsum(1).flip(1)
        tail = F.pad(tail, (0, 1))
        total = torch.cat([tail[:, group.shape[1]].expand(len(group), -1) for group in stacked])
        blocks = _blocks(stacked)
        for span, rows in blocks:
            total[-len(rows) :].addmm_(rows, weight[:, span].t())
        ctx.save_for_backward(constant, weight, *(rows for _, rows in blocks))
        ctx.spans, ctx.shapes = [span for span, _ in blocks], [group.shape for group in stacked]
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        constant, weight, *blocks = ctx.saved_tensors
        for_weight = torch.empty_like(weight)
        for_weight[:, ctx.spans[-1].stop :] = 0
        for_groups = [gradient.new_empty(shape).flatten(1) for shape in ctx.shapes]
        for span, rows in zip(ctx.spans, blocks, strict=True):
            below = gradient[-len(rows) :]
            for_weight[:, span] = below.t() @ rows
            reached = [group for group in for_groups if group.shape[1] >= span.stop]
            sizes = [len(group) for group in reached]
            for group, part in zip(reached, (below @ weight[:, span]).split_with_sizes(sizes), strict=True):
                group[:, span] = part
        # The gradient of what stands in column c of the weight: that of the rows whose constant begins there or before.
        by_group = gradient.split_with_sizes([shape[0] for shape in ctx.shapes])
        behind = gradient.new_zeros(weight.shape[1] // len(constant), len(weight))
        for shape, part in zip(ctx.shapes, by_group, strict=True):
            behind[shape[1] :] += part.sum(0)
        behind = behind.t().contiguous()
        for_weight.view(*behind.shape, -1).addcmul_(behind[:, :, None], constant)
        for_constant = behind.flatten() @ weight.view(behind.numel(), -1)
        return (
            for_constant,
            for_weight,
            *(group.view(shape) for group, shape in zip(for_groups, ctx.shapes, strict=True)),
        )


def _blocks(stacked: Sequence[Tensor]) -> list[tuple[slice, Tensor]]:
    """The groups cut where one ends: place of the block in the weight, and the rows that reach it, [rows, size]."""
    features = stacked[0].shape[2]
    bounds = [0, *sorted({group.shape[1] for group in stacked})]
    return [
        (
            slice(first * features, last * features),
            torch.cat([group[:, first:last].flatten(1) for group in stacked if group.shape[1] >= last]),
        )
        for first, last in pairwise(bounds)
    ]
