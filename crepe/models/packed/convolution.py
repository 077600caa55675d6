"""Convolutions over packed columns, without bias.

A convolution runs over the whole matrix, heedless of where one text ends; columns that looked into two texts are spare.

    columns        a0 a1 a2 D0 D1        kernel of width 3
    convolved      a  x  x               a: a0 a1 a2    x: a1 a2 D0, and a2 D0 D1

Over one-hot columns a convolution is a sum of rows of a table, one row for each position in the kernel and code:

    codes          3  1  2  1            table    row 0 * S + i: what code i at position 0 adds
    output 0 = table[0S + 3] + table[1S + 1] + table[2S + 2]
    output 1 = table[0S + 1] + table[1S + 2] + table[2S + 1]

Shape suffixes: see `crepe.models.packed`.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from crepe.models.device import static_shapes
from crepe.models.packed.moves import Move, move_columns
from crepe.models.packed.pooling import image, to_columns

PIECE = 64
"""Number of columns in each piece that `_ConvolveByPieces` cuts the columns into."""

BY_POSITIONS = torch.backends.cpu.get_cpu_capability() != "AVX512"
"""Whether a CPU convolves by one matrix product a position of the kernel; oneDNN is faster with wide registers."""

ALIGNED = 8
"""Number that the sizes of bfloat16 matrices must be multiples of, for a GPU's matrix units."""


def lookup(codes_N: Tensor, weight: Tensor) -> Tensor:
    """Convolve one-hot columns without making them.

    Args:
        codes_N: int64 [columns], 0 for the all-zero column, as the first and the last kernel - 1 are.
        weight: [outputs, vocab_size, 1, kernel].

    Returns:
        [columns - kernel + 1, outputs].
    """
    outputs, vocab_size, _, kernel = weight.shape
    if static_shapes(codes_N.device):
        # One product of what a kernel sees of one-hot columns: they are small, and no gradient of theirs is asked for.
        size = vocab_size + -vocab_size % ALIGNED
        hot_NS = (codes_N[:, None] == torch.arange(1, size + 1, device=codes_N.device)).to(weight.dtype)
        seen = hot_NS.flatten().unfold(0, kernel * size, size).contiguous()
        return seen @ F.pad(weight.squeeze(2).transpose(1, 2), (0, size - vocab_size)).flatten(1).t()
    # Code 0 adds nothing: its rows are zero.
    table_KSO = F.pad(weight.squeeze(2).permute(2, 1, 0), (0, 0, 1, 0))
    table = table_KSO.reshape(-1, outputs)
    rows_NK = codes_N.unfold(0, kernel, 1) + torch.arange(kernel, device=codes_N.device) * (vocab_size + 1)
    if codes_N.device.type == "cpu":
        y: Tensor = _Lookup.apply(codes_N, rows_NK, table)  # type: ignore[no-untyped-call]
        return y
    return F.embedding_bag(rows_NK, table, mode="sum")


class _Lookup(torch.autograd.Function):
    """`lookup` on a CPU, with a faster backward pass.

    The gradient of a table row is the sum of the output gradients where the row was used. That takes a quarter of
    torch's time in float32 and a tenth in bfloat16, where it is also more exact: torch rounds after every addition.
    """

    @staticmethod
    def forward(ctx: Any, codes_N: Tensor, rows_NK: Tensor, table: Tensor) -> Tensor:
        kernel = rows_NK.shape[1]
        ctx.codes, ctx.kernel, ctx.rows = codes_N.numpy(), kernel, len(table) // kernel
        return F.embedding_bag(rows_NK, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, gradient_NO: Tensor) -> tuple[None, None, Tensor]:
        codes, kernel = ctx.codes, ctx.kernel
        edges = codes[: kernel - 1], codes[len(gradient_NO) :]
        assert not np.concatenate(edges).any(), "each position of the kernel sees every code"
        uses = np.bincount(codes, minlength=ctx.rows)
        # NumPy sorts small integers digit by digit. All-zero columns, a fifth of all, come first and are left out.
        columns = np.argsort(codes.astype(np.min_scalar_type(ctx.rows)), kind="stable")[uses[0] :]
        uses[0] = 0
        # The kernel sees a column at position k from k columns before it.
        seen_from = torch.from_numpy(np.concatenate([columns - position for position in range(kernel)]))
        uses = np.tile(uses, kernel)
        begins = torch.from_numpy(np.cumsum(uses) - uses)
        return None, None, F.embedding_bag(seen_from, gradient_NO, begins, mode="sum")


def convolve(x_NI: Tensor, weight: Tensor) -> Tensor:
    """Convolve packed columns.

    Args:
        x_NI: [columns, inputs].
        weight: [outputs, inputs, 1, kernel].

    Returns:
        [columns - kernel + 1, outputs].
    """
    if x_NI.device.type == "cpu" and (BY_POSITIONS or x_NI.dtype != torch.bfloat16):
        function = _ConvolveByPositions if BY_POSITIONS else _ConvolveByPieces
        y: Tensor = function.apply(x_NI, weight)  # type: ignore[no-untyped-call]
        return y
    return to_columns(F.conv2d(image(x_NI), weight))


