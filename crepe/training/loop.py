"""The training loop: epochs, batches, checkpoints; the same for every kind of network and feature."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from crepe.config.recipe import Recipe
from crepe.config.sgd import Settings
from crepe.errors import CrepeError
from crepe.evaluation.prediction import predict
from crepe.io.progress import Meter, meter
from crepe.models.base import Network
from crepe.models.batch import Split
from crepe.training import checkpoints, heartbeat
from crepe.training.interruption import interruptible, take
from crepe.training.optimizer import SGDW, HalvingLR
from crepe.training.sampler import Sampler
from crepe.training.step import Step, step_of

READ_EVERY = 50
"""On a GPU, read the loss (which synchronises) every this many batches; elsewhere it is read after each."""

CHECKPOINT_SECONDS = 600.0
"""Write a checkpoint if the last is older than this many seconds. Checked whenever the loss is read."""


@dataclass(kw_only=True, slots=True)
class Training:
    """A network in training, and how far it has come."""

    title: str
    """Name of the training in messages."""
    network: Network
    dtype: torch.dtype
    """Precision of the computation: float32, bfloat16 or float64."""
    recipe: Recipe
    """With what it leaves to the dataset filled in."""
    seed: int
    """Seed of draws and dropout, from 0 to `crepe.config.LARGEST_SEED`."""
    train: Split
    test: Split
    classes: int
    """Number of classes."""
    done: int = 0
    """Batches trained."""
    complete: bool = False
    """Whether the recipe was followed to its end."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry an epoch or iteration, keys as in the classes of `crepe.records.history`."""
    seconds: float = 0.0
    """Time spent on training batches, over all starts; tests and checkpoints do not count."""

    @property
    def sgd(self) -> Settings:
        """The recipe of a training by stochastic gradient descent."""
        assert isinstance(self.recipe, Settings)
        return self.recipe

    @property
    def batches_per_epoch(self) -> int:
        """Batches in an epoch."""
        assert self.sgd.batches_per_epoch is not None, "resolved from the dataset before"
        return self.sgd.batches_per_epoch

    @property
    def total(self) -> int:
        """Batches of the whole schedule."""
        return self.sgd.epochs * self.batches_per_epoch

    @property
    def epoch(self) -> int:
        """Epoch of the last batch, counted from 1."""
        return (self.done - 1) // self.batches_per_epoch + 1

    @property
    def epoch_samples(self) -> int:
        """Samples of that epoch that have been trained."""
        return (self.done - (self.epoch - 1) * self.batches_per_epoch) * self.sgd.batch_size


