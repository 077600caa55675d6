"""Pooling, bias and rectifier over packed columns."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.models.device import fusing

THRESHOLD = 1e-6
"""Threshold of the rectifier: the default of Torch 7's `nn.Threshold`, which the original takes."""


def activate(x_NO: Tensor, bias: Tensor, pool: int) -> Tensor:
    """Pool, add the bias, rectify, in this order: [columns, features] to [columns // pool, features].

    Bias and rectifier commute with the maximum, so they come last, where there are fewer columns.

    Args:
        x_NO: whole windows of the pooling.
        bias: [features].
        pool: columns of a window.
    """
    if fusing(x_NO):
        y: Tensor = _Activate.apply(x_NO, bias, pool)  # type: ignore[no-untyped-call]
        return y
    return rectify(max_pool(x_NO, pool) + bias)


class _Activate(torch.autograd.Function):
    """`activate` on a GPU: one pass over its memory forward, and one backward."""

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
    """The original's rectifier: x where x > `THRESHOLD`, else 0."""
    return F.threshold(x, THRESHOLD, 0.0)


def max_pool(x_NO: Tensor, pool: int) -> Tensor:
    """The maximum of each `pool` columns, a divisor of all: [columns, features] to [columns // pool, features]."""
    if pool == 1:
        return x_NO
    y: Tensor = _MaxPool.apply(x_NO, pool)  # type: ignore[no-untyped-call]
    return y


class _MaxPool(torch.autograd.Function):
    """`max_pool` with a backward pass by unpooling: torch's gradient in two thirds of the time."""

    @staticmethod
    def forward(ctx: Any, x_NO: Tensor, pool: int) -> Tensor:
        # Each window is an image of one row: torch divides the work by images.
        windows = x_NO.view(-1, 1, pool, x_NO.shape[1]).permute(0, 3, 1, 2)
        y, which = F.max_pool2d(windows, (1, pool), return_indices=True)
        ctx.pool = pool
        ctx.save_for_backward(which)
        return to_columns(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (which,) = ctx.saved_tensors
        windows = gradient.view(-1, 1, 1, gradient.shape[1]).permute(0, 3, 1, 2)
        return to_columns(F.max_unpool2d(windows, which, (1, ctx.pool))), None


def image(x_NO: Tensor) -> Tensor:
    """View packed columns as an image of one row, channels-last: [1, features, 1, columns]."""
    return x_NO.view(1, 1, *x_NO.shape).permute(0, 3, 1, 2)


def to_columns(images: Tensor) -> Tensor:
    """View images of one row, [images, features, 1, columns], as packed columns: [images * columns, features]."""
    return images.permute(0, 2, 3, 1).flatten(0, 2)
