"""A training step: forward and backward pass of a batch, update, and tally of loss and errors.

On a GPU a step of a small network takes the time that it takes to launch its kernels, some hundred of them. There a
step is recorded as a CUDA graph, and replayed with the next batches of the same shape: it takes one launch, and leaves
the host time to draw batches. That needs shapes that follow from few numbers (`Network.static_size`) and tensors that
stay in their place.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.models.base import Network
from crepe.models.batch import Batch
from crepe.training.optimizer import SGDW, clip_grad_norm

Forward = Callable[[Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """Trains a network with a batch, kernel by kernel; the learning rate is the optimizer's."""

    forward: Forward
    """Computes the logits of a batch: float [rows, classes]."""
    optimizer: SGDW
    tally: Tensor
    """float64 [2], to which the loss and the errors are added, each summed over the rows."""
    max_grad_norm: float | None = None
    """Clip the gradient norm to this; None does not clip."""

    def __call__(self, batch: Batch) -> None:
        """Train with `batch`."""
        logits = self.forward(batch)
        loss = F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.max_grad_norm is not None:
            clip_grad_norm(self.optimizer.parameters, self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            errors = (logits.argmax(1) != batch.labels).sum()
            self.tally.add_(torch.stack([loss.detach().double() * len(batch), errors.double()]))


def step_of(step: Step, network: Network) -> Callable[[Batch], None]:
    """Return the fastest form of `step`: recorded on a GPU, itself elsewhere."""
    return Replayed(step, network.static_size) if step.tally.is_cuda else step


class Replayed:
    """A step that is recorded once for each shape and learning rate, and replayed with the same bits; for CUDA devices.

    Args:
        step: the step to record. Its tensors must stay in their place, those of its optimizer, too.
        size: see `Network.static_size`; a batch for which it returns None is trained without recording.
    """

    def __init__(self, step: Step, size: Callable[[Batch], int | None]) -> None:
        self._step, self._size = step, size
        self._state = [*step.optimizer.parameters, *step.optimizer.momentum_buffers, step.tally]
        self._pool: Any = None
        self._rate = float("nan")
        self._records: dict[tuple[int, int, int], tuple[Batch, torch.cuda.CUDAGraph]] = {}

    def __call__(self, batch: Batch) -> None:
        """Train with `batch`."""
        size = self._size(batch)
        if size is None:
            self._step(batch)
            return
        rate = self._step.optimizer.param_groups[0]["lr"]
        if rate != self._rate:
            # The memory that records share goes with the last of them.
            self._rate, self._records, self._pool = rate, {}, torch.cuda.graph_pool_handle()
        # The codes of a split stay in their place; those of an augmented batch are copied, as all else is.
        split = len(batch.values) > size
        key = (len(batch), size, batch.values.data_ptr() if split else 0)
        if key not in self._records:
            self._records[key] = self._record(batch, size, split)
        held, graph = self._records[key]
        _copy(held, batch, split)
        graph.replay()

    def _record(self, batch: Batch, size: int, split: bool) -> tuple[Batch, torch.cuda.CUDAGraph]:
        values = batch.values if split else batch.values.new_zeros(size)
        held = Batch(values, batch.starts.clone(), batch.lengths_device.clone(), batch.lengths, batch.labels.clone())
        _copy(held, batch, split)
        graph = torch.cuda.CUDAGraph()
        with torch.random.fork_rng([values.device]):
            # Libraries prepare themselves in a step that does not count.
            with _undone(self._state), _aside():
                self._step(held)
            with torch.cuda.graph(graph, pool=self._pool):
                self._step(held)
        return held, graph


def _copy(held: Batch, batch: Batch, split: bool) -> None:
    """Copy a batch to where a record reads it."""
    if not split:
        held.values[: len(batch.values)].copy_(batch.values)
    torch._foreach_copy_(
        [held.starts, held.lengths_device, held.labels], [batch.starts, batch.lengths_device, batch.labels]
    )


@contextmanager
def _undone(state: Sequence[Tensor]) -> Iterator[None]:
    """Restore tensors, after the block, to their values before it."""
    before = [tensor.detach().clone() for tensor in state]
    yield
    with torch.no_grad():
        torch._foreach_copy_(list(state), before)


@contextmanager
def _aside() -> Iterator[None]:
    """Run the block's kernels on a separate stream, as recording demands; other streams wait for them."""
    here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        yield
    here.wait_stream(aside)
