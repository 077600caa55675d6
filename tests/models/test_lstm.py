"""The packed LSTM against one that reads each text by itself."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe.errors import CrepeError
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.models.lstm import Settings
from crepe.ragged import Ragged

LENGTH = 9


SETTINGS = Settings(embedding_dim=5, hidden_size=4)


def make():
    module = SETTINGS.build(Inputs(symbols=7, length=LENGTH, classes=3))
    initialize(module, 0.5, seed=1)
    return module.double()


def split_of(lengths, seed=0):
    generator = np.random.default_rng(seed)
    texts = [generator.integers(0, 8, length) for length in lengths]
    labels = generator.integers(0, 3, len(lengths)).astype(np.int32)
    return texts, Split(Ragged.from_rows(texts, labels, "int32"), torch.device("cpu"))


def one_by_one(module, texts):
    """Scores of each text, read alone by torch's own module."""
    scores = []
    for text in texts:
        codes = torch.from_numpy(text[:LENGTH] if len(text) else np.zeros(1, np.int64))
        vectors = torch.where(codes[:, None] > 0, module.embedding[codes], 0.0)
        outputs, _ = module.lstm(vectors[:, None])
        scores.append(module.connected(outputs[:, 0].mean(0)))
    return torch.stack(scores)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 14), min_size=1, max_size=9), st.integers(0, 99))
def test_each_text_is_read_as_if_alone(lengths, seed):
    module = make()
    texts, split = split_of(lengths, seed)
    batch = split.batch(np.arange(len(texts)))
    order = np.argsort(lengths, kind="stable")
    outcomes = []
    for scores in (module(batch, torch.float64), one_by_one(module, [texts[row] for row in order])):
        module.zero_grad()
        F.cross_entropy(scores, batch.labels).backward()
        outcomes.append([scores.detach(), *(parameter.grad for parameter in module.parameters())])
    for ours, plain in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)


def test_bfloat16_is_near():
    module = make().float()
    _, split = split_of([0, 3, 9, 12])
    batch = split.batch(np.arange(4))
    rough, exact = module(batch, torch.bfloat16), module(batch, torch.float32)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_feature_of_any_length_is_refused():
    with pytest.raises(CrepeError, match="an LSTM needs a feature with a max_length"):
        SETTINGS.build(Inputs(symbols=7, length=None, classes=3))
