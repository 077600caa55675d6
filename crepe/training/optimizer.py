"""The original's stochastic gradient descent (its train.lua): momentum, and weight decay outside of both."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from crepe.models.device import fusing

PIECE = 2**19
"""Values that a CPU updates at a time: few enough to stay in its cache from one operation to the next."""


class Descent:
    """Updates parameters in place: `m = momentum m - rate g`, then `p = p (1 - rate decay) + m`.

    torch's SGD adds the decay to the gradient, and so to the momentum, which is another function.

    Args:
        parameters: what is trained.
        momentum: share of the last step that goes on.
        decay: share of the parameter that each step takes away, times the rate.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float, decay: float) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.steps = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._momentum, self._decay = momentum, decay

    @torch.no_grad()
    def update(self, rate: float) -> None:
        """One step along the gradients at hand, which are then dropped."""
        gradients: list[Tensor] = []
        for parameter in self.parameters:
            assert parameter.grad is not None, "update() follows backward()"
            gradients.append(parameter.grad)
            parameter.grad = None
        keep = 1 - rate * self._decay
        if fusing(gradients[0]):
            from crepe.models import fused

            for tensors in zip(self.parameters, self.steps, gradients, strict=True):
                fused.descend(*tensors, self._momentum, rate, keep)
            return
        for p, m, g in zip(*map(_pieces, (self.parameters, self.steps, gradients)), strict=True):
            m.mul_(self._momentum).add_(g, alpha=-rate)
            torch.add(m, p, alpha=keep, out=p)


def _pieces(tensors: list[Tensor]) -> Iterator[Tensor]:
    """The tensors cut, on a CPU, into pieces."""
    for tensor in tensors:
        size = max(1, PIECE * len(tensor) // tensor.numel()) if tensor.device.type == "cpu" else len(tensor)
        yield from torch.split(tensor, size)
