import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from crepe.evaluation.metrics import confusion, predict, wilson
from crepe.models.batch import Batch, Split
from crepe.ragged import Ragged


class FirstSymbol(nn.Module):
    """Scores a text by its first symbol, so that each row's outcome is known."""

    def forward(self, batch: Batch, dtype: torch.dtype) -> torch.Tensor:
        return F.one_hot(batch.take(torch.arange(len(batch)), torch.tensor(0)), 4).to(dtype)


def test_every_row_once_and_in_order() -> None:
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, 4, generator.integers(1, 9)) for _ in range(700)]
    labels = generator.integers(0, 4, 700).astype(np.int32)
    network = FirstSymbol().train()
    found = predict(network, Split(Ragged.from_rows(texts, labels), torch.device("cpu")), torch.float32)
    assert found.classes.tolist() == [text[0] for text in texts]
    right = found.classes == labels
    largest = np.e / (np.e + 3)
    np.testing.assert_allclose(found.probabilities.max(1), largest, rtol=1e-6)
    np.testing.assert_allclose(found.losses[right], -np.log(largest), rtol=1e-6)
    assert found.losses[~right].min() > found.losses[right].max()
    assert network.training


# Figures of the formula in Wilson (1927), worked out with an independent program (R's binom.wilson).
@pytest.mark.parametrize(
    ("errors", "rows", "low", "high"), [(0, 10, 0.0, 27.7533), (10, 10, 72.2467, 100.0), (5, 50, 4.3475, 21.3602)]
)
def test_wilson(errors: int, rows: int, low: float, high: float) -> None:
    assert wilson(errors, rows) == pytest.approx((low, high), abs=2e-3)


@given(st.integers(1, 5000), st.data())
def test_wilson_holds_the_rate(rows: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, rows))
    low, high = wilson(errors, rows)
    assert 0 <= low <= 100 * errors / rows + 1e-9
    assert 100 * errors / rows - 1e-9 <= high <= 100


def test_confusion_counts_true_classes_by_rows() -> None:
    found = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
