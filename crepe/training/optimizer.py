"""The original's optimizer and learning rate schedule (its train.lua), as torch optimizers and schedulers.

    optimizer = SGDW(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-5)
    scheduler = HalvingLR(optimizer, halve_every=3, max_halvings=10)
    for epoch in range(30):
        for batch in batches:
            loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()

Each can be used without the other.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from crepe.models.device import fusing

PIECE = 2**19
"""Values that a CPU updates at a time: few enough to stay in its cache from one operation to the next."""


class SGDW(torch.optim.Optimizer):
    """Stochastic gradient descent with momentum and decoupled weight decay.

    A step computes, in place, for each parameter p with gradient g and momentum buffer m, which starts from zeros::

        m = momentum * m - lr * g
        p = p * (1 - lr * weight_decay) + m

    `torch.optim.SGD` is another function: it adds the decay to the gradient, and so to the momentum, and it multiplies
    the momentum, too, by the present learning rate. A gradient may be sparse (`crepe.models.base.embed`), on a CPU; the
    step is the same.

    Args:
        params: parameters, or groups of them, as torch's optimizers take them. Those of a group are on one device.
        lr: learning rate, `param_groups[0]["lr"]` from then on; not negative.
        momentum: share of the last step that goes into the next: 0 or more, below 1.
        weight_decay: share of a parameter that each step takes away, times the learning rate; not negative.

    Raises:
        ValueError: a number is out of its range.
    """

    # torch decorates its own with functions that import torch._dynamo: two seconds, and nothing here is compiled by it.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0 or weight_decay < 0 or not 0 <= momentum < 1:
            raise ValueError(f"lr {lr}, momentum {momentum}, weight_decay {weight_decay}: one is out of its range")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for parameter in self.parameters:
            # Allocated at once: a CUDA graph needs them to stay in their place.
            self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters, group by group."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @property
    def momentum_buffers(self) -> list[Tensor]:
        """The momentum buffer of each of `parameters`."""
        return [self.state[parameter]["momentum_buffer"] for parameter in self.parameters]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient.

        Args:
            closure: recomputes loss and gradients and returns the loss; called first if given.

        Returns:
            What `closure` returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                gradients = [parameter.grad for parameter in parameters]
                buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
                _update(parameters, buffers, gradients, group["momentum"], group["lr"], group["weight_decay"])
        return loss


class HalvingLR(LRScheduler):
    """Learning rate schedule: half the learning rate after every so many epochs.

    In epoch e, counted from 0, it is `lr * 0.5 ** min(e // halve_every, max_halvings)`. Call `step()` at each epoch's
    end.

    Args:
        optimizer: the learning rates of its groups are those of the first epoch.
        halve_every: epochs after which the learning rate is halved; 1 or more.
        max_halvings: how often it is halved at most.
        last_epoch: the last whole epoch of a training that is resumed; -1 begins a training.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, halve_every: int, max_halvings: int, last_epoch: int = -1
    ) -> None:
        self.halve_every, self.max_halvings = halve_every, max_halvings
        for group in optimizer.param_groups:
            # LRScheduler requires this of a training that is resumed.
            group.setdefault("initial_lr", group["lr"])
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each group in the present epoch."""
        halvings = min(self.last_epoch // self.halve_every, self.max_halvings)
        return [float(lr * 0.5**halvings) for lr in self.base_lrs]


def _update(
    parameters: list[Tensor],
    buffers: list[Tensor],
    gradients: list[Tensor],
    momentum: float,
    lr: float,
    weight_decay: float,
) -> None:
    if fusing(gradients[0]):
        from crepe.models import fused

        for tensors in zip(parameters, buffers, gradients, strict=True):
            fused.sgdw_update(*tensors, momentum, lr, weight_decay)
        return
    keep = 1 - lr * weight_decay
    for tensors in zip(parameters, buffers, gradients, strict=True):
        for p, m, g in [tensors] if tensors[-1].is_sparse else zip(*map(_pieces, tensors), strict=True):
            m.mul_(momentum).add_(g, alpha=-lr)
            torch.add(m, p, alpha=keep, out=p)


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """The tensor cut, on a CPU, into pieces of about `PIECE` values."""
    size = max(1, PIECE * len(tensor) // tensor.numel()) if tensor.device.type == "cpu" else len(tensor)
    yield from torch.split(tensor, size)


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> None:
    """Scale gradients down, in place, to a norm of at most `max_norm`, all of them seen as one vector.

    As `torch.nn.utils.clip_grad_norm_` does, which takes no sparse ones.

    Args:
        parameters: those without a gradient do not count. Sparse gradients become coalesced ones.
        max_norm: the largest norm.
    """
    values = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
        elif parameter.grad is not None:
            values.append(parameter.grad)
    norm = nn.utils.get_total_norm(values)
    torch._foreach_mul_(values, (max_norm / (norm + 1e-6)).clamp(max=1.0))
