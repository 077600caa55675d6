import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from crepe.evaluation.prediction import predict
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
