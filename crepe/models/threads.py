"""Parts of a batch that are computed side by side, each by a thread from beginning to end, on a CPU.

Libraries divide each operation among threads, which wait for one another at its end. Where another process has one of
the processors, all of them are as slow as the slowest, some hundred times a batch. Parts wait for one another once.

The same number of threads (`torch.get_num_threads`) gives the same bits: gradients are summed up in the parts' order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from threading import Barrier
from typing import Any, TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")
Result = TypeVar("Result")


def call_each(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Call a function of each part, the first in this thread, the others each in one of its own.

    No operation is divided any further, but for a single part, which is computed as if it were called directly. In the
    other threads torch is in none of the modes of this one, such as `torch.no_grad`.

    Args:
        function: takes a part.
        parts: 1 to `torch.get_num_threads()`.

    Returns:
        The results, in the order of the parts.
    """
    first, *others = parts
    if not others:
        return [function(first)]
    number = torch.get_num_threads()
    results = _threads(number - 1).map(function, others)
    torch.set_num_threads(1)
    try:
        # A thread that waits instead gets its processor back late where another process wants it.
        result = function(first)
    finally:
        torch.set_num_threads(number)
        rest = list(results)
    return [result, *rest]


def compute_each(
    function: Callable[..., Tensor], parts: Sequence[Any], parameters: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Compute a tensor from each part and the same parameters, each in a thread of its own, and so its gradients.

    Args:
        function: takes a part and the parameters. Tensors that it takes from elsewhere get no gradient.
        parts: see `call_each`.
        parameters: those that require a gradient get the sum of those of the parts.

    Returns:
        What the function returns for each part.
    """
    if len(parts) == 1:
        return (function(parts[0], *parameters),)
    results: tuple[Tensor, ...] = _ComputeEach.apply(function, parts, *parameters)  # type: ignore[no-untyped-call]
    return results


class _ComputeEach(torch.autograd.Function):
    """Arguments and result as of `compute_each`; the graph of a part is of its own, and not that of the whole."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], parts: Sequence[Any], *parameters: Tensor) -> Any:
        needed = ctx.needs_input_grad[2:]

        def compute(part: Any) -> tuple[list[Tensor], Tensor]:
            leaves = [
                parameter.detach().requires_grad_(need) for parameter, need in zip(parameters, needed, strict=True)
            ]
            with torch.enable_grad():
                return leaves, function(part, *leaves)

        ctx.graphs = call_each(compute, parts)
        return tuple(result.detach() for _, result in ctx.graphs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        def differentiate(number: int) -> tuple[Tensor, ...]:
            leaves, result = ctx.graphs[number]
            return torch.autograd.grad(result, [leaf for leaf in leaves if leaf.requires_grad], gradients[number])

        found = call_each(differentiate, range(len(gradients)))
        sums = (_sum(each) for each in zip(*found, strict=True))
        return None, None, *(next(sums) if need else None for need in ctx.needs_input_grad[2:])


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    """Sum up in float32 at least: a sum of bfloat16 would be rounded after each."""
    dtype = tensors[0].dtype
    return reduce(torch.add, (tensor.to(torch.promote_types(dtype, torch.float32)) for tensor in tensors)).to(dtype)


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Return threads each of which computes alone."""
    all_there, before = Barrier(number + 1), torch.get_num_threads()

    def start() -> None:
        # A thread's number counts once it has been asked for.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_there.wait()

    pool = ThreadPoolExecutor(number, "part", start)
    try:
        for _ in range(number):
            pool.submit(int)
        all_there.wait()
    except BaseException:
        # Threads that wait for one that cannot be started would keep the process from its end.
        all_there.abort()
        raise
    # New threads, and this one, take the last number that any thread has set.
    torch.set_num_threads(before)
    return pool
