"""The recurrence of an LSTM over packed texts on a CPU, with a backward pass of its own.

torch's own, oneDNN's on a CPU, adds to the gradient of the weights word by word: a matrix of some megabytes, whatever
the number of texts that reach the word. Here the gradients of the gates are kept, and one product of matrices gives
the gradient of all weights. What does not depend on later words is computed for all words at once as well, so that
little is left to do word by word: a product and some operations of a state's size.

These are too small to be shared by threads, which would wait for each other some thousand times a batch. So the texts
are divided into groups, and each thread goes through the words of its own group. It does so by TorchScript's
interpreter, which calls the operations without holding Python's lock.

Suffixes of names: N words of all texts, H the state, B texts.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crepe.models.device import multiplies_bfloat16
from crepe.models.threads import call_each

COLUMNS = 32
"""The processor's tiles multiply this many columns of bfloat16 at a time; what is left over costs more than them."""
WORD_COST = 30
"""A group's next word costs as much as this many texts do at a word: the weights are read anew for each."""

aten = torch.ops.aten


def divide(lengths: np.ndarray, number: int) -> list[int]:
    """Divide texts into groups of consecutive ones, which take about the same time.

    Args:
        lengths: int64 [texts], descending, 1 or more.
        number: most groups.

    Returns:
        The number of texts in each group, the longest text's first.
    """
    low, high = 0, int(lengths.sum()) + WORD_COST * int(lengths[0])
    found = [len(lengths)]
    while high - low > 1:
        most = (low + high) // 2
        sizes = _filled(lengths, most)
        if len(sizes) <= number:
            found, high = sizes, most
        else:
            low = most
    return found


def _filled(lengths: np.ndarray, most: int) -> list[int]:
    """Fill groups one by one, each with as many texts as cost no more than `most`, and one at least."""
    sizes, begun = [], 0
    while begun < len(lengths):
        costs = WORD_COST * lengths[begun] + np.cumsum(lengths[begun:])
        sizes.append(max(1, int(np.searchsorted(costs, most, side="right"))))
        begun += sizes[-1]
    return sizes


def recur(
    x: Tensor, reach: Sequence[Sequence[int]], input_weight: Tensor, state_weight: Tensor, bias: Tensor
) -> Tensor:
    """Sum the outputs that an LSTM, which starts from zeros, has at the words of each text.

    Args:
        x: [words, inputs], group by group; of each packed: the first word of each text, the longest text first, then
            the second of each, ...
        reach: for each group the number of its texts that have a first word, a second, ...; descending.
        input_weight: float [4 * hidden, inputs], gates in the order of `torch.nn.LSTM`.
        state_weight: float [4 * hidden, hidden].
        bias: float [4 * hidden], the sum of both.

    Returns:
        [texts, hidden], group by group, of the dtype of `x`, in which all is computed.
    """
    sums: Tensor = _Recurrence.apply(x, reach, input_weight, state_weight, bias)  # type: ignore[no-untyped-call]
    return sums


class _Recurrence(torch.autograd.Function):
    """Arguments and result as of `recur`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, reach: list[list[int]], input_weight: Tensor, state_weight: Tensor, bias: Tensor
    ) -> Tensor:
        size, inputs = state_weight.shape[1], x.shape[1]
        # The bias is the weight of a column of ones. The last columns are for the outputs at the words before.
        padded = -(-(inputs + 1) // COLUMNS) * COLUMNS
        columns = x.new_zeros(len(x), padded + size)
        columns[:, :inputs] = x
        columns[:, inputs] = 1
        weight = x.new_zeros(4 * size, padded)
        weight[:, :inputs], weight[:, inputs] = _sigmoids_first(input_weight), _sigmoids_first(bias)
        state = _sigmoids_first(state_weight).to(x.dtype)
        gates = columns[:, :padded] @ weight.t()
        outputs, cells, curves = x.new_empty(3, len(x), size).unbind()
        ready, ordered = _ready(state)
        # Sums of bfloat16 would lose what is small.
        sums = x.new_zeros(sum(each[0] for each in reach), size, dtype=torch.promote_types(x.dtype, torch.float32))
        _side_by_side(_scripted(_forward), reach, [gates, outputs, cells, curves], ready, ordered, sums)
        ctx.save_for_backward(columns, gates, outputs, cells, curves, weight, state)
        ctx.reach, ctx.inputs, ctx.dtype = reach, inputs, input_weight.dtype
        return sums.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        columns, gates, outputs, cells, curves, weight, state = ctx.saved_tensors
        reach, size, inputs, padded = ctx.reach, state.shape[1], ctx.inputs, weight.shape[1]
        i, f, o, g = gates.split(size, 1)
        cells_before, outputs_before = torch.zeros_like(cells), columns[:, padded:]
        for here, last in _places(reach):
            cells_before[here], outputs_before[here] = cells[last], outputs[last]
        # Derivative of the cell by the output, and of the gates' inputs by the cell or, for o, by the output. They
        # become the gradients.
        slopes = aten.tanh_backward(o, curves)
        flat = gates.new_empty(len(gates), 4 * size)
        parts = flat.split(size, 1)
        for part, values, gate in zip(parts, (g, cells_before, curves), (i, f, o), strict=False):
            aten.sigmoid_backward.grad_input(values, gate, grad_input=part)
        aten.tanh_backward.grad_input(i, g, grad_input=parts[3])
        ready, ordered = _ready(state.t().contiguous())
        _side_by_side(_scripted(_backward), reach, [flat, slopes, f], ready, ordered, gradient.contiguous())
        # Processors multiply bfloat16 of a transposed matrix at half their speed.
        by_weights = (columns.t().contiguous() @ flat).split([inputs, 1, padded - inputs - 1, size])
        by_input, by_bias, _, by_state = (_sigmoids_first(part.t().contiguous()).to(ctx.dtype) for part in by_weights)
        return (flat @ weight)[:, :inputs], None, by_input, by_state, by_bias[:, 0]


def _sigmoids_first(weight: Tensor) -> Tensor:
    """Swap the last two of the four gates: `torch.nn.LSTM` has input, forget, cell, output."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([i, f, o, g])


