"""Conjugate gradients: the minimum of scikit-learn, the gradient of autograd, and the same bytes always."""

import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from crepe.config.cg import Settings as Cg
from crepe.errors import CrepeError
from crepe.models import linear, lstm
from crepe.models.base import Inputs, Network, initialize
from crepe.models.batch import Split
from crepe.models.linear.network import Linear
from crepe.models.linear.rows import Rows
from crepe.ragged import Ragged
from crepe.training import cg
from crepe.training.loop import Training
from crepe.training.solvers import fit

CPU = torch.device("cpu")
SYMBOLS, CLASSES = 40, 3
L2 = 1e-3
TFIDF = {"weighting": "tfidf"}


def texts(rows: int, seed: int) -> Ragged:
    """Texts whose symbols hint at their class; the first is empty, and a symbol can be unknown (0)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=rows).astype(np.int32)
    found = []
    for number, label in enumerate(labels):
        size = generator.integers(1, 30) if number else 0
        hints = generator.integers(label * 10, label * 10 + 20, size)
        found.append(np.where(generator.random(size) < 0.5, hints, generator.integers(0, SYMBOLS + 1, size)))
    return Ragged.from_rows(found, labels, "int32")


def network_of(settings: dict[str, Any] | None = None) -> Linear:
    idf = torch.linspace(0.1, 3.0, SYMBOLS)
    kind = linear.Settings(**(settings or {}))
    network = kind.build(Inputs(vocab_size=SYMBOLS, length=None, classes=CLASSES, idf=idf if kind.needs_idf else None))
    initialize(network, 0.0, 0)
    return network


def make(network: Network | None = None, dtype: torch.dtype = torch.float64, **recipe: Any) -> Training:
    return Training(
        title="t",
        network=network or network_of(),
        dtype=dtype,
        recipe=Cg(**{"l2": L2, "tolerance": 1e-12, **recipe}),
        seed=0,
        train=Split(texts(200, 1), CPU),
        test=Split(texts(60, 2), CPU),
        classes=CLASSES,
    )


def features(network: Linear, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Features of the rows, read off the network's own logits, and their labels in the same order."""
    batch = split.batch(np.arange(len(split)))
    columns = []
    before = network.table.detach().clone(), network.bias.detach().clone()
    with torch.no_grad():
        network.bias.zero_()
        for symbol in range(1, SYMBOLS + 1):
            network.table.zero_()
            network.table[symbol] = 1
            columns.append(network.double()(batch, torch.float64)[:, 0].numpy())
        network.table.copy_(before[0])
        network.bias.copy_(before[1])
    return np.stack(columns, 1), batch.labels.numpy()


@pytest.mark.parametrize("settings", [{}, TFIDF, {"normalize": "l2"}, TFIDF | {"normalize": "max-text"}])
def test_the_minimum_is_scikit_learns(settings: dict[str, Any], tmp_path: Path) -> None:
    run = make(network_of(settings).double(), max_iterations=1000)
    assert isinstance(run.network, Linear)
    x, y = features(run.network, run.train)
    fit(run, tmp_path, "x")
    assert run.complete
    oracle = LogisticRegression(C=1 / (L2 * len(y)), tol=1e-10, max_iter=10_000).fit(x, y)
    losses = -np.log(oracle.predict_proba(x)[np.arange(len(y)), y])
    objective = losses.mean() + L2 / 2 * (oracle.coef_**2).sum()
    assert run.history[-1]["objective"] == pytest.approx(objective, abs=1e-6)
    table = run.network.table.detach()
    np.testing.assert_allclose(table[1:].T.numpy(), oracle.coef_, atol=1e-4)
    assert not table[0].any()
    batch = run.test.batch(np.arange(len(run.test)))
    wrong = (run.network(batch, torch.float64).argmax(1) != batch.labels).double().mean()
    assert run.history[-1]["test_error_pct"] == pytest.approx(100 * float(wrong), abs=1e-3)


@pytest.mark.parametrize("settings", [{}, TFIDF])
def test_objective_and_gradient_are_autograds(settings: dict[str, Any]) -> None:
    network = network_of(settings).double()
    split = Split(texts(50, 3), CPU)
    weights = torch.randn(SYMBOLS + 1, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    descent = cg.Descent(Rows(split, network, torch.float64), CLASSES, L2, weights)
    x, y = (torch.from_numpy(part) for part in features(network, split))
    variable = weights.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ variable[1:] + variable[0], y)
    value = loss + L2 / 2 * (variable[1:] ** 2).sum()
    (gradient,) = torch.autograd.grad(value, variable)
    assert descent.loss == pytest.approx(loss.item(), abs=1e-12)
    assert descent.objective == pytest.approx(value.item(), abs=1e-12)
    torch.testing.assert_close(descent.gradient(), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, TFIDF])
