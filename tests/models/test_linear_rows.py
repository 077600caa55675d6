"""The sparse matrix of a split: its products are those of the matrix that the network's own logits tell."""

from typing import Any

import numpy as np
import pytest
import torch

from crepe.models import linear
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.models.linear import rows
from crepe.models.linear.network import Linear
from crepe.ragged import Ragged

CPU = torch.device("cpu")
SYMBOLS, CLASSES, TEXTS = 40, 3, 50
SETTINGS: list[dict[str, Any]] = [{}, {"weighting": "tfidf"}, {"weighting": "tfidf", "normalize": "max-text"}]


def network_of(settings: dict[str, Any]) -> Linear:
    idf = torch.linspace(0.1, 3.0, SYMBOLS)
    kind = linear.Settings(**settings)
    network = kind.build(Inputs(vocab_size=SYMBOLS, length=None, classes=CLASSES, idf=idf if kind.needs_idf else None))
    initialize(network, 0.0, 0)
    assert isinstance(network, Linear)
    return network.double()


def split_of(seed: int = 0) -> Split:
    """Texts with repetitions and unknown symbols (0); the first is empty."""
    generator = np.random.default_rng(seed)
    sizes = [0, *generator.integers(1, 30, TEXTS - 1)]
    found = [generator.integers(0, SYMBOLS + 1, size) for size in sizes]
    return Split(Ragged.from_rows(found, generator.integers(CLASSES, size=TEXTS).astype(np.int32), "int32"), CPU)


def dense(network: Linear, split: Split) -> torch.Tensor:
    """The matrix [texts, symbols + 1] behind the network's logits; the bias is column 0."""
    found = torch.ones(len(split), SYMBOLS + 1, dtype=torch.float64)
    with torch.no_grad():
        network.bias.zero_()
        for symbol in range(1, SYMBOLS + 1):
            network.table.zero_()
            network.table[symbol] = 1
            for row in range(len(split)):
                found[row, symbol] = network(split.batch(np.array([row])), torch.float64)[0, 0]
    return found


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("block", [rows.BLOCK, 100])
def test_products_are_those_of_the_networks_matrix(
    settings: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK", block)
    network, split = network_of(settings), split_of()
    matrix = dense(network, split)
    sparse = rows.Rows(split, network, torch.float64)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(SYMBOLS + 1, CLASSES, generator=generator, dtype=torch.float64)
    values = torch.randn(TEXTS, CLASSES, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(sparse.times(weights), matrix @ weights)
    torch.testing.assert_close(sparse.transposed_times(values), matrix.T @ values)
    out = torch.full_like(weights, torch.nan)
    assert sparse.transposed_times(values, out=out) is out
    torch.testing.assert_close(out, matrix.T @ values)
    assert (len(sparse), sparse.labels.tolist()) == (TEXTS, split.labels.tolist())


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_symbol_that_comes_n_times_has_n_squares(settings: dict[str, Any]) -> None:
    network, split = network_of(settings), split_of(1)
    matrix = dense(network, split)
    counts = np.zeros((TEXTS, SYMBOLS + 1))
    codes, offsets = split.slice(0, TEXTS)
    np.add.at(counts, (np.repeat(np.arange(TEXTS), np.diff(offsets)), codes), 1)
    counts[:, 0] = 1
    values = torch.rand(TEXTS, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    squares = torch.where(matrix > 0, matrix**2 / torch.from_numpy(counts).clamp(min=1), 0)
    found = rows.Rows(split, network, torch.float64).transposed_times(values, squared=True)
    torch.testing.assert_close(found, squares.T @ values)


def test_the_number_of_threads_changes_no_byte() -> None:
    found, threads = set(), torch.get_num_threads()
    a, b = (torch.randn(50_001, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.add((rows.dot(a, b), rows.total(a[:, 0]), rows.sums(a).numpy().tobytes()))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1
    assert found.pop()[0] == pytest.approx(float((a.double() * b.double()).sum()), abs=1e-2)
