"""Triton kernels for operations that take torch several passes over a GPU's memory.

Import this only where `crepe.models.device.fusing` says so; elsewhere `crepe.models.packed` and
`crepe.training.optimizer` do the same with torch.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Values that a program takes."""

DEAD = 255
"""Instead of a place, where the maximum does not pass the rectifier."""


def activate(x: Tensor, bias: Tensor, pool: int, threshold: float) -> tuple[Tensor, Tensor]:
    """Take the maximum of each `pool` columns, add the bias, and rectify: 0 unless the sum is above the threshold.

    Args:
        x: float [columns, features], whole windows.
        bias: [features], of the same dtype.
        pool: columns of a window.
        threshold: of the rectifier.

    Returns:
        [columns / pool, features], of the same dtype; and of each value, uint8, the place in the window that it comes
        from (the first of equals), or `DEAD`.
    """
    x = x.contiguous()
    y = x.new_empty(len(x) // pool, x.shape[1])
    which = torch.empty(y.shape, dtype=torch.uint8, device=x.device)
    if y.numel():
        wide = tl.float64 if x.dtype == torch.float64 else tl.float32
        _activate[_programs(y)](x, bias, y, which, y.numel(), threshold, x.shape[1], pool, DEAD, wide, BLOCK)
    return y, which


def spread(gradient: Tensor, which: Tensor, pool: int) -> Tensor:
    """Return the gradient of the argument of `activate`.

    Args:
        gradient: float [columns / pool, features], that of its result.
        which: uint8, of the same shape, as it returned it.
        pool: columns of a window.

    Returns:
        [columns, features], of the dtype of `gradient`.
    """
    gradient = gradient.contiguous()
    x = gradient.new_empty(len(gradient) * pool, gradient.shape[1])
    if x.numel():
        _spread[_programs(gradient)](gradient, which, x, gradient.numel(), gradient.shape[1], pool, BLOCK)
    return x


def sgdw_update(
    parameter: Tensor, momentum_buffer: Tensor, gradient: Tensor, momentum: float, lr: float, weight_decay: float
) -> None:
    """Update a parameter and its momentum buffer in place, as `crepe.training.optimizer.SGDW` documents.

    The tensors are float32, contiguous, and of one shape.
    """
    if gradient.stride() != parameter.stride():
        gradient = torch.empty_like(parameter).copy_(gradient)
    keep = 1 - lr * weight_decay
    _sgdw_update[_programs(parameter)](
        parameter, momentum_buffer, gradient, parameter.numel(), momentum, lr, keep, BLOCK
    )


def _programs(x: Tensor) -> tuple[int]:
    return (triton.cdiv(x.numel(), BLOCK),)


@triton.jit
def _activate(  # type: ignore[no-untyped-def]
    x,
    bias,
    y,
    which,
    total,
    threshold,
    features,
    pool: tl.constexpr,
    dead: tl.constexpr,
    wide: tl.constexpr,
    block: tl.constexpr,
):
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = place < total
    first = x + place // features * pool * features + place % features
    largest = tl.load(first, inside).to(wide)
    chosen = tl.zeros([block], tl.int32)
    for other in tl.static_range(1, pool):
        value = tl.load(first + other * features, inside).to(wide)
        # NaN propagates.
        better = (value > largest) | (value != value)
        largest = tl.where(better, value, largest)
        chosen = tl.where(better, other, chosen)
    largest += tl.load(bias + place % features, inside).to(wide)
    small = largest <= threshold
    tl.store(y + place, tl.where(small, 0.0, largest).to(y.dtype.element_ty), inside)
    tl.store(which + place, tl.where(small, dead, chosen).to(tl.uint8), inside)


@triton.jit
def _spread(gradient, which, x, total, features, pool: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = place < total
    first = x + place // features * pool * features + place % features
    value = tl.load(gradient + place, inside)
    chosen = tl.load(which + place, inside)
    for other in tl.static_range(0, pool):
        tl.store(first + other * features, tl.where(chosen == other, value, 0.0).to(x.dtype.element_ty), inside)


@triton.jit
def _sgdw_update(  # type: ignore[no-untyped-def]
    parameter, momentum_buffer, gradient, total, momentum, lr, keep, block: tl.constexpr
):
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = place < total
    step = tl.load(momentum_buffer + place, inside) * momentum - tl.load(gradient + place, inside) * lr
    tl.store(momentum_buffer + place, step, inside)
    tl.store(parameter + place, tl.load(parameter + place, inside) * keep + step, inside)