def fit(
    training: Training,
    folder: Path,
    identity: str,
    steps: int | None = None,
    show: Callable[[int], None] = lambda _: None,
) -> None:
    """Train a network by stochastic gradient descent, from its last checkpoint in `folder` if there is one.

    On SIGINT or SIGTERM a checkpoint is written before the signal takes its course. A training that is stopped or
    killed anywhere and started again ends with the same bits as one that runs through.

    Args:
        training: the training, changed in place.
        folder: folder of checkpoints and heartbeat.
        identity: digest of all that the outcome depends on; checkpoints with another one are not used.
        steps: batches to end after; None trains the whole schedule.
        show: called with 0 before the first batch, and with the number of each epoch at its end, before its checkpoint:
            if there is a checkpoint of an epoch, `show` has been called for it.

    Raises:
        CrepeError: the loss, in training or on the test rows, is no longer a finite number.
    """
    recipe, end = training.sgd, training.total if steps is None else min(steps, training.total)
    optimizer = SGDW(training.network.parameters(), recipe.learning_rate, recipe.momentum, recipe.weight_decay)
    tally = torch.zeros(2, dtype=torch.float64, device=training.train.device)
    """Loss and errors, each summed over the samples of this epoch."""
    checkpoint = _Checkpoint(training, folder, identity, optimizer, tally)
    checkpoint.load()
    if training.done == 0:
        show(0)
    begun = training.done // training.batches_per_epoch
    scheduler = HalvingLR(optimizer, recipe.halve_every, recipe.max_halvings, last_epoch=begun - 1)
    forward = partial(training.network, dtype=training.dtype)
    step = step_of(Step(forward, optimizer, tally, recipe.max_grad_norm), training.network)
    sampler = Sampler(training.train.labels, training.classes, recipe.batch_size, training.seed, recipe.sampling)
    with (
        interruptible() as interrupted,
        heartbeat.writing(folder) as beats,
        meter(training.title, end * recipe.batch_size, "samples", training.done * recipe.batch_size) as bar,
    ):
        monitor = _Monitor(training, tally, beats, bar)
        for epoch in range(begun, -(-end // training.batches_per_epoch)):
            last = min(end, (epoch + 1) * training.batches_per_epoch)
            for number in range(training.done, last):
                # Dropout is a function of seed and batch number, too.
                torch.manual_seed((training.seed << 32) + number)
                step(training.train.drawn(sampler.rows(number), training.seed, number))
                training.done += 1
                read = monitor.advance(training.done == last)
                if interrupted:
                    break
                if read and checkpoint.due and training.done < last:
                    checkpoint.save()
                    monitor.restart()
            if training.done == (epoch + 1) * training.batches_per_epoch:
                training.history.append(_history_line(training, optimizer, tally))
                tally.zero_()
                scheduler.step()
                show(epoch + 1)
            stop = bool(interrupted)
            checkpoint.save()
            monitor.restart()
            if stop:
                break
    if interrupted:
        take(interrupted[0])
    training.complete = training.done == training.total
    if training.done % training.batches_per_epoch:
        # `steps` ended an epoch early. Its checkpoint can go on without this line.
        training.history.append(_history_line(training, optimizer, tally))


class _Monitor:
    """Shows how far a training has come, on the terminal and in its heartbeat, and checks its loss."""

    def __init__(self, training: Training, tally: Tensor, beats: heartbeat.Writer, bar: Meter) -> None:
        self._training, self._tally, self._beats, self._bar = training, tally, beats, bar
        self._begun = training.done, training.seconds
        self._clock = time.monotonic()

    def restart(self) -> None:
        """Leave out of the training's time what has passed since the loss was read."""
        self._clock = time.monotonic()

    def advance(self, last: bool) -> bool:
        """Count a batch, `last` of its epoch or of the training. Returns whether the loss has been read.

        Raises:
            CrepeError: it has been read and is no finite number.
        """
        training = self._training
        read = last or training.done % READ_EVERY == 0 or training.train.device.type == "cpu"
        note = None
        if read:
            # The mean since the epoch began, so that no loss since the last look is passed over.
            loss = float(self._tally[0]) / training.epoch_samples
            now = time.monotonic()
            training.seconds, self._clock = training.seconds + now - self._clock, now
            _check(training, "loss", loss)
            note = f"epoch {training.epoch} of {training.sgd.epochs}, loss {loss:.4f}"
            testing = training.done % training.batches_per_epoch == 0
            if testing or self._beats.due:
                self._beats.write(self._beat(testing))
        self._bar.advance(training.sgd.batch_size, note)
        return read

    def _beat(self, testing: bool) -> heartbeat.Heartbeat:
        training, (done, seconds) = self._training, self._begun
        samples = (training.done - done) * training.sgd.batch_size
        return heartbeat.Heartbeat(
            epoch=training.epoch,
            epochs=training.sgd.epochs,
            speed=samples / max(training.seconds - seconds, 1e-9),
            error=training.history[-1]["test_error_pct"] if training.history else None,
            testing=testing,
        )


class _Checkpoint:
    """The state of a training, on its way to and from the disk."""

    def __init__(self, training: Training, folder: Path, identity: str, optimizer: SGDW, tally: Tensor) -> None:
        self._training, self._folder, self._identity = training, folder, identity
        names = [name for name, _ in training.network.named_parameters()]
        parameters = zip(names, optimizer.parameters, strict=True)
        buffers = zip(names, optimizer.momentum_buffers, strict=True)
        self._tensors = {
            **{f"parameter.{name}": parameter.data for name, parameter in parameters},
            **{f"momentum_buffer.{name}": buffer for name, buffer in buffers},
            "tally": tally,
        }
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one was saved long enough ago."""
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self) -> None:
        """Write a checkpoint."""
        training = self._training
        progress = {"done": training.done, "history": training.history, "seconds": training.seconds}
        checkpoints.save(self._folder, training.done, self._identity, progress, self._tensors)
        self._saved = time.monotonic()

    def load(self) -> None:
        """Put training, network, optimizer and tally where the newest usable checkpoint has them, if there is one."""
        training = self._training
        found = checkpoints.load(self._folder, self._identity, self._tensors)
        if found is None:
            return
        progress, tensors = found
        training.done, training.history, training.seconds = (progress[key] for key in ("done", "history", "seconds"))
        for name, tensor in self._tensors.items():
            tensor.copy_(tensors[name])
        text = f"{training.title}: continues after {training.done:,} of {training.total:,} batches"
        print(text, file=sys.stderr, flush=True)


def _check(training: Training, name: str, loss: float) -> None:
    """Raise CrepeError if a loss is infinite or NaN."""
    if not math.isfinite(loss):
        fault = f"the {name} is {loss} at batch {training.done} (epoch {training.epoch})"
        remedy = f"try a smaller learning_rate than {training.sgd.learning_rate_at(training.epoch - 1):g}"
        if training.sgd.max_grad_norm is None:
            remedy += ", or `max_grad_norm: 1` in the recipe"
        raise CrepeError(training.title, fault, f"{remedy}, another seed, or --precision float32")


def _history_line(training: Training, optimizer: SGDW, tally: Tensor) -> dict[str, float]:
    """Test the network; returns the history's line of the epoch that ends, or is broken off, here."""
    predictions = predict(training.network, training.test, training.dtype)
    loss, errors = tally.tolist()
    test_loss = float(predictions.losses.mean())
    _check(training, "loss on the test rows", test_loss)
    return {
        "epoch": training.epoch,
        "batches": training.done,
        "samples": training.done * training.sgd.batch_size,
        "learning_rate": optimizer.param_groups[0]["lr"],
        "train_loss": round(loss / training.epoch_samples, 6),
        "train_error_pct": round(100 * errors / training.epoch_samples, 4),
        "test_loss": round(test_loss, 6),
        "test_error_pct": round(100 * float((predictions.classes != training.test.labels).mean()), 4),
    }