def _forward(
    reach: list[int],
    gates: Tensor,
    outputs: Tensor,
    cells: Tensor,
    curves: Tensor,
    weight: Tensor,
    ordered: bool,
    sums: Tensor,
) -> None:
    """Compute a group's outputs, their sums, cells and their tanh; from the inputs of the gates, the gates."""
    size = outputs.shape[1]
    begin = before = 0
    for count in reach:
        end = begin + count
        gate, cell, curve = gates[begin:end], cells[begin:end], curves[begin:end]
        total = gate
        if begin > 0:
            h = outputs[before : before + count]
            if ordered:
                total = torch.ops.mkldnn._linear_pointwise(h, gate, weight, None, "add")
            else:
                total = torch.addmm(gate, h, weight)
        torch.sigmoid(total[:, : 3 * size], out=gate[:, : 3 * size])
        torch.tanh(total[:, 3 * size :], out=gate[:, 3 * size :])
        torch.mul(gate[:, :size], gate[:, 3 * size :], out=cell)
        if begin > 0:
            cell.addcmul_(gate[:, size : 2 * size], cells[before : before + count])
        torch.tanh(cell, out=curve)
        torch.mul(gate[:, 2 * size : 3 * size], curve, out=outputs[begin:end])
        sums[:count].add_(outputs[begin:end])
        before, begin = begin, end


def _backward(
    reach: list[int], flat: Tensor, slopes: Tensor, forget: Tensor, weight: Tensor, ordered: bool, gradient: Tensor
) -> None:
    """Compute a group's gradients of the inputs of the gates, from the derivatives that `_Recurrence` puts there."""
    size = slopes.shape[1]
    dc, dh = torch.zeros_like(gradient), gradient.clone()
    end, later = flat.shape[0], 0
    for number in range(len(reach)):
        count = reach[len(reach) - 1 - number]
        begin = end - count
        if later > 0:
            if ordered:
                dh[:later] = torch.ops.mkldnn._linear_pointwise(
                    flat[end : end + later], gradient[:later], weight, None, "add"
                )
            else:
                torch.addmm(gradient[:later], flat[end : end + later], weight, out=dh[:later])
        gate, here, by_output = flat[begin:end], dc[:count], dh[:count]
        here.addcmul_(by_output, slopes[begin:end])
        gate[:, : 2 * size].view(count, 2, size).mul_(here[:, None])
        gate[:, 2 * size : 3 * size].mul_(by_output)
        gate[:, 3 * size :].mul_(here)
        here.mul_(forget[begin:end])
        end, later = begin, count


@cache
def _scripted(function: Callable[..., None]) -> Callable[..., None]:
    with warnings.catch_warnings():
        # torch.compile, which it recommends, needs a C++ compiler.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(function)  # type: ignore[no-any-return]


def _ready(weight: Tensor) -> tuple[Tensor, bool]:
    """Return the weight of a product that is computed often, and whether its order is that of the processor's tiles."""
    if weight.dtype == torch.bfloat16 and multiplies_bfloat16(weight.device):
        # Else each product would have to copy it.
        return torch.ops.mkldnn._reorder_linear_weight(weight), True
    return weight.t(), False


def _side_by_side(
    function: Callable[..., None],
    reach: list[list[int]],
    packed: list[Tensor],
    weight: Tensor,
    ordered: bool,
    by_text: Tensor,
) -> None:
    """Call a function for each group, each in a thread of its own.

    Args:
        function: takes a group's reach, its part of each of `packed`, the weight, `ordered` and its part of `by_text`.
        reach: see `recur`.
        packed: tensors of values for each word.
        weight: see `_ready`.
        ordered: see `_ready`.
        by_text: values for each text.
    """
    parts = [*zip(*(torch.split(values, [sum(each) for each in reach]) for values in packed), strict=True)]
    texts = torch.split(by_text, [each[0] for each in reach])

    def call(number: int) -> None:
        with torch.no_grad():
            function(list(reach[number]), *parts[number], weight, ordered, texts[number])

    call_each(call, range(len(reach)))


def _places(reach: list[list[int]]) -> Iterator[tuple[slice, slice]]:
    """Yield, word by word but the first, the places of the words and those of the words before them."""
    last = begin = 0
    for each in reach:
        for number, count in enumerate(each):
            if number > 0:
                yield slice(begin, begin + count), slice(last, last + count)
            last, begin = begin, begin + count
