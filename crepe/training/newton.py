"""Newton's method for multinomial logistic regression on bags of symbols.

The objective is the mean loss over the train rows + l2 / 2 * the sum of the squared weights. It has one minimum, so
the recipe needs neither a learning rate nor a number of epochs: iterations end when the gradient norm has fallen to a
given share of what it was at the start. An iteration solves the Newton equations roughly by conjugate gradients
(Nocedal and Wright, Numerical Optimization, 2006, section 7.1, line search Newton-CG), with the Hessian's diagonal as
preconditioner, and goes along the solution as far as the objective falls.

A pass over the rows is two products with a sparse matrix [rows, symbols], whose entries are mostly 1: a row has an
entry for each symbol of the text, repetitions too, and weights of symbols and of rows are factors outside. So the
integers of the split are the matrix, as they are. Rows are cut into blocks, in which the number of a row has 16 bits:
the transposed matrix has these in the order of the symbols, half as many bytes again.

On a CPU every sum has one order, whatever the number of threads, so a model's bytes do not depend on it. On a GPU the
products of sparse matrices add up in any order, and the last bits differ from run to run. The state of a training
is its parameters alone: one that is stopped goes on from the last checkpoint and ends with the same bytes.
"""

import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crepe.config.newton import Settings
from crepe.errors import CrepeError
from crepe.io.progress import meter
from crepe.models.batch import Split
from crepe.models.linear.network import Linear
from crepe.training import checkpoints, heartbeat
from crepe.training.augmentation import Augmented
from crepe.training.interruption import interruptible, take
from crepe.training.loop import CHECKPOINT_SECONDS, Training

BLOCK = 2**24
"""Most integers in a block of rows: what is needed to transpose a block is some 40 bytes for each."""
BLOCK_ROWS = 2**16
"""Most rows in a block: their numbers are kept in 16 bits."""
CG_STEPS = 250
"""Most steps of conjugate gradients in an iteration."""
TEXT_BITS = 32
"""Bits of the number of a text in its block, in an integer that has the symbol above them."""
RUN = 1024
"""Products that are summed by torch in one go, in the same order whatever the number of threads."""
SHARE = 0.5
"""Conjugate gradients end when the residual is this share of the gradient, or less near the minimum."""
ARMIJO = 1e-4
"""Least share of the decrease that the gradient promises, for a step to be taken."""


def fit(
    training: Training,
    folder: Path,
    identity: str,
    steps: int | None = None,
    show: Callable[[int], None] = lambda _: None,
) -> None:
    """Train a linear network to the minimum of its loss, from its last checkpoint in `folder` if there is one.

    On SIGINT or SIGTERM a checkpoint of the last whole iteration is written before the signal takes its course.

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
        raise CrepeError(training.title, "newton trains linear networks only", "take a recipe of kind sgd")
    if isinstance(training.train, Augmented):
        raise CrepeError(training.title, "newton reads every text as it is", "take a feature without thesaurus")
    if training.dtype not in (torch.float32, torch.float64):
        raise CrepeError("--precision bfloat16", "newton computes in float32 or float64", "leave the option out")
    checkpoint = _Checkpoint(training, folder, identity, network)
    checkpoint.load()
    if not training.history:
        show(0)
    last = recipe.max_iterations if steps is None else min(steps, recipe.max_iterations)
    with (
        interruptible() as interrupted,
        heartbeat.writing(folder) as beats,
        meter(training.title, None, "passes", training.done) as bar,
    ):
        begun, passes = time.monotonic(), training.done
        train = Rows(training.train, network, training.dtype)
        test = Rows(training.test, network, training.dtype, transposed=False)
        problem = Problem(train, training.classes, recipe.l2)
        point = problem.at(_joined(network, training.dtype))
        goal = recipe.tolerance * problem.gradient_norm_at_zero
        while len(training.history) < last and not (training.history and point.gradient_norm <= goal):

            def count() -> bool:
                training.done += 1
                bar.advance(1, f"iteration {len(training.history) + 1}")
                return bool(interrupted)

            done = training.done
            following = problem.improved(point, SHARE, count)
            if interrupted:
                # What is left of the iteration is computed anew.
                training.done = done
                break
            if following is None:
                text = f"{training.title}: the objective falls no further in this precision"
                print(f"{text}; raise `tolerance`, or give --precision float64", file=sys.stderr, flush=True)
                break
            point = following
            _split(network, point.weights)
            now = time.monotonic()
            training.seconds, begun = training.seconds + now - begun, now
            training.history.append(_line(training, point, test))
            show(len(training.history))
            if beats.due:
                beats.write(
                    heartbeat.Heartbeat(
                        epoch=len(training.history),
                        epochs=recipe.max_iterations,
                        speed=(training.done - passes) * len(training.train) / max(training.seconds, 1e-9),
                        error=training.history[-1]["test_error_pct"],
                    )
                )
            if checkpoint.due:
                checkpoint.save()
            begun += time.monotonic() - now
        training.complete = point.gradient_norm <= goal
        checkpoint.save()
    if interrupted:
        take(interrupted[0])


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of a split, one behind the other."""

    rows: slice
    matrix: Tensor
    """Sparse [rows, columns], with an entry of 1 for each place of a text."""
    begins: Tensor | None = None
    """int32 [columns + 1], where each symbol begins in `row_of`; None if there is no transposed matrix."""
    row_of: Tensor | None = None
    """uint16 [places], the row in the block of each place of a symbol, ordered by symbol, then by row."""


