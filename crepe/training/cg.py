"""Nonlinear conjugate gradients for multinomial logistic regression on bags of symbols.

The objective is the mean loss over the train rows + l2 / 2 * the sum of the squared weights. It has one minimum, so
the recipe needs neither a learning rate nor a number of epochs: iterations end when the objective hardly falls any
more. An iteration goes along a direction that is conjugate to the last one (Nocedal and Wright, Numerical
Optimization, 2006, section 5.2, Polak-Ribiere with restarts), with the Hessian's diagonal as preconditioner, to where
the objective is least in that direction. It passes over the rows once: two products with a sparse matrix
(`crepe.models.linear.rows`). The search for the least place takes none, since the logits are linear in the weights.

On a CPU a model's bytes do not depend on the number of threads. A checkpoint has the whole state of the iterations: a
training that is stopped goes on from the last one and ends with the same bytes.
"""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.config.cg import Settings
from crepe.errors import CrepeError
from crepe.io.progress import meter
from crepe.models.linear.network import Linear
from crepe.models.linear.rows import Rows, dot, total
from crepe.training import checkpoints, heartbeat
from crepe.training.augmentation import Augmented
from crepe.training.interruption import interruptible, take
from crepe.training.loop import CHECKPOINT_SECONDS, Training

WINDOW = 3
"""Iterations over which the fall of the objective is compared with the tolerance: a single one may fall little."""
DAMPING = 3.0
"""Multiple of the penalty in the preconditioner: a step of rare symbols, of which a row has many, is else too long."""
ACCURACY = 0.1
"""A line search ends where the slope is this share of what it was at its start."""
TRIALS = 20
"""Most lengths that a line search tries; 1 or 2 are usual."""


def fit(
    training: Training,
    folder: Path,
    identity: str,
    steps: int | None = None,
    show: Callable[[int], None] = lambda _: None,
) -> None:
    """Train a linear network to the minimum of its loss, from its last checkpoint in `folder` if there is one.

    On SIGINT or SIGTERM a checkpoint of the last iteration is written before the signal takes its course.

    Args:
        training: the training, changed in place. `done` counts passes over the train rows.
        folder: folder of checkpoints and heartbeat.
        identity: digest of all that the outcome depends on; checkpoints with another one are not used.
        steps: iterations to end after; None goes on to the tolerance.
        show: called with 0 before the first iteration, and with the number of each at its end.

    Raises:
        CrepeError: the network is not linear, its texts get synonyms, or the precision is bfloat16.
    """
    recipe, network = training.recipe, training.network
    assert isinstance(recipe, Settings)
    if not isinstance(network, Linear):
        raise CrepeError(training.title, "cg trains linear networks only", "take a recipe of kind sgd")
    if isinstance(training.train, Augmented):
        raise CrepeError(training.title, "cg reads every text as it is", "take a feature without thesaurus")
    if training.dtype not in (torch.float32, torch.float64):
        raise CrepeError("--precision bfloat16", "cg computes in float32 or float64", "leave the option out")
    last = recipe.max_iterations if steps is None else min(steps, recipe.max_iterations)
    with interruptible() as interrupted, heartbeat.writing(folder) as beats:
        begun = time.monotonic()
        train = Rows(training.train, network, training.dtype)
        test = Rows(training.test, network, training.dtype, transposed=False)
        descent = Descent(train, training.classes, recipe.l2, _joined(network, training.dtype))
        checkpoint = _Checkpoint(training, folder, identity, descent)
        checkpoint.load()
        first = training.done
        if not training.history:
            show(0)
        with meter(training.title, None, "passes", first) as bar:
            while not (done := descent.settled(WINDOW, recipe.tolerance)) and training.done < last and not interrupted:
                descent.iterate()
                training.done += 1
                bar.advance(1, f"objective {descent.objective:.6f}")
                now = time.monotonic()
                training.seconds, begun = training.seconds + now - begun, now
                training.history.append(_line(training, descent, test))
                show(training.done)
                if beats.due:
                    beats.write(
                        heartbeat.Heartbeat(
                            epoch=training.done,
                            epochs=recipe.max_iterations,
                            speed=(training.done - first) * len(training.train) / max(training.seconds, 1e-9),
                            error=training.history[-1]["test_error_pct"],
                        )
                    )
                if checkpoint.due:
                    checkpoint.save()
                begun += time.monotonic() - now
        _split(network, descent.weights)
        training.complete = done
        checkpoint.save()
    if interrupted:
        take(interrupted[0])


