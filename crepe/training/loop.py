"""The training loop: it knows batches, epochs and checkpoints, and nothing of the network."""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from crepe.config.recipe import Recipe
from crepe.errors import CrepeError
from crepe.evaluation.metrics import predict
from crepe.io.progress import meter
from crepe.models.base import Network
from crepe.models.batch import Split
from crepe.training import checkpoints, heartbeat
from crepe.training.optimizer import SGDW, HalvingLR
from crepe.training.sampler import Sampler
from crepe.training.step import Step, step_of

HISTORY = (
    "epoch",
    "batches",
    "samples",
    "learning_rate",
    "train_loss",
    "train_error_pct",
    "test_loss",
    "test_error_pct",
)
"""Columns of a history: a line an epoch, the train figures over the epoch's batches (dropout on)."""

READING = 50
"""Batches between two looks at the loss on a device that must be waited for."""

KEEPING_SECONDS = 600.0
"""Time between two checkpoints at the most, looked at with the loss: no more than that is lost by a power cut."""


@dataclass(kw_only=True, slots=True)
class Run:
    """A network in training, and how far it has come."""

    title: str
    network: Network
    dtype: torch.dtype
    """What is computed in."""
    recipe: Recipe
    seed: int
    train: Split
    test: Split
    classes: int
    done: int = 0
    """Batches trained."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry an epoch, keys as in `HISTORY`."""
    seconds: float = 0.0
    """Spent on training so far, over all starts; tests and checkpoints are not counted."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch."""
        assert self.recipe.batches_per_epoch is not None, "resolved from the dataset before"
        return self.recipe.batches_per_epoch

    @property
    def total(self) -> int:
        """Batches of the whole schedule."""
        return self.recipe.epochs * self.batches_per_epoch