class Rows:
    """The rows of a split as a sparse matrix [rows, symbols + 1], times a dense one.

    Column 0, of the symbol outside the vocabulary, is 0 but for the bias: row 0 of a dense matrix is added to all rows.

    Args:
        split: the rows.
        network: says how much each symbol counts.
        dtype: float32 or float64.
        transposed: whether to be able to multiply with the transposed matrix, too.
    """

    def __init__(self, split: Split, network: Linear, dtype: torch.dtype, transposed: bool = True) -> None:
        device = split.device
        self.labels = torch.from_numpy(split.labels).long().to(device)
        weights = network.symbol_weights.to(device, dtype)
        self.columns = len(weights)
        self._weights = weights[:, None]
        self._weighed = weights.new_empty(0, 0)
        self._turned_block: _Block | None = None
        bounds, stops = _bounds(split.lengths), np.append(0, split.lengths.cumsum())
        places = np.diff(stops[bounds]).max(initial=0)
        self._ones = torch.ones(places, dtype=dtype, device=device)
        # What stays is made before the blocks: behind it, each of them gets the memory that the last one has freed.
        turned = (len(bounds) - 1, int(stops[-1])) if transposed else (0, 0)
        begins = torch.empty(turned[0], self.columns + 1, dtype=torch.int32, device=device)
        row_of = torch.empty(turned[1], dtype=torch.uint16, device=device)
        self._indices = torch.empty(places if transposed else 0, dtype=torch.int32, device=device)
        scales = weights.new_empty(len(split) if network.scales_texts else 0)
        self._blocks = []
        for number, (first, last) in enumerate(pairwise(bounds)):
            codes, offsets = split.slice(first, last)
            matrix = _csr(offsets.to(torch.int32), codes, self._ones, (last - first, self.columns))
            block = _Block(slice(first, last), matrix)
            if transposed:
                block = replace(block, begins=begins[number], row_of=row_of[stops[first] : stops[last]])
            if transposed or network.scales_texts:
                _transpose(codes, offsets, block, network, weights, scales[first:last])
            self._blocks.append(block)
        self._scales = scales[:, None] if network.scales_texts else None

    def __len__(self) -> int:
        return len(self.labels)

    def times(self, weights: Tensor) -> Tensor:
        """Multiply the matrix with a dense one: [columns, classes] to [rows, classes]."""
        if self._weighed.shape != weights.shape:
            self._weighed = torch.empty_like(weights)
        weighed = torch.mul(self._weights, weights, out=self._weighed)
        product = weights.new_zeros(len(self), weights.shape[1])
        for block in self._blocks:
            _multiply(block.matrix, weighed, product[block.rows])
        if self._scales is not None:
            product *= self._scales
        return product.add_(weights[0])

    def transposed_times(self, values: Tensor, squared: bool = False, out: Tensor | None = None) -> Tensor:
        """Multiply the transposed matrix with a dense one: [rows, classes] to [columns, classes].

        Args:
            values: the dense one.
            squared: whether to square all weights before; an entry n of a symbol that occurs n times remains n.
            out: where to put the product; None makes a tensor.
        """
        scales, weights = self._scales, self._weights
        if squared:
            scales, weights = None if scales is None else scales**2, weights**2
        scaled = values if scales is None else values * scales
        total = values.new_zeros(self.columns, values.shape[1]) if out is None else out
        for block in self._blocks:
            _multiply(self._turned(block), scaled[block.rows], total, add=block.rows.start > 0)
        total *= weights
        total[0] = _sums(values)
        return total

    def _turned(self, block: _Block) -> Tensor:
        """Make the transposed matrix of a block, in the place of that of the last one."""
        assert block.begins is not None
        assert block.row_of is not None
        places = len(block.row_of)
        if self._turned_block is not block:
            self._indices[:places] = block.row_of
            self._turned_block = block
        return _csr(block.begins, self._indices[:places], self._ones, (self.columns, block.matrix.shape[0]))


