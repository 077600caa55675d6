"""The first fully connected layer, over texts of different lengths.

The padded layer multiplies the matrix [rows, columns * features] by the weight [columns * features, outputs]. Behind
the end of a text that matrix is the constant column again and again. So the columns are cut into blocks where a group
of texts ends, and each block is multiplied for the rows that reach it and once for the constant, `c`:

                block 0      block 1   block 2
    group 0     a a          c         c c         2 columns
    group 1     D D          D         c c         3 columns
    columns     0 1          2         3 4         of 5
    `reaching`  [a a, D D]   [c, D]    [c c]       rows of the product of the block
    `short`     0 rows       group 0   all rows    rows that take the product of the constant
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def ragged_linear(groups: Sequence[Tensor], constant: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a fully connected layer to columns that are `constant` behind those that are given.

    Args:
        groups: texts of similar lengths, [rows, columns, features] each, fewest columns first.
        constant: [features], every column behind.
        weight: [outputs, columns * features], column by column; its dtype may be another, its gradient keeps it.
        bias: [outputs].

    Returns:
        [all rows, outputs], in the dtype of `constant`.
    """
    product: Tensor = _RaggedLinear.apply(constant, weight, *groups)  # type: ignore[no-untyped-call]
    return product + bias


class _RaggedLinear(torch.autograd.Function):
    """The products of `ragged_linear`; each part of the large weight, and of its gradient, is touched once."""

    @staticmethod
    def forward(ctx: Any, constant: Tensor, weight: Tensor, *groups: Tensor) -> Tensor:
        matrix = weight.to(constant.dtype)
        blocks = _blocks(groups, constant, weight.shape[1] // len(constant))
        total = constant.new_zeros(sum(map(len, groups)), len(weight))
        for block in blocks:
            product = block.reaching @ matrix[:, block.span].t()
            if block.short:
                total[: block.short] += product[0]
            total[block.short :] += product[min(block.short, 1) :]
        ctx.save_for_backward(constant, weight, matrix, *(block.reaching for block in blocks))
        ctx.spans = [(block.span, block.short) for block in blocks]
        ctx.shapes = [group.shape for group in groups]
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        constant, weight, matrix, *blocks = ctx.saved_tensors
        for_constant, for_weight = torch.zeros_like(constant), torch.empty_like(weight)
        for_groups = [gradient.new_empty(shape).flatten(1) for shape in ctx.shapes]
        for (span, short), reaching in zip(ctx.spans, blocks, strict=True):
            for_rows = torch.cat([gradient[:short].sum(0, keepdim=True), gradient[short:]]) if short else gradient
            for_weight[:, span] = for_rows.t() @ reaching
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


@dataclass(frozen=True, slots=True)
class _Block:
    """Columns between the ends of two groups."""

    span: slice
    """Its part of the weight's columns * features."""
    reaching: Tensor
    """[rows, size of the span]: the rows that reach the block; before them, if others do not, one of constants."""
    short: int
    """Number of rows that do not reach it; they come first in the batch."""


def _blocks(groups: Sequence[Tensor], constant: Tensor, columns: int) -> list[_Block]:
    """Cut the columns of a padded text where a group ends."""
    bounds = sorted({0, columns, *(group.shape[1] for group in groups)})
    total, blocks = sum(map(len, groups)), []
    for first, last in pairwise(bounds):
        rows = [group[:, first:last].flatten(1) for group in groups if group.shape[1] >= last]
        short = total - sum(map(len, rows))
        if short:
            rows.insert(0, constant.repeat(1, last - first))
        blocks.append(_Block(slice(first * len(constant), last * len(constant)), torch.cat(rows), short))
    return blocks
