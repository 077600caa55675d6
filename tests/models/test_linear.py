import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crepe.errors import CrepeError
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.models.linear import Settings
from crepe.ragged import Ragged

SYMBOLS, CLASSES = 6, 3
TEXTS = st.lists(st.lists(st.integers(0, SYMBOLS), max_size=9), min_size=1, max_size=8)


def batch_of(texts: list[list[int]]):
    split = Split(Ragged.from_rows([np.array(text, np.int32) for text in texts], dtype="int32"), torch.device("cpu"))
    return split.batch(np.arange(len(texts)))


def counts(texts: list[list[int]]) -> np.ndarray:
    """float64 [rows, symbols], rows sorted by length as a batch is."""
    ordered = sorted(texts, key=len)
    return np.array([[text.count(symbol) for symbol in range(1, SYMBOLS + 1)] for text in ordered], np.float64)


@given(TEXTS)
def test_counts(texts: list[list[int]]) -> None:
    network = Settings().build(Inputs(vocab_size=SYMBOLS, length=None, classes=CLASSES)).double()
    initialize(network, 1.0, 0)
    table, bias = network.get_parameter("table").detach().numpy()[1:], network.get_parameter("bias").detach().numpy()
    scores = network(batch_of(texts), torch.float64).detach().numpy()
    np.testing.assert_allclose(scores, counts(texts) @ table + bias, rtol=1e-9, atol=1e-12)


@given(TEXTS)
def test_tfidf_has_length_one(texts: list[list[int]]) -> None:
    idf = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0, 0.1])
    network = Settings(weighting="tfidf").build(Inputs(vocab_size=SYMBOLS, length=None, classes=CLASSES, idf=idf))
    initialize(network, 1.0, 0)
    features = counts(texts) * idf.numpy()
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    features = np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
    table, bias = network.get_parameter("table").detach().numpy()[1:], network.get_parameter("bias").detach().numpy()
    scores = network(batch_of(texts), torch.float32).detach().numpy()
    np.testing.assert_allclose(scores, features @ table + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighting", ["counts", "tfidf"])
@pytest.mark.parametrize("normalize", ["none", "l2", "max-text", "max-feature", "max-matrix"])
@given(texts=TEXTS)
def test_normalization(texts: list[list[int]], weighting: str, normalize: str) -> None:
    idf = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0, 0.1])
    features = counts(texts) * (idf.numpy() if weighting == "tfidf" else 1)
    settings = Settings(weighting=weighting, normalize=normalize)
    # Of the train rows, which are these.
    largest = torch.from_numpy(counts(texts).max(0)).float()
    weights = settings.symbol_weights(
        idf if settings.needs_document_frequencies else None, largest if settings.needs_largest_counts else None
    )
    network = settings.build(Inputs(vocab_size=SYMBOLS, length=None, classes=CLASSES, idf=weights))
    initialize(network, 1.0, 0)
    divisors = {
        "none": np.ones(1),
        "l2": np.linalg.norm(features, axis=1, keepdims=True),
        "max-text": features.max(1, keepdims=True),
        "max-feature": features.max(0, keepdims=True),
        "max-matrix": features.max(keepdims=True),
    }
    divisor = np.broadcast_to(divisors[normalize], features.shape)
    expected = np.divide(features, divisor, out=np.zeros_like(features), where=divisor > 0)
    table, bias = network.get_parameter("table").detach().numpy()[1:], network.get_parameter("bias").detach().numpy()
    batch = batch_of(texts)
    logits = network(batch, torch.float32).detach().numpy()
    np.testing.assert_allclose(logits, expected @ table + bias, rtol=1e-4, atol=1e-5)
    padded = network.padded(batch.padded(), torch.float32).detach().numpy()
    np.testing.assert_allclose(padded, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("init_std", [0.0, 0.05])
def test_start_parameters(init_std: float) -> None:
    network = Settings().build(Inputs(vocab_size=50_000, length=None, classes=4))
    initialize(network, init_std, 0)
    values = torch.cat([parameter.flatten() for parameter in network.parameters()])
    assert math.isclose(values.std().item(), init_std, rel_tol=0.01)
    again = Settings().build(Inputs(vocab_size=50_000, length=None, classes=4))
    initialize(again, init_std, 0)
    assert torch.equal(network.get_parameter("table"), again.get_parameter("table"))


def test_tfidf_needs_inverse_document_frequencies() -> None:
    with pytest.raises(CrepeError, match="`weighting` is tfidf, and there are no inverse document frequencies"):
        Settings(weighting="tfidf").build(Inputs(vocab_size=SYMBOLS, length=None, classes=CLASSES))
