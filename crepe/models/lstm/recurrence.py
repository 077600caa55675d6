"""The recurrence of an LSTM over packed texts, with a backward pass that multiplies by the input of all words at once.

torch's own, oneDNN's on a CPU, adds to the gradient of the weights word by word: a matrix of some megabytes, whatever
the number of texts that reach the word. Here the gradients of the gates are kept, and one product of matrices gives
the gradient of each weight. What does not depend on later words is computed for all words at once as well, so that
little is left to do word by word: a product and four operations of a state's size.

Suffixes of names: N words of all texts, H the state, B texts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.models.device import multiplies_bfloat16

COLUMNS = 32
"""The processor's tiles multiply this many columns of bfloat16 at a time; what is left over costs more than them."""

aten = torch.ops.aten


def recur(x: Tensor, reach: Sequence[int], input_weight: Tensor, state_weight: Tensor, bias: Tensor) -> Tensor:
    """Compute the outputs of an LSTM that starts from zeros.

    Args:
        x: [words, inputs], packed: the first word of each text, the longest text first, then the second of each, ...
        reach: number of texts that have a first word, a second, ...; descending, its sum is the number of words.
        input_weight: [4 * hidden, inputs], gates in the order of `torch.nn.LSTM`.
        state_weight: [4 * hidden, hidden].
        bias: [4 * hidden], the sum of both.

    Returns:
        [words, hidden], packed as `x`, of its dtype, as all arguments are.
    """
    # The bias is the weight of a column of ones.
    x, input_weight = torch.cat([x, x.new_ones(len(x), 1)], 1), torch.cat([input_weight, bias[:, None]], 1)
    x, input_weight = (F.pad(values, (0, -values.shape[1] % COLUMNS)) for values in (x, input_weight))
    weights = (_sigmoids_first(weight) for weight in (input_weight, state_weight))
    outputs: Tensor = _Recurrence.apply(x, list(reach), *weights)  # type: ignore[no-untyped-call]
    return outputs


def _sigmoids_first(weight: Tensor) -> Tensor:
    """Put gates in the order input, forget, output, cell."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([i, f, o, g])


class _Recurrence(torch.autograd.Function):
    """Arguments as of `recur`, without a bias, and with the gates in the order of `_sigmoids_first`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: list[int], input_weight: Tensor, state_weight: Tensor) -> Tensor:
        size = state_weight.shape[1]
        gates = x @ input_weight.t()
        outputs, cells, curves = x.new_empty(3, len(x), size).unbind()
        sigmoids, tanhs = torch.split(gates, [3 * size, size], 1)
        columns = [*torch.split(gates, size, 1)[:3], gates, sigmoids, tanhs, outputs, cells, curves]
        multiply = _multiplier(state_weight)
        h = c = None
        for i, f, o, gate, sigmoid, tanh, output, cell, curve in zip(*_by_word(reach, columns), strict=True):
            total = gate if h is None else multiply(h[: len(gate)], gate)
            torch.sigmoid(total[:, : 3 * size], out=sigmoid)
            torch.tanh(total[:, 3 * size :], out=tanh)
            torch.mul(i, tanh, out=cell)
            if c is not None:
                cell.addcmul_(f, c[: len(cell)])
            torch.tanh(cell, out=curve)
            h, c = torch.mul(o, curve, out=output), cell
        ctx.save_for_backward(x, gates, outputs, cells, curves, input_weight, state_weight)
        ctx.reach = reach
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, gates, outputs, cells, curves, input_weight, state_weight = ctx.saved_tensors
        reach, size = ctx.reach, state_weight.shape[1]
        i, f, o, g = torch.split(gates, size, 1)
        before, cells_before = (_delayed(values, reach) for values in (outputs, cells))
        # Derivative of the cell by the output, and of the gates' inputs by the cell or, for o, by the output. They
        # become the gradients.
        slopes = aten.tanh_backward(o, curves)
        inputs = x.new_empty(len(x), 4, size)
        for number, (values, gate) in enumerate(((g, i), (cells_before, f), (curves, o))):
            aten.sigmoid_backward.grad_input(values, gate, grad_input=inputs[:, number])
        aten.tanh_backward.grad_input(i, g, grad_input=inputs[:, 3])
        flat = inputs.view(len(x), -1)
        columns = [flat, inputs[:, :2], inputs[:, 2], inputs[:, 3], slopes, gradient.clone(), f]
        multiply = _multiplier(state_weight.t().contiguous())
        # The gradient of each text's cell.
        dc, later = x.new_zeros(reach[0], size), None
        for all_gates, to_if, to_o, to_g, slope, dh, forget in reversed([*zip(*_by_word(reach, columns), strict=True)]):
            if later is not None:
                count = len(later)
                if count == len(dh):
                    dh = multiply(later, dh)
                else:
                    dh[:count] = multiply(later, dh[:count])
            here = dc[: len(dh)].addcmul_(dh, slope)
            to_o.mul_(dh)
            to_if.mul_(here[:, None])
            to_g.mul_(here)
            here.mul_(forget)
            later = all_gates
        return flat @ input_weight, None, flat.t() @ x, flat.t() @ before


def _by_word(reach: list[int], values: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Cut packed values into those of the first words, of the second, ..."""
    return [torch.split(part, reach) for part in values]


def _delayed(values: Tensor, reach: list[int]) -> Tensor:
    """Return, for each word, the values of the word before it in its text; zeros for the first."""
    parts = zip(torch.split(values, reach), reach[1:], strict=False)
    return torch.cat([values.new_zeros(reach[0], values.shape[1]), *(part[:count] for part, count in parts)])


def _multiplier(weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that computes `x @ weight.T + added` of x and added."""
    if weight.dtype == torch.bfloat16 and multiplies_bfloat16(weight.device):
        # In the order in which the processor's tiles read it, for which each product would have to copy it.
        ordered = torch.ops.mkldnn._reorder_linear_weight(weight)
        product = torch.ops.mkldnn._linear_pointwise.binary
        return lambda x, added: product(x, added, ordered, None, "add")
    transposed = weight.t()
    return lambda x, added: torch.addmm(added, x, transposed)
