"""The packed LSTM against one that reads each text by itself."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe.config.catalog import Network
from crepe.errors import CrepeError
from crepe.models import build
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.ragged import Ragged

LENGTH = 9


def make(**changes):
    settings: dict[str, Any] = {"kind": "lstm", "embedding": 5, "features": 4, "deviation": 0.5}
    network = Network(**settings | changes)
    module = build(network, Inputs(symbols=7, length=LENGTH, classes=3))
    initialize(module, network.deviation, seed=1)
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


@pytest.mark.parametrize("inputs", [{"length": None}, {"length": 9, "idf": torch.ones(7)}])
def test_what_it_cannot_read_is_refused(inputs):
    with pytest.raises(CrepeError, match="an LSTM needs a feature with a length"):
        build(Network(kind="lstm", embedding=5, features=4), Inputs(symbols=7, classes=3, **inputs))


@pytest.mark.parametrize("settings", [{"embedding": 0}, {"features": 0}])
def test_sizes_are_needed(settings):
    with pytest.raises(CrepeError, match="an LSTM needs embedding and features"):
        make(**settings)
