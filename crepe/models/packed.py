"""Layers over packed columns: all texts of a minibatch stand behind one another in one matrix [columns, features].

What `crepe.models.convnet` is made of: convolution, pooling and a fully connected layer that cost what there is, with
gradients that are fast and summed in a fixed order. Some are ways of our own, since libraries are made for batches of
images of one size: on a CPU with an eye to its caches, on a GPU with few kernels to start.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from crepe.models.device import fusing
from crepe.models.plan import Move, fixed

THRESHOLD = 1e-6
"""Of the rectifier."""

PIECE = 64
"""Columns of a piece."""

PLACEWISE = torch.backends.cpu.get_cpu_capability() != "AVX512"
"""Whether a CPU convolves by a matrix product for each place in the kernel; oneDNN is faster with wide registers."""

ALIGNED = 8
"""Rows of matrices in bfloat16 are multiples of this for the units of a GPU that multiply them."""


def lookup(codes: Tensor, weight: Tensor) -> Tensor:
    """Convolution over one-hot columns without making them.

    Args:
        codes: int64 [columns], 0 for the all-zero column, as the first and the last kernel - 1 are.
        weight: [features, symbols, 1, kernel].

    Returns:
        [columns - kernel + 1, features].
    """
    features, symbols, _, kernel = weight.shape
    if fixed(codes.device):
        # One product of what a kernel sees of one-hot columns: they are small, and no gradient of theirs is asked for.
        size = symbols + -symbols % ALIGNED
        hot = (codes[:, None] == torch.arange(1, size + 1, device=codes.device)).to(weight.dtype)
        seen = hot.flatten().unfold(0, kernel * size, size).contiguous()
        return seen @ F.pad(weight.squeeze(2).transpose(1, 2), (0, size - symbols)).flatten(1).t()
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
        codes, kernel = ctx.codes, ctx.kernel
        edges = codes[: kernel - 1], codes[len(gradient) :]
        assert not np.concatenate(edges).any(), "each place of the kernel sees every symbol"
        uses = np.bincount(codes, minlength=ctx.symbols)
        # NumPy sorts small integers digit by digit. All-zero columns, a fifth of all, come first and are left out.
        places = np.argsort(codes.astype(np.min_scalar_type(ctx.symbols)), kind="stable")[uses[0] :]
        uses[0] = 0
        columns = torch.from_numpy(np.concatenate([places - position for position in range(kernel)]))
        uses = np.tile(uses, kernel)
        begins = torch.from_numpy(np.cumsum(uses) - uses)
        return None, None, F.embedding_bag(columns, gradient, begins, mode="sum")


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
    """oneDNN's convolution; the weight's gradient over pieces, as one long row takes it many times as long.

    The pieces are copied to its own order of memory: left to itself, it works in another one that is a fifth slower.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _packed(F.conv2d(_image(x), weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        for_x = conv2d_input(_image(x).shape, weight, _image(gradient))  # type: ignore[no-untyped-call]
        rest = (0, 0, 0, -len(gradient) % PIECE)
        seen, pieces = (
            F.pad(tensor, rest).unfold(0, width, PIECE).unsqueeze(2).contiguous(memory_format=torch.channels_last)
            for tensor, width in ((x, PIECE + weight.shape[3] - 1), (gradient, PIECE))
        )
        return _packed(for_x), conv2d_weight(seen, weight.shape, pieces)  # type: ignore[no-untyped-call]


def convolve_moved(x: Tensor, way: Move, weight: Tensor) -> Tensor:
    """Convolution over columns that were moved: `convolve(move(x, way), weight)`."""
    if fixed(x.device):
        y: Tensor = _ByWindows.apply(x, way, weight)  # type: ignore[no-untyped-call]
        return y
    return convolve(move(x, way), weight)


class _ByWindows(torch.autograd.Function):
    """One matrix product over what the kernel sees at each column, moved there at once: few kernels for a GPU to start.

    The gradient of the columns is the same of the other way round: each picks the gradients of all that saw it. The
    constant, which is seen in many places, gets the sum of what these would pick.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, way: Move, weight: Tensor) -> Tensor:
        outputs, inputs, _, kernel = weight.shape
        seen = _windows(x, way.places.unfold(0, kernel, 1))
        ctx.way, ctx.length = way, len(x)
        ctx.save_for_backward(seen, weight)
        return seen @ weight.permute(0, 2, 3, 1).reshape(outputs, kernel * inputs).t()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        seen, weight = ctx.saved_tensors
        outputs, inputs, _, kernel = weight.shape
        for_weight = (gradient.t() @ seen).view(outputs, 1, kernel, inputs).permute(0, 3, 1, 2)
        # Place p of the kernel saw a column where gradient `column + kernel - 1 - p` stands here; the last one is zero.
        gradient = F.pad(gradient, (0, 0, kernel - 1, kernel))
        back, unused = ctx.way.back[: ctx.length, None], ctx.way.unused[: ctx.length, None]
        picked = (back + torch.arange(kernel - 1, -1, -1, device=back.device)).masked_fill_(unused, len(gradient) - 1)
        by = _windows(gradient, picked)
        lacking = F.pad(ctx.way.lacking, (kernel - 1, kernel)).unfold(0, len(ctx.way.lacking) + kernel, 1)
        by[0] += (lacking.to(gradient.dtype) @ gradient[: lacking.shape[1]]).flatten()
        return by @ weight.permute(3, 0, 2, 1).reshape(kernel * outputs, inputs), None, for_weight


def _windows(x: Tensor, places: Tensor) -> Tensor:
    """Rows of a matrix side by side: [columns, features] by int64 [windows, width] to [windows, width * features]."""
    return x.index_select(0, places.flatten()).view(len(places), -1)


def activate(x: Tensor, bias: Tensor, pool: int) -> Tensor:
    """Pooling, bias and rectifier, in this order: [columns, features] to [columns // pool, features].

    Args:
        x: whole windows of the pooling.
        bias: [features].
        pool: columns of which the maximum is taken.
    """
    if fusing(x):
        y: Tensor = _Activate.apply(x, bias, pool)  # type: ignore[no-untyped-call]
        return y
    return rectify(max_pool(x, pool) + bias)


class _Activate(torch.autograd.Function):
    """In one pass over memory either way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, pool: int) -> Tensor:
        from crepe.models import fused

        y, which = fused.activate(x, bias, pool, THRESHOLD)
        ctx.pool = pool
        ctx.save_for_backward(which)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        from crepe.models import fused

        (which,) = ctx.saved_tensors
        for_x = fused.spread(gradient, which, ctx.pool)
        # A product takes half the time of a sum, for want of many columns to divide it by.
        return for_x, (for_x.new_ones(1, len(for_x)) @ for_x)[0], None


def rectify(x: Tensor) -> Tensor:
    """The original's rectifier (its `Threshold(1e-6)`): x where x > 1e-6, else 0."""
    return F.threshold(x, THRESHOLD, 0.0)


def max_pool(x: Tensor, pool: int) -> Tensor:
    """The maximum of each `pool` columns, a divisor of all: [columns, features] to [columns // pool, features]."""
    if pool == 1:
        return x
    y: Tensor = _MaxPool.apply(x, pool)  # type: ignore[no-untyped-call]
    return y


class _MaxPool(torch.autograd.Function):
    """The gradient by unpooling, which takes two thirds of the time of torch's own and gives the same."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: int) -> Tensor:
        # An image for each window: torch divides the work by images.
        windows = x.view(-1, 1, pool, x.shape[1]).permute(0, 3, 1, 2)
        y, which = F.max_pool2d(windows, (1, pool), return_indices=True)
        ctx.pool = pool
        ctx.save_for_backward(which)
        return _packed(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (which,) = ctx.saved_tensors
        windows = gradient.view(-1, 1, 1, gradient.shape[1]).permute(0, 3, 1, 2)
        return _packed(F.max_unpool2d(windows, which, (1, ctx.pool))), None


def _image(x: Tensor) -> Tensor:
    """Packed columns as an image of one row, channels-last: [1, features, 1, columns]."""
    return x.view(1, 1, *x.shape).permute(0, 3, 1, 2)


def _packed(image: Tensor) -> Tensor:
    """The other way round."""
    return image.permute(0, 2, 3, 1).flatten(0, 2)


def move(x: Tensor, way: Move) -> Tensor:
    """Columns to where the next layer wants them: [columns left, features] to [columns wanted, features]."""
    return _Move.apply(x, way)  # type: ignore[no-untyped-call, no-any-return]


class _Move(torch.autograd.Function):
    """Both ways by picking rows of a matrix: fast, and in a fixed order on every device."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, way: Move) -> Tensor:
        ctx.way, ctx.length = way, len(x)
        return x.index_select(0, way.places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        way, unused = ctx.way, ctx.way.unused[: ctx.length]
        for_x = gradient.index_select(0, way.back[: ctx.length])
        if fixed(gradient.device):
            for_x.masked_fill_(unused[:, None], 0)
            for_x[0] += way.lacking.to(gradient.dtype) @ gradient
        else:
            for_x.index_fill_(0, unused.nonzero().flatten(), 0)
            for_x[0] += gradient.index_select(0, way.lacking.nonzero().flatten()).sum(0)
        return for_x, None


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

    The weight is cut into blocks of columns. A block is multiplied with the rows that reach it and, if there are
    others, with a row of constants, whose product is that of each of these.
    """

    @staticmethod
    def forward(ctx: Any, constant: Tensor, weight: Tensor, *stacked: Tensor) -> Tensor:
        matrix = weight.to(constant.dtype)
        blocks = _blocks(stacked, constant, weight.shape[1] // len(constant))
        total = constant.new_zeros(sum(map(len, stacked)), len(weight))
        for span, rows, short in blocks:
            product = rows @ matrix[:, span].t()
            if short:
                total[:short] += product[0]
            total[short:] += product[min(short, 1) :]
        ctx.save_for_backward(constant, weight, matrix, *(rows for _, rows, _ in blocks))
        ctx.spans, ctx.shapes = [(span, short) for span, _, short in blocks], [group.shape for group in stacked]
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        constant, weight, matrix, *blocks = ctx.saved_tensors
        for_constant, for_weight = torch.zeros_like(constant), torch.empty_like(weight)
        for_groups = [gradient.new_empty(shape).flatten(1) for shape in ctx.shapes]
        for (span, short), rows in zip(ctx.spans, blocks, strict=True):
            for_rows = torch.cat([gradient[:short].sum(0, keepdim=True), gradient[short:]]) if short else gradient
            for_weight[:, span] = for_rows.t() @ rows
            for_rows = for_rows @ matrix[:, span]
            if short:
                for_constant += for_rows[0].view(-1, len(constant)).sum(0)
            reached = [group for group in for_groups if group.shape[1] >= span.stop]
            parts = for_rows[min(short, 1) :].split_with_sizes([len(group) for group in reached])
            for group, part in zip(reached, parts, strict=True):
                group[:, span] = part
        return (
            for_constant,
            for_weight,
            *(group.view(shape) for group, shape in zip(for_groups, ctx.shapes, strict=True)),
        )


def _blocks(stacked: Sequence[Tensor], constant: Tensor, columns: int) -> list[tuple[slice, Tensor, int]]:
    """The columns cut where a group ends: a block's place in the weight; the rows that reach it; how many do not.

    If there are such, the first of the rows is one of constants: [rows, size].
    """
    bounds = sorted({0, columns, *(group.shape[1] for group in stacked)})
    total, blocks = sum(map(len, stacked)), []
    for first, last in pairwise(bounds):
        rows = [group[:, first:last].flatten(1) for group in stacked if group.shape[1] >= last]
        short = total - sum(map(len, rows))
        if short:
            rows.insert(0, constant.repeat(1, last - first))
        blocks.append((slice(first * len(constant), last * len(constant)), torch.cat(rows), short))
    return blocks