@dataclass(frozen=True, slots=True)
class Point:
    """Weights, and the objective there."""

    weights: Tensor
    """[columns, classes]; row 0 is the bias."""
    objective: float
    loss: float
    """Mean loss."""
    errors: int
    """Rows whose likeliest class is not the label."""
    log_probabilities: Tensor
    """[rows, classes]."""
    gradient: Tensor
    """[columns, classes]."""
    gradient_norm: float


class Problem:
    """The objective of a logistic regression.

    Args:
        rows: the train rows.
        classes: number of classes.
        l2: penalty of the weights; the bias is free.
    """

    def __init__(self, rows: Rows, classes: int, l2: float) -> None:
        self._rows, self._l2 = rows, l2
        self._targets = F.one_hot(rows.labels, classes)
        weights = torch.zeros(rows.columns, classes, dtype=rows._weights.dtype, device=rows.labels.device)
        self.gradient_norm_at_zero = self.at(weights).gradient_norm

    def at(self, weights: Tensor) -> Point:
        """Compute the objective and its gradient."""
        logits = self._rows.times(weights)
        loss = _total(_losses(logits, self._rows.labels)) / len(self._rows)
        errors = int((logits.argmax(1) != self._rows.labels).sum())
        logits = logits.log_softmax(1)
        gradient = self._rows.transposed_times(logits.exp().sub_(self._targets).div_(len(self._rows)))
        gradient[1:] += self._l2 * weights[1:]
        norm = math.sqrt(_dot(gradient, gradient))
        objective = loss + self._l2 / 2 * self._squares(weights, weights)
        return Point(weights, objective, loss, errors, logits, gradient, norm)

    def curvature(self, probabilities: Tensor, along: Tensor, out: Tensor | None = None) -> Tensor:
        """Multiply the Hessian of the loss with [columns, classes], of which `along` is the product with the rows.

        Args:
            probabilities: [rows, classes].
            along: [rows, classes].
            out: where to put the product; None makes a tensor.
        """
        change = probabilities * along
        change -= probabilities * change.sum(1, keepdim=True)
        return self._rows.transposed_times(change.div_(len(self._rows)), out=out)

    def improved(self, point: Point, share: float, count: Callable[[], bool]) -> Point | None:
        """Make an iteration of Newton's method.

        Args:
            point: where to begin.
            share: see `SHARE`.
            count: called after each pass over the rows; the iteration ends if it returns true, and its result is none.

        Returns:
            The next point; None where the objective falls no further, or after an interruption.
        """
        rows, l2 = self._rows, self._l2
        probabilities = point.log_probabilities.exp()
        spread = (probabilities - probabilities**2).div_(len(rows))
        diagonal = rows.transposed_times(spread, squared=True)
        diagonal[1:] += l2
        inverse = diagonal.clamp_(min=1e-12).reciprocal_()
        share = min(share, math.sqrt(point.gradient_norm / self.gradient_norm_at_zero))
        step, residual, curved = torch.zeros_like(point.weights), -point.gradient, torch.zeros_like(point.weights)
        along = torch.zeros_like(probabilities)
        preconditioned = inverse * residual
        direction = preconditioned.clone()
        product = _dot(residual, preconditioned)
        for _ in range(CG_STEPS):
            logits = rows.times(direction)
            self.curvature(probabilities, logits, curved)
            curved[1:].add_(direction[1:], alpha=l2)
            if count():
                return None
            factor = product / _dot(direction, curved)
            step.add_(direction, alpha=factor)
            along.add_(logits, alpha=factor)
            residual.sub_(curved, alpha=factor)
            if math.sqrt(_dot(residual, residual)) <= share * point.gradient_norm:
                break
            torch.mul(inverse, residual, out=preconditioned)
            before, product = product, _dot(residual, preconditioned)
            direction.mul_(product / before).add_(preconditioned)
        length = self._length(point, step, along)
        if length is None:
            return None
        following = self.at(point.weights.add(step, alpha=length))
        return None if count() else following

    def _length(self, point: Point, step: Tensor, along: Tensor) -> float | None:
        """Halve a step until the objective falls enough; None if it never does."""
        rows, slope = self._rows, _dot(point.gradient, step)
        squares = [self._squares(a, b) for a, b in ((point.weights,) * 2, (point.weights, step), (step, step))]
        length = 1.0
        for _ in range(30):
            loss = _total(_losses(point.log_probabilities + length * along, rows.labels)) / len(rows)
            penalty = squares[0] + 2 * length * squares[1] + length**2 * squares[2]
            if loss + self._l2 / 2 * penalty <= point.objective + ARMIJO * length * slope:
                return length
            length /= 2
        return None

    def _squares(self, a: Tensor, b: Tensor) -> float:
        """Sum of the products of two tables, the bias left out."""
        return _dot(a, b) - _dot(a[:1], b[:1])


