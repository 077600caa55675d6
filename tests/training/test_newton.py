"""Newton's method: the minimum that scikit-learn finds, the gradient that autograd finds, and the same bytes always."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from crepe.config.newton import Settings as Newton
from crepe.errors import CrepeError
from crepe.models import linear, lstm
from crepe.models.base import Inputs, Network, initialize
from crepe.models.batch import Split
from crepe.models.linear.network import Linear
from crepe.ragged import Ragged
from crepe.training import newton
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
        recipe=Newton(**{"l2": L2, "tolerance": 1e-7, **recipe}),
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
    run = make(network_of(settings).double())
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
@pytest.mark.parametrize("block", [2**25, 100])
def test_gradient_and_curvature_are_autograds(
    settings: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newton, "BLOCK", block)
    network = network_of(settings).double()
    split = Split(texts(50, 3), CPU)
    problem = newton.Problem(newton.Rows(split, network, torch.float64), CLASSES, L2)
    generator = torch.Generator().manual_seed(0)
    weights, direction = (torch.randn(SYMBOLS + 1, CLASSES, generator=generator, dtype=torch.float64) for _ in "ab")
    x, y = (torch.from_numpy(part) for part in features(network, split))

    def objective(weights: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.cross_entropy(x @ weights[1:] + weights[0], y)
        return loss + L2 / 2 * (weights[1:] ** 2).sum()

    point = problem.at(weights)
    variable = weights.clone().requires_grad_()
    value = objective(variable)
    (gradient,) = torch.autograd.grad(value, variable)
    assert point.objective == pytest.approx(value.item(), abs=1e-12)
    torch.testing.assert_close(point.gradient, gradient, rtol=1e-9, atol=1e-12)
    along = newton.Rows(split, network, torch.float64).times(direction)
    curved = problem.curvature(point.log_probabilities.exp(), along)
    curved[1:] += L2 * direction[1:]
    _, expected = torch.autograd.functional.hvp(objective, weights, direction)
    torch.testing.assert_close(curved, expected, rtol=1e-9, atol=1e-12)


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


@pytest.mark.parametrize("cut", [1, 2])
def test_a_run_in_two_parts_is_the_run_in_one(cut: int, tmp_path: Path) -> None:
    whole, first, second = (make(dtype=torch.float32, tolerance=1e-4) for _ in range(3))
    fit(whole, tmp_path / "whole", "x")
    fit(first, tmp_path / "parts", "x", steps=cut)
    assert not first.complete
    fit(second, tmp_path / "parts", "x")
    assert second.complete
    assert (second.history, second.done, state(second)) == (whole.history, whole.done, state(whole))


def test_an_iteration_that_is_broken_off_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, first, second = (make(dtype=torch.float32, tolerance=1e-4) for _ in range(3))
    fit(whole, tmp_path / "whole", "x")
    raised = []
    passes = newton.Problem.curvature

    def interrupt(self: newton.Problem, *arguments: torch.Tensor) -> torch.Tensor:
        raised.append(1)
        if len(raised) == 6:
            signal.raise_signal(signal.SIGINT)
        return passes(self, *arguments)

    monkeypatch.setattr(newton.Problem, "curvature", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path / "parts", "x")
    monkeypatch.undo()
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
    assert run.history[-1]["batches"] == run.done
    assert run.history[-1]["samples"] == 200 * run.done
    falling = [line["objective"] for line in run.history]
    assert falling == sorted(falling, reverse=True)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1


def test_a_tolerance_beyond_float32_ends_with_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = make(dtype=torch.float32, tolerance=1e-30)
    fit(run, tmp_path, "x")
    assert not run.complete
    assert "falls no further in this precision; raise `tolerance`" in capfd.readouterr().err


def test_other_networks_and_precisions(tmp_path: Path) -> None:
    other = lstm.Settings(embedding_dim=2, hidden_size=2).build(Inputs(vocab_size=SYMBOLS, length=9, classes=CLASSES))
    with pytest.raises(CrepeError, match="t: newton trains linear networks only; take a recipe of kind sgd"):
        fit(make(other), tmp_path, "x")
    with pytest.raises(CrepeError, match="--precision bfloat16: newton computes in float32 or float64"):
        fit(make(dtype=torch.bfloat16), tmp_path, "x")
