"""The original's stochastic gradient descent (its train.lua): momentum, and weight decay outside of both."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from crepe.device import fusing

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
            from crepe import fused

            for tensors in zip(self.parameters, self.steps, gradients, strict=True):
                fused.descend(*tensors, self._momentum, rate, keep)
            return
        for p, m, g in zip(_portions(self.parameters), _portions(self.steps), _portions(gradients), strict=True):
            torch._foreach_mul_(m, self._momentum)
            torch._foreach_add_(m, g, alpha=-rate)
            torch._foreach_mul_(p, keep)
            torch._foreach_add_(p, m)


def _portions(tensors: list[Tensor]) -> list[list[Tensor]]:
    """Parts of the tensors to be updated together: everything at once on a GPU, piece by piece on a CPU."""
    if tensors[0].device.type != "cpu":
        return [tensors]
    return [
        [piece] for tensor in tensors for piece in torch.split(tensor, max(1, PIECE * len(tensor) // tensor.numel()))
    ]