class _Checkpoint:
    """The state of a training, on its way to and from the disk."""

    def __init__(self, training: Training, folder: Path, identity: str, network: Linear) -> None:
        self._training, self._folder, self._identity = training, folder, identity
        self._tensors = {f"parameter.{name}": parameter.data for name, parameter in network.named_parameters()}
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one was saved long enough ago."""
        return time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self) -> None:
        """Write a checkpoint."""
        training = self._training
        state = {"done": training.done, "history": training.history, "seconds": training.seconds}
        checkpoints.save(self._folder, training.done, self._identity, state, self._tensors)
        self._saved = time.monotonic()

    def load(self) -> None:
        """Put training and network where the newest usable checkpoint has them, if there is one."""
        training = self._training
        found = checkpoints.load(self._folder, self._identity, self._tensors)
        if found is None:
            return
        state, tensors = found
        training.done, training.history, training.seconds = (state[key] for key in ("done", "history", "seconds"))
        for name, tensor in self._tensors.items():
            tensor.copy_(tensors[name])
        text = f"{training.title}: continues after {len(training.history)} iterations"
        print(text, file=sys.stderr, flush=True)


def _line(training: Training, point: Point, test: Rows) -> dict[str, float]:
    """The history's line of the iteration that ends here."""
    logits = test.times(point.weights)
    wrong = int((logits.argmax(1) != test.labels).sum())
    return {
        "iteration": len(training.history) + 1,
        "batches": training.done,
        "samples": training.done * len(training.train),
        "objective": round(point.objective, 8),
        "gradient_norm": float(f"{point.gradient_norm:.6g}"),
        "train_loss": round(point.loss, 6),
        "train_error_pct": round(100 * point.errors / len(training.train), 4),
        "test_loss": round(_total(_losses(logits, test.labels)) / len(test), 6),
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


def _bounds(lengths: np.ndarray) -> list[int]:
    """Cut rows of these lengths into blocks: the first row of each, and the number of rows."""
    stops, bounds = lengths.cumsum(), [0]
    while (first := bounds[-1]) < len(lengths):
        begin = int(stops[first - 1]) if first else 0
        last = int(np.searchsorted(stops, begin + BLOCK, side="right"))
        bounds.append(max(first + 1, min(last, first + BLOCK_ROWS)))
    return bounds


def _transpose(codes: Tensor, offsets: Tensor, block: _Block, network: Linear, weights: Tensor, scales: Tensor) -> None:
    """Order the places of a block of texts by symbol, then by text.

    Args:
        codes: int32 [places].
        offsets: int64 [texts + 1], where each text begins.
        block: gets the transposed matrix, if it has room for it.
        network: says how texts are scaled.
        weights: [columns], of the symbols.
        scales: [texts], gets the factor of each text, if there are such.
    """
    device, texts = codes.device, len(offsets) - 1
    # Symbol and text as one integer, which a single sort without indices puts in order.
    keys = codes.long().bitwise_left_shift_(TEXT_BITS)
    keys |= torch.repeat_interleave(torch.arange(texts, device=device), offsets.diff(), output_size=len(codes))
    if device.type == "cpu":
        keys.numpy().sort()  # Three times as fast as torch's.
    else:
        keys = keys.sort().values
    if network.scales_texts:
        # A symbol that occurs several times in a text has its places one behind the other.
        new = torch.ones(len(keys), dtype=torch.bool, device=device)
        torch.ne(keys[1:], keys[:-1], out=new[1:])
        firsts = new.nonzero()[:, 0]
        counts = torch.diff(firsts, append=firsts.new_tensor([len(keys)]))
        distinct = keys[firsts]
        values = weights[distinct >> TEXT_BITS].mul_(counts)
        scales.copy_(network.text_scales(values, distinct.bitwise_and_(2**TEXT_BITS - 1), texts))
    if block.begins is not None and block.row_of is not None:
        begins = torch.arange(len(block.begins), device=device).bitwise_left_shift_(TEXT_BITS)
        block.begins.copy_(torch.searchsorted(keys, begins))
        block.row_of.copy_(keys.bitwise_and_(2**TEXT_BITS - 1))


def _csr(pointers: Tensor, indices: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Make a sparse matrix; the entries are the first of `values`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse (CSR tensor support is in beta|invariant checks are implicitly)")
        # Not checked, which would take longer than a product: the indices are in order as they are made.
        return torch.sparse_csr_tensor(pointers, indices, values[: len(indices)], shape, check_invariants=False)


def _multiply(matrix: Tensor, dense: Tensor, product: Tensor, add: bool = False) -> None:
    """Multiply a sparse matrix with a dense one into `product`, which holds numbers, or add to what it holds.

    Written there, a product takes half the time: else torch makes a matrix of zeros, and a copy of it, first.
    """
    torch.addmm(product, matrix, dense, beta=float(add), out=product)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p of the label: [rows]."""
    return torch.logsumexp(logits, 1) - logits.gather(1, labels[:, None])[:, 0]


def _dot(a: Tensor, b: Tensor) -> float:
    """Sum of the products of two tables, in float64 but for the sums of `RUN` products each."""
    products = (a * b).flatten()
    whole = len(products) - len(products) % RUN
    return _total(products[:whole].view(-1, RUN).sum(1)) + _total(products[whole:])


def _total(values: Tensor) -> float:
    """Sum of a vector in float64. On a CPU NumPy adds it up: torch's order depends on the number of threads."""
    if values.device.type == "cpu":
        return float(values.numpy().sum(dtype=np.float64))
    return float(values.sum(dtype=torch.float64))


def _sums(values: Tensor) -> Tensor:
    """Sum of each column, computed in float64, in the order of `_total`."""
    columns = values.T.contiguous()
    return torch.tensor([_total(column) for column in columns], dtype=values.dtype, device=values.device)