class Descent:
    """The way down the objective of a logistic regression, one iteration at a time.

    Args:
        rows: the train rows.
        classes: number of classes.
        l2: penalty of the weights; the bias is free.
        weights: [columns, classes], where to begin; row 0 is the bias. Changed in place.
    """

    def __init__(self, rows: Rows, classes: int, l2: float, weights: Tensor) -> None:
        self._rows, self._l2 = rows, l2
        self._targets = F.one_hot(rows.labels, classes).to(weights.dtype)
        self.weights = weights
        self._direction, self._gradient, self._inverse = (torch.zeros_like(weights) for _ in range(3))
        # Of no iteration but the one that makes them.
        self._following, self._preconditioned = torch.empty_like(weights), torch.empty_like(weights)
        self._logits = rows.times(weights)
        self._product = 0.0
        self._evaluate()
        self.objectives = [self._objective()]
        """The objective at the start and after each iteration."""

    @property
    def objective(self) -> float:
        """The objective at the weights."""
        return self.objectives[-1]

    @property
    def loss(self) -> float:
        """Mean loss over the rows."""
        of_labels = self._logits.gather(1, self._rows.labels[:, None])
        return (total(self._normalizers) - total(of_labels[:, 0])) / len(self._rows)

    @property
    def errors(self) -> int:
        """Rows whose likeliest class is not the label."""
        return int((self._logits.argmax(1) != self._rows.labels).sum())

    @property
    def state(self) -> tuple[dict[str, float | list[float]], dict[str, Tensor]]:
        """All that the next iterations depend on: numbers, and tensors, which `restore` takes back."""
        names = ("weights", "_direction", "_gradient", "_inverse", "_logits")
        numbers: dict[str, float | list[float]] = {"product": self._product, "objectives": self.objectives}
        return numbers, {name.removeprefix("_"): getattr(self, name) for name in names}

    def restore(self, numbers: dict[str, float | list[float]], tensors: dict[str, Tensor]) -> None:
        """Go to a `state`."""
        for name, tensor in self.state[1].items():
            tensor.copy_(tensors[name])
        self._product, self.objectives = numbers["product"], numbers["objectives"]  # type: ignore[assignment]
        self._evaluate()

    def settled(self, iterations: int, tolerance: float) -> bool:
        """Whether the objective fell by no more than this share of itself in the last iterations."""
        if len(self.objectives) <= iterations:
            return False
        return self.objectives[-1 - iterations] - self.objective <= tolerance * abs(self.objective)

    def gradient(self, out: Tensor | None = None) -> Tensor:
        """Compute the gradient of the objective: [columns, classes]."""
        change = (self._probabilities - self._targets).div_(len(self._rows))
        gradient = self._rows.transposed_times(change, out=out)
        gradient[1:].add_(self.weights[1:], alpha=self._l2)
        return gradient

    def iterate(self) -> None:
        """Choose a direction, and go along it to where the objective is least."""
        gradient = self.gradient(out=self._following)
        number = len(self.objectives) - 1
        # Before iterations 0, 1, 3, 6, 10, ...: probabilities change most in the first ones.
        if math.isqrt(8 * number + 1) ** 2 == 8 * number + 1:
            self._precondition()
        preconditioned = torch.mul(self._inverse, gradient, out=self._preconditioned)
        before, self._product = self._product, dot(gradient, preconditioned)
        share = max(0.0, (self._product - dot(self._gradient, preconditioned)) / before) if before else 0.0
        self._direction.mul_(share).sub_(preconditioned)
        self._gradient, self._following = gradient, self._gradient
        along = _Line(self, self._direction)
        if along.slope >= 0 and share:
            torch.neg(preconditioned, out=self._direction)
            along = _Line(self, self._direction)
        length, self._logits, self._probabilities, self._normalizers = along.least()
        self.weights.add_(self._direction, alpha=length)
        self.objectives.append(self._objective())

    def _precondition(self) -> None:
        """Compute the inverse of the Hessian's diagonal."""
        spread = (self._probabilities - self._probabilities**2).div_(len(self._rows))
        diagonal = self._rows.transposed_times(spread, squared=True, out=self._inverse)
        diagonal[1:] += DAMPING * self._l2
        diagonal.clamp_(min=1e-12).reciprocal_()

    def _evaluate(self) -> None:
        self._probabilities, self._normalizers = softmax(self._logits)

    def _objective(self) -> float:
        return self.loss + self._l2 / 2 * self._squares(self.weights, self.weights)

    def _squares(self, a: Tensor, b: Tensor) -> float:
        """Sum of the products of two tables, the bias left out."""
        return dot(a, b) - dot(a[:1], b[:1])


