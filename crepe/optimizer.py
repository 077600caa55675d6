"""The original's stochastic gradient descent (its train.lua): momentum, and weight decay outside of both."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


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
        torch._foreach_mul_(self.steps, self._momentum)
        torch._foreach_add_(self.steps, gradients, alpha=-rate)
        torch._foreach_mul_(self.parameters, 1 - rate * self._decay)
        torch._foreach_add_(self.parameters, self.steps)
