"""The paper's ConvNets (section 2.3, tables 1 and 2), computed at the cost of the text instead of the padding.

**The function.** A text is a matrix with one column a character, padded with all-zero columns to a fixed length
(1014). Layers are convolution, rectifier and, for some, max-pooling; the outcome is read column by column
("time-major") into fully connected layers with dropout.

**The trick.** Behind the end of a text every column is the same, and stays the same through the layers: if the
columns of a layer's input are constant from column `used` on, a convolution of kernel width w and a pooling of
width p make output columns constant from column ceil(used / p) on. The constant follows from the layer's
parameters and the previous constant alone; it is computed once a step, by autograd's eyes like everything else,
and so are its gradients. Hence each layer is run on the used columns and the few constant ones that the last of
them look into (`used_out * p + w - 1` in all), and nothing else: output, loss and gradients are those of the
padded network.

Rows of a minibatch are computed in groups of like length, since what a group costs is what its longest row costs.
Groups have the same number of rows and lengths are rounded up to a final column, so that there are few shapes: a
library that makes a kernel for each (oneDNN) has made them all after some minibatches. The first fully connected
layer takes its columns in blocks, each for just the rows that reach that far; what the constant columns behind
them add is one vector for each possible number of used columns.

**The order of operations.** Adding a bias and the rectifier commute with taking a maximum, so pooling comes first,
and they see a third of the columns. A convolution over one-hot columns is a sum of rows of a table, one for each
(position in the kernel, symbol), and is computed so. Everything is channels-last.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.batches import Batch
from crepe.config import Network
from crepe.errors import CrepeError

GROUP = 16
"""Rows of a group: fewer waste less on padding, but make each convolution smaller."""


class ConvNet(nn.Module):
    """A character-level ConvNet.

    Args:
        network: the layers.
        symbols: largest index in a text; index i is the one-hot column i - 1, index 0 the all-zero column.
        length: columns of the padded text.
        classes: outputs.

    Raises:
        CrepeError: the layers leave nothing of `length` columns.
    """

    def __init__(self, network: Network, symbols: int, length: int, classes: int) -> None:
        super().__init__()
        self.length = length
        self.dropout = network.dropout
        self.pools = [pool for _, pool in network.convolutions]
        self.stride = math.prod(self.pools)
        widths = [symbols] + [network.features] * len(network.convolutions)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (1, kernel))
            for (inputs, outputs), (kernel, _) in zip(pairwise(widths), network.convolutions, strict=True)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        columns = length
        for kernel, pool in network.convolutions:
            columns = max(columns - kernel + 1, 0) // pool
        if columns == 0:
            raise CrepeError(
                f"configuration: the convolutions leave no column of a text of {length}; make length larger"
            )
        sizes = [columns * network.features, *network.hidden, classes]
        self.connected = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))

    def forward(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Scores (log-probabilities but for a constant) of a minibatch: float [rows, classes].

        Args:
            batch: the rows.
            dtype: what is computed in; the parameters keep theirs, and their gradients too.
        """
        kernels = working(self.convolutions, dtype)
        constants = _constants(kernels)
        stacked = [self._convolve(batch, first, last, kernels, constants) for first, last in groups(len(batch))]
        (weight, bias), *others = working(self.connected, dtype)
        x = ragged_linear(stacked, constants[-1], weight, bias)
        for weight, bias in others:
            x = F.linear(F.dropout(rectify(x), self.dropout, self.training), weight, bias)
        return x

    def _convolve(
        self, batch: Batch, first: int, last: int, kernels: Sequence[tuple[Tensor, Tensor]], constants: Sequence[Tensor]
    ) -> Tensor:
        """Rows `first` to `last` through all convolutions: [rows, used columns, features]."""
        columns, used = self.length, min(-(-int(batch.lengths[last - 1]) // self.stride) * self.stride, self.length)
        for number, ((weight, bias), pool) in enumerate(zip(kernels, self.pools, strict=True)):
            kernel = weight.shape[3]
            columns = (columns - kernel + 1) // pool
            # A text of no byte at all still takes one column, so that no tensor is empty.
            after = max(1, min(-(-used // pool), columns))
            needed = after * pool + kernel - 1
            if number == 0:
                x = lookup(batch.padded(first, last, needed), weight)
            else:
                x = convolve(extend(x, constants[number - 1], needed), weight)
            if pool > 1:
                x = F.max_pool2d(x, (1, pool))
            x = rectify(x + bias[:, None, None])
            used = after
        return x.squeeze(2).transpose(1, 2)


def groups(rows: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each group of a minibatch."""
    return [(first, min(first + GROUP, rows)) for first in range(0, rows, GROUP)]


def working(layers: nn.ModuleList, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer as they are computed with; gradients come back in the parameters' own dtype."""
    return [(weight.to(dtype), bias.to(dtype)) for weight, bias in (layer.parameters() for layer in layers)]


def rectify(x: Tensor) -> Tensor:
    """The original's rectifier (its `Threshold(1e-6)`): x where x > 1e-6, else 0."""
    return F.threshold(x, 1e-6, 0.0)


def lookup(codes: Tensor, weight: Tensor) -> Tensor:
    """Convolution over one-hot columns without making them.

    Args:
        codes: int64 [rows, columns], 0 for the all-zero column.
        weight: [features, symbols, 1, kernel].

    Returns:
        [rows, features, 1, columns - kernel + 1], channels-last.
    """
    features, symbols, _, kernel = weight.shape
    # Row k * (symbols + 1) + i is what symbol i at position k of the kernel adds; symbol 0 adds nothing.
    table = F.pad(weight.squeeze(2).permute(2, 1, 0), (0, 0, 1, 0)).reshape(-1, features)
    bags = codes.unfold(1, kernel, 1) + torch.arange(kernel, device=codes.device) * (symbols + 1)
    sums = F.embedding_bag(bags.reshape(-1, kernel), table, mode="sum")
    return sums.view(len(codes), 1, -1, features).permute(0, 3, 1, 2)


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution of one-row images, channels-last, without bias.

    Args:
        x: [rows, inputs, 1, columns].
        weight: [outputs, inputs, 1, kernel].
    """
    return F.conv2d(x, weight) if x.is_cuda else _Convolution.apply(x, weight)  # type: ignore[no-untyped-call]


class _Convolution(torch.autograd.Function):
    """`F.conv2d` with another way to the weights' gradient, which takes oneDNN twice as long as the output.

    With all columns of all rows behind one another, that of a place in the kernel is one matrix product: the output's
    gradient, filled up with zeros to the input's columns, times the input, shifted by the place.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        outputs, inputs, _, kernel = weight.shape
        seen = x.permute(0, 2, 3, 1).reshape(-1, inputs)
        filled = F.pad(gradient, (0, kernel - 1)).permute(0, 2, 3, 1).reshape(-1, outputs)
        products = [filled[: len(seen) - place].t() @ seen[place:] for place in range(kernel)]
        for_weight = torch.stack(products, dim=1).permute(0, 2, 1).unsqueeze(2)
        for_x = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, False, False]
        )[0]
        return for_x, for_weight


def extend(x: Tensor, constant: Tensor, columns: int) -> Tensor:
    """`x` [rows, features, 1, used] cut to `columns`, or continued to them by its `constant` [features]."""
    missing = columns - x.shape[3]
    if missing <= 0:
        return x[..., :columns]
    return torch.cat([x, constant[:, None, None].expand(len(x), -1, 1, missing)], dim=3)


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
        tail = (weight.view(len(weight), -1, len(constant)) @ constant).flip(1).cumsum(1).flip(1)
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
        for_weight = torch.zeros_like(weight)
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


def _constants(kernels: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """What each layer's columns are far behind the end of a text: [features] each."""
    constants: list[Tensor] = []
    for weight, bias in kernels:
        before = weight.sum((2, 3)) @ constants[-1] if constants else torch.zeros_like(bias)
        constants.append(rectify(before + bias))
    return constants