def fit(
    run: Run, folder: Path, identity: str, steps: int | None = None, show: Callable[[int], None] = lambda _: None
) -> None:
    """Train `run.network` by its recipe, from its last checkpoint in `folder` if there is one.

    On SIGINT or SIGTERM a checkpoint is written before the signal takes its course.

    Args:
        run: what is trained; changed in place.
        folder: where checkpoints go.
        identity: of the run; checkpoints of others are not used.
        steps: batches to end after; the whole schedule if None.
        show: called with 0 before the first batch and with the number of each epoch that has ended, before its
            checkpoint: of an epoch whose checkpoint is there, what it shows is there too.

    Raises:
        CrepeError: the loss is no longer a finite number, in training or on the test rows.
    """
    recipe = run.recipe
    optimizer = SGDW(run.network.parameters(), recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    tally = torch.zeros(2, dtype=torch.float64, device=run.train.device)
    """Loss and errors, summed over the rows of this epoch."""
    state = _state(run, optimizer, tally)
    found = checkpoints.load(folder, identity, state)
    if found is not None:
        (run.done, run.history, run.seconds), tensors = found[0].values(), found[1]
        for name, tensor in state.items():
            tensor.copy_(tensors[name])
        print(f"{run.title}: goes on after {run.done:,} of {run.total:,} batches", file=sys.stderr, flush=True)
    if run.done == 0:
        show(0)
    step = step_of(Step(partial(run.network, dtype=run.dtype), optimizer, tally, run.recipe.max_grad_norm), run.network)
    scheduler = HalvingLR(optimizer, recipe.halve_every, recipe.max_halvings, run.done // run.batches_per_epoch - 1)
    sampler = Sampler(run.train.labels, run.classes, run.recipe.batch_size, run.seed)
    end = run.total if steps is None else min(steps, run.total)
    size, clock, note = run.recipe.batch_size, time.monotonic(), ""
    begun, spent = run.done, run.seconds
    kept = clock

    def checkpoint() -> None:
        progress = {"done": run.done, "history": run.history, "seconds": run.seconds}
        checkpoints.save(folder, run.done, identity, progress, state)

    def beat(testing: bool) -> heartbeat.Heartbeat:
        speed = (run.done - begun) * size / max(run.seconds - spent, 1e-9)
        error = run.history[-1]["test_error_pct"] if run.history else None
        epoch = (run.done - 1) // run.batches_per_epoch + 1
        return heartbeat.Heartbeat(epoch=epoch, epochs=run.recipe.epochs, speed=speed, error=error, testing=testing)

    with (
        interruptible() as interrupted,
        heartbeat.writing(folder) as onlookers,
        meter(run.title, end * size, "samples", run.done * size) as bar,
    ):
        while run.done < end:
            epoch, number = divmod(run.done, run.batches_per_epoch)
            # Dropout is a function of seed and batch too.
            torch.manual_seed((run.seed << 32) + run.done)
            batch = run.train.drawn(sampler.rows(run.done), run.seed, run.done)
            step(batch)
            run.done += 1
            ended = number + 1 == run.batches_per_epoch
            due = ended or run.done == end
            if due or run.done % READING == 0 or run.train.device.type == "cpu":
                # The sum, so that no loss since the last look is passed over.
                mean = float(tally[0]) / ((number + 1) * size)
                run.seconds, clock = run.seconds + time.monotonic() - clock, time.monotonic()
                _check(run, "loss", mean)
                due = due or clock - kept >= KEEPING_SECONDS
                note = f"epoch {epoch + 1} of {run.recipe.epochs}, loss {mean:.4f}"
                if ended or onlookers.due:
                    onlookers.write(beat(testing=ended))
            bar.advance(size, note)
            if ended:
                run.history.append(_line(run, optimizer.param_groups[0]["lr"], tally))
                tally.zero_()
                show(epoch + 1)
                scheduler.step()
            stop = bool(interrupted)
            if due or stop:
                checkpoint()
                clock = kept = time.monotonic()
            if stop:
                break
    if interrupted:
        signal.raise_signal(interrupted[0])
        raise KeyboardInterrupt  # A handler that lets the program go on must not take this for the end of the run.
    if run.done % run.batches_per_epoch:
        run.history.append(_line(run, run.recipe.learning_rate_at(run.done // run.batches_per_epoch), tally))


def _check(run: Run, name: str, loss: float) -> None:
    """Raise CrepeError where a loss is infinite or no number."""
    if not math.isfinite(loss):
        epoch = (run.done - 1) // run.batches_per_epoch + 1
        remedy = f"try a smaller learning_rate than {run.recipe.learning_rate_at(epoch - 1):g}"
        if run.recipe.max_grad_norm is None:
            remedy += ", or `max_grad_norm: 1` in the recipe"
        raise CrepeError(
            f"{run.title}: the {name} is {loss} at batch {run.done} (epoch {epoch}); {remedy}, another seed, or "
            "--precision float32"
        )


def _line(run: Run, rate: float, tally: Tensor) -> dict[str, float]:
    """The history's line of the epoch that ends, or is broken off, here."""
    epoch = (run.done - 1) // run.batches_per_epoch
    samples = (run.done - epoch * run.batches_per_epoch) * run.recipe.batch_size
    predictions = predict(run.network, run.test, run.dtype)
    loss, errors = tally.tolist()
    test_loss = float(predictions.losses.mean())
    _check(run, "loss on the test rows", test_loss)
    return {
        "epoch": epoch + 1,
        "batches": run.done,
        "samples": run.done * run.recipe.batch_size,
        "learning_rate": rate,
        "train_loss": round(loss / samples, 6),
        "train_error_pct": round(100 * errors / samples, 4),
        "test_loss": round(test_loss, 6),
        "test_error_pct": round(100 * float((predictions.classes != run.test.labels).mean()), 4),
    }


def _state(run: Run, optimizer: SGDW, tally: Tensor) -> dict[str, Tensor]:
    """Every tensor that the run's future depends on, by name; copying into them resumes it."""
    names = [name for name, _ in run.network.named_parameters()]
    return {
        **{f"parameter.{name}": tensor.data for name, tensor in zip(names, optimizer.parameters, strict=True)},
        **{f"momentum_buffer.{name}": tensor for name, tensor in zip(names, optimizer.momentum_buffers, strict=True)},
        "tally": tally,
    }


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first SIGINT or SIGTERM within the block puts its number in; a second takes its usual course.

    A signal that the process ignores, as those in the background ignore SIGINT, stays ignored.
    """
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in heeded}
    try:
        yield received
    finally:
        restore()