def test_the_preconditioner_is_the_inverse_of_the_hessians_diagonal(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cg, "DAMPING", 1.0)
    network = network_of(settings).double()
    # Of a symbol that comes again in a text the diagonal has less than its square.
    whole = texts(50, 3)
    rows = [np.unique(whole.values[begin:end]) for begin, end in pairwise(whole.offsets)]
    split = Split(Ragged.from_rows(rows, whole.labels, "int32"), CPU)
    weights = torch.randn(SYMBOLS + 1, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    descent = cg.Descent(Rows(split, network, torch.float64), CLASSES, L2, weights.clone())
    x, y = (torch.from_numpy(part) for part in features(network, split))

    def objective(weights: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.cross_entropy(x @ weights[1:] + weights[0], y)
        return loss + L2 / 2 * (weights[1:] ** 2).sum()

    hessian = torch.autograd.functional.hessian(objective, weights).reshape(weights.numel(), -1)
    descent.iterate()
    expected = hessian.diagonal().reshape(weights.shape)
    torch.testing.assert_close(1 / descent.state[1]["inverse"], expected, rtol=1e-9, atol=1e-12)


def test_an_iteration_ends_where_the_objective_is_least_along_its_direction() -> None:
    network = network_of(TFIDF).double()
    rows = Rows(Split(texts(200, 1), CPU), network, torch.float64)
    descent = cg.Descent(rows, CLASSES, L2, torch.zeros(SYMBOLS + 1, CLASSES, dtype=torch.float64))
    for _ in range(8):
        before = descent.gradient().clone()
        descent.iterate()
        direction = descent.state[1]["direction"]
        slopes = [float((gradient * direction).sum()) for gradient in (before, descent.gradient())]
        assert slopes[0] < 0
        assert abs(slopes[1]) <= cg.ACCURACY * abs(slopes[0])
        assert descent.objectives[-1] < descent.objectives[-2]


@pytest.mark.parametrize(
    ("rows", "labels", "objective"),
    [
        # Nothing to learn from, and a label that the bias alone can learn by heart.
        ([np.empty(0, np.int32)] * 6, [0, 1, 2] * 2, np.log(3)),
        ([np.array([1, 2, 3], np.int32)] * 6, [1] * 6, 0.0),
        ([np.array([4], np.int32)], [2], 0.0),
    ],
)
def test_degenerate_rows_end(rows: list[np.ndarray], labels: list[int], objective: float, tmp_path: Path) -> None:
    run = make()
    run.train = Split(Ragged.from_rows(rows, np.array(labels, np.int32), "int32"), CPU)
    fit(run, tmp_path, "x")
    assert run.complete
    assert run.history[-1]["objective"] == pytest.approx(objective, abs=1e-6)


def state(run: Training) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in run.network.state_dict().values())


def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    found, threads = set(), torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            run = make(network_of(TFIDF), torch.float32, tolerance=1e-3)
            run.train = Split(texts(20_000, 4), CPU)
            fit(run, tmp_path / str(number), "x")
            found.add((state(run), str(run.history)))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


@pytest.mark.parametrize("cut", [1, 3, 4, 7])
def test_a_run_in_two_parts_is_the_run_in_one(cut: int, tmp_path: Path) -> None:
    whole, first, second = (make(dtype=torch.float32, tolerance=1e-4) for _ in range(3))
    fit(whole, tmp_path / "whole", "x")
    fit(first, tmp_path / "parts", "x", steps=cut)
    assert not first.complete
    fit(second, tmp_path / "parts", "x")
    assert second.complete
    assert (second.history, second.done, state(second)) == (whole.history, whole.done, state(whole))


def test_a_run_that_is_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, first, second = (make(dtype=torch.float32, tolerance=1e-4) for _ in range(3))
    fit(whole, tmp_path / "whole", "x")
    iterate = cg.Descent.iterate

    def interrupt(self: cg.Descent) -> None:
        if len(self.objectives) == 5:
            signal.raise_signal(signal.SIGINT)
        iterate(self)

    monkeypatch.setattr(cg.Descent, "iterate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path / "parts", "x")
    monkeypatch.undo()
    assert first.done == 5
    fit(second, tmp_path / "parts", "x")
    assert (second.history, second.done, state(second)) == (whole.history, whole.done, state(whole))


def test_rows_apart_are_rows(tmp_path: Path) -> None:
    """`crepe tune` trains on a part of the rows."""
    rows = np.arange(0, 200, 3)
    some, part = make(dtype=torch.float32), make(dtype=torch.float32)
    some.train = some.train.part(rows)
    whole = texts(200, 1)
    lists = [whole.values[whole.offsets[row] : whole.offsets[row + 1]] for row in rows]
    part.train = Split(Ragged.from_rows(lists, whole.labels[rows], "int32"), CPU)
    fit(some, tmp_path / "some", "x", steps=2)
    fit(part, tmp_path / "part", "x", steps=2)
    assert state(some) == state(part)


def test_history(tmp_path: Path) -> None:
    run = make(max_iterations=3)
    shown: list[int] = []
    fit(run, tmp_path, "x", show=shown.append)
    assert [line["iteration"] for line in run.history] == [1, 2, 3]
    assert shown == [0, 1, 2, 3]
    assert not run.complete
    assert run.history[-1]["batches"] == run.done == 3
    assert run.history[-1]["samples"] == 200 * run.done
    falling = [line["objective"] for line in run.history]
    assert falling == sorted(falling, reverse=True)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1


def test_a_tolerance_beyond_float32_ends(tmp_path: Path) -> None:
    run = make(dtype=torch.float32, tolerance=1e-30, max_iterations=1000)
    fit(run, tmp_path, "x")
    assert run.complete
    assert run.done < 200


def test_other_networks_and_precisions(tmp_path: Path) -> None:
    other = lstm.Settings(embedding_dim=2, hidden_size=2).build(Inputs(vocab_size=SYMBOLS, length=9, classes=CLASSES))
    with pytest.raises(CrepeError, match="t: cg trains linear networks only; take a recipe of kind sgd"):
        fit(make(other), tmp_path, "x")
    with pytest.raises(CrepeError, match="--precision bfloat16: cg computes in float32 or float64"):
        fit(make(dtype=torch.bfloat16), tmp_path, "x")