class _ConvolveByPositions(torch.autograd.Function):
    """One matrix product for each position in the kernel."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight)
        first_IO, *others_IO = weight.squeeze(2).permute(2, 1, 0).unbind()
        columns = len(x_NI) - len(others_IO)
        y_NO = x_NI[:columns] @ first_IO
        for position, other_IO in enumerate(others_IO, 1):
            y_NO.addmm_(x_NI[position : position + columns], other_IO)
        return y_NO

    @staticmethod
    def backward(ctx: Any, gradient_NO: Tensor) -> tuple[Tensor, Tensor]:
        x_NI, weight = ctx.saved_tensors
        for_x, for_weight = torch.empty_like(x_NI), torch.empty_like(weight)
        for_x[len(gradient_NO) :] = 0
        for position, matrix_OI in enumerate(weight.squeeze(2).permute(2, 0, 1)):
            seen = slice(position, position + len(gradient_NO))
            torch.addmm(for_x[seen], gradient_NO, matrix_OI, beta=float(position > 0), out=for_x[seen])
            for_weight[:, :, 0, position] = gradient_NO.t() @ x_NI[seen]
        return for_x, for_weight


class _ConvolveByPieces(torch.autograd.Function):
    """oneDNN convolution. The weight gradient is computed over pieces: oneDNN is much slower on one long row.

    The pieces are copied to channels-last memory first: the format that oneDNN would choose is a fifth slower.
    """

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight)
        return to_columns(F.conv2d(image(x_NI), weight))

    @staticmethod
    def backward(ctx: Any, gradient_NO: Tensor) -> tuple[Tensor, Tensor]:
        x_NI, weight = ctx.saved_tensors
        for_x = conv2d_input(image(x_NI).shape, weight, image(gradient_NO))  # type: ignore[no-untyped-call]
        rest = (0, 0, 0, -len(gradient_NO) % PIECE)
        seen, pieces = (
            F.pad(tensor, rest).unfold(0, width, PIECE).unsqueeze(2).contiguous(memory_format=torch.channels_last)
            for tensor, width in ((x_NI, PIECE + weight.shape[3] - 1), (gradient_NO, PIECE))
        )
        return to_columns(for_x), conv2d_weight(seen, weight.shape, pieces)  # type: ignore[no-untyped-call]


def convolve_moved(x_NI: Tensor, move: Move, weight: Tensor) -> Tensor:
    """Convolve columns that are moved first: `convolve(move_columns(x_NI, move), weight)`."""
    if static_shapes(x_NI.device):
        y: Tensor = _ConvolveMoved.apply(x_NI, move, weight)  # type: ignore[no-untyped-call]
        return y
    return convolve(move_columns(x_NI, move), weight)


class _ConvolveMoved(torch.autograd.Function):
    """Gather each output's input window and apply one matrix product. This launches few GPU kernels.

    The gradient of the columns is the same in the other direction: each column picks the gradients of all outputs that
    saw it. The constant, which is seen in many places, gets the sum of what these would pick.

        kernel of width 3: output n saw the columns at n, n + 1 and n + 2, in positions 0, 1 and 2 of the kernel;
        so the column at n was seen by outputs n, n - 1 and n - 2, in positions 0, 1 and 2.
    """

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, move: Move, weight: Tensor) -> Tensor:
        outputs, inputs, _, kernel = weight.shape
        seen = _windows(x_NI, move.source.unfold(0, kernel, 1))
        ctx.move, ctx.length = move, len(x_NI)
        ctx.save_for_backward(seen, weight)
        return seen @ weight.permute(0, 2, 3, 1).reshape(outputs, kernel * inputs).t()

    @staticmethod
    def backward(ctx: Any, gradient_NO: Tensor) -> tuple[Tensor, None, Tensor]:
        seen, weight = ctx.saved_tensors
        outputs, inputs, _, kernel = weight.shape
        for_weight = (gradient_NO.t() @ seen).view(outputs, 1, kernel, inputs).permute(0, 3, 1, 2)
        # Output n stands at n + kernel - 1 now, and the last row is zero, for columns that nothing saw.
        gradient_NO = F.pad(gradient_NO, (0, 0, kernel - 1, kernel))
        destination, is_unused = ctx.move.destination[: ctx.length, None], ctx.move.is_unused[: ctx.length, None]
        seen_by_NK = destination + torch.arange(kernel - 1, -1, -1, device=destination.device)
        by = _windows(gradient_NO, seen_by_NK.masked_fill_(is_unused, len(gradient_NO) - 1))
        is_constant = F.pad(ctx.move.is_constant, (kernel - 1, kernel)).unfold(0, len(ctx.move.is_constant) + kernel, 1)
        by[0] += (is_constant.to(gradient_NO.dtype) @ gradient_NO[: is_constant.shape[1]]).flatten()
        return by @ weight.permute(3, 0, 2, 1).reshape(kernel * outputs, inputs), None, for_weight


def _windows(x_NI: Tensor, columns_WK: Tensor) -> Tensor:
    """Put columns side by side: [columns, features] by int64 [windows, width] to [windows, width * features]."""
    return x_NI.index_select(0, columns_WK.flatten()).view(len(columns_WK), -1)