class _Line:
    """The objective on the line through the weights of a descent, as a function of the length of the step.

    Args:
        descent: says where the line begins.
        direction: [columns, classes].
    """

    def __init__(self, descent: Descent, direction: Tensor) -> None:
        self._descent, self._rows = descent, descent._rows
        self._along = self._rows.times(direction)
        self._of_labels = total(self._along.gather(1, self._rows.labels[:, None])[:, 0])
        self._penalties = [descent._l2 * descent._squares(table, direction) for table in (descent.weights, direction)]
        self.slope: float = self._slope(0.0, descent._probabilities)

    def _slope(self, length: float, probabilities: Tensor) -> float:
        """Slope at a length, where these are the probabilities."""
        loss = (dot(probabilities, self._along) - self._of_labels) / len(self._rows)
        return loss + self._penalties[0] + length * self._penalties[1]

    def _curvature(self, probabilities: Tensor) -> float:
        """Curvature where these are the probabilities."""
        change = probabilities * self._along
        return (dot(change, self._along) - total(change.sum(1).square_())) / len(self._rows) + self._penalties[1]

    def least(self) -> tuple[float, Tensor, Tensor, Tensor]:
        """Find where the slope is nearly 0, by Newton's method between bounds.

        Returns:
            The length, and logits, probabilities and normalizers there.
        """
        descent = self._descent
        probabilities, slope, length = descent._probabilities, self.slope, 0.0
        least, most = 0.0, math.inf
        for _ in range(TRIALS):
            curvature = self._curvature(probabilities)
            if not (slope and curvature > 0):
                break
            length -= slope / curvature
            if not least < length < most:
                length = (least + most) / 2 if most < math.inf else 2 * least
            logits = torch.add(descent._logits, self._along, alpha=length)
            probabilities, normalizers = softmax(logits)
            slope = self._slope(length, probabilities)
            if abs(slope) <= ACCURACY * abs(self.slope):
                return length, logits, probabilities, normalizers
            least, most = (length, most) if slope < 0 else (least, length)
        # The gradient is 0, or the precision has come to its end.
        return 0.0, descent._logits, descent._probabilities, descent._normalizers


class _Checkpoint:
    """The state of a training, on its way to and from the disk."""

    def __init__(self, training: Training, folder: Path, identity: str, descent: Descent) -> None:
        self._training, self._folder, self._identity, self._descent = training, folder, identity, descent
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one was saved long enough ago."""
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self) -> None:
        """Write a checkpoint."""
        training = self._training
        numbers, tensors = self._descent.state
        state = {"done": training.done, "history": training.history, "seconds": training.seconds, "descent": numbers}
        checkpoints.save(self._folder, training.done, self._identity, state, tensors)
        self._saved = time.monotonic()

    def load(self) -> None:
        """Put training and descent where the newest usable checkpoint has them, if there is one."""
        training = self._training
        found = checkpoints.load(self._folder, self._identity, self._descent.state[1])
        if found is None:
            return
        state, tensors = found
        training.done, training.history, training.seconds = (state[key] for key in ("done", "history", "seconds"))
        self._descent.restore(state["descent"], tensors)
        text = f"{training.title}: continues after {training.done} iterations"
        print(text, file=sys.stderr, flush=True)


def softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Compute probabilities [rows, classes], and the logarithms of the sums of exponentials [rows].

    For few classes this takes a quarter of the time of torch's two functions.
    """
    largest = logits.amax(1, keepdim=True)
    probabilities = (logits - largest).exp_()
    sums = probabilities.sum(1, keepdim=True)
    return probabilities.div_(sums), sums.log_().add_(largest)[:, 0]


def _line(training: Training, descent: Descent, test: Rows) -> dict[str, float]:
    """The history's line of the iteration that ends here."""
    logits = test.times(descent.weights)
    wrong = int((logits.argmax(1) != test.labels).sum())
    loss = total(softmax(logits)[1]) - total(logits.gather(1, test.labels[:, None])[:, 0])
    return {
        "iteration": training.done,
        "batches": training.done,
        "samples": training.done * len(training.train),
        "objective": round(descent.objective, 8),
        "train_loss": round(descent.loss, 6),
        "train_error_pct": round(100 * descent.errors / len(training.train), 4),
        "test_loss": round(loss / len(test), 6),
        "test_error_pct": round(100 * wrong / len(test), 4),
    }


def _joined(network: Linear, dtype: torch.dtype) -> Tensor:
    """Table and bias of a network as one table, whose row 0, of the symbol that counts nothing, is the bias."""
    weights = network.table.detach().to(dtype, copy=True)
    weights[0] = network.bias.detach()
    return weights


def _split(network: Linear, weights: Tensor) -> None:
    """Put such a table into a network; the row of the symbol that counts nothing is 0."""
    with torch.no_grad():
        network.table.copy_(weights)
        network.table[0] = 0
        network.bias.copy_(weights[0])
