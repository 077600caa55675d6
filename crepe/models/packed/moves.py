"""Moves of columns from where one layer leaves them to where the next one reads them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crepe.models.device import static_shapes


@dataclass(frozen=True, slots=True)
class Move:
    """Sources of copied columns, and destinations for their gradients. The package's docstring has an example.

    The first column that a layer leaves is that of the empty text: the constant.
    """

    source: Tensor
    """int64 [wanted], the column to copy; 0, the constant, behind the text's own columns."""
    is_constant: Tensor
    """bool [wanted], whether it is behind the text's own columns."""
    destination: Tensor
    """int64 [left], the place that a column is copied to as its text's own; 0 if it is not copied."""
    is_unused: Tensor
    """bool [left], whether the column is not copied."""


def move_columns(x: Tensor, move: Move) -> Tensor:
    """Copy columns to where the next layer reads them: [left, features] to [wanted, features]."""
    return _MoveColumns.apply(x, move)  # type: ignore[no-untyped-call, no-any-return]


class _MoveColumns(torch.autograd.Function):
    """`move_columns` with a backward pass that gathers rows, too: fast, and in a fixed order on every device."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, move: Move) -> Tensor:
        ctx.move, ctx.length = move, len(x)
        return x.index_select(0, move.source)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        move, is_unused = ctx.move, ctx.move.is_unused[: ctx.length]
        for_x = gradient.index_select(0, move.destination[: ctx.length])
        # The constant gets the sum over all places that copy it.
        if static_shapes(gradient.device):
            for_x.masked_fill_(is_unused[:, None], 0)
            for_x[0] += move.is_constant.to(gradient.dtype) @ gradient
        else:
            for_x.index_fill_(0, is_unused.nonzero().flatten(), 0)
            for_x[0] += gradient.index_select(0, move.is_constant.nonzero().flatten()).sum(0)
        return for_x, None
