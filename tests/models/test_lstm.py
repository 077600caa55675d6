"""The LSTM, in all its forms, against one that reads each text by itself."""

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
from crepe.models.lstm.network import SEGMENTS
from crepe.models.lstm.recurrence import divide
from crepe.ragged import Ragged

LENGTH = 9


SETTINGS = Settings(embedding_dim=5, hidden_size=4)


def make():
    module = SETTINGS.build(Inputs(vocab_size=7, length=LENGTH, classes=3))
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


@pytest.mark.parametrize("packed", [False, True])
@settings(max_examples=25)
@given(st.lists(st.integers(0, 14), min_size=1, max_size=19), st.integers(0, 99))
def test_each_text_is_read_as_if_alone(packed, lengths, seed):
    module = make()
    texts, split = split_of(lengths, seed)
    batch = split.batch(np.arange(len(texts)))
    order = np.argsort(lengths, kind="stable")
    outcomes = []
    for scores in (module(batch, torch.float64, packed), one_by_one(module, [texts[row] for row in order])):
        module.zero_grad()
        F.cross_entropy(scores, batch.labels).backward()
        outcomes.append([scores.detach(), *gradients(module)])
    for ours, plain in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 14), min_size=1, max_size=19), st.integers(0, 99))
def test_texts_are_read_without_gradients_as_if_alone(lengths, seed):
    module = make()
    texts, split = split_of(lengths, seed)
    order = np.argsort(lengths, kind="stable")
    with torch.no_grad():
        scores = module(split.batch(np.arange(len(texts))), torch.float64)
        plain = one_by_one(module, [texts[row] for row in order])
    torch.testing.assert_close(scores, plain, rtol=1e-9, atol=1e-12)


def gradients(module):
    return [parameter.grad.to_dense() for parameter in module.parameters()]


def outcomes(module, batch, dtype, packed=None):
    """Loss and gradients."""
    module.zero_grad()
    loss = F.cross_entropy(module(batch, dtype, packed).float(), batch.labels)
    loss.backward()
    return loss.detach(), gradients(module)


@pytest.mark.parametrize(("dtype", "loss", "gradient"), [(torch.float32, 1e-6, 1e-5), (torch.bfloat16, 1e-2, 5e-2)])
def test_its_recurrence_trains_as_that_of_torch(dtype, loss, gradient):
    length = 90
    module = Settings(embedding_dim=20, hidden_size=24).build(Inputs(vocab_size=7, length=length, classes=3))
    initialize(module, 0.1, seed=2)
    generator = np.random.default_rng(3)
    _, split = split_of(np.clip(generator.lognormal(3.4, 0.5, 64).astype(int), 0, length + 9))
    batch = split.batch(np.arange(64))
    ours = outcomes(module, batch, dtype)
    packed = outcomes(module, batch, dtype, packed=True)
    assert abs(ours[0] - packed[0]) <= loss
    for one, other in zip(ours[1], packed[1], strict=True):
        assert (one - other).abs().max() <= gradient * other.abs().max()


@pytest.mark.parametrize("lengths", [[5] * 40, range(40), [0] * 12 + [9]])
def test_little_padding_is_computed(lengths, monkeypatch):
    steps = []
    lstm = torch.lstm
    monkeypatch.setattr(torch, "lstm", lambda x, *rest: steps.append(x.shape[:2]) or lstm(x, *rest))
    module = Settings(embedding_dim=5, hidden_size=4).build(Inputs(vocab_size=7, length=40, classes=3)).double()
    initialize(module, 0.5, seed=1)
    _, split = split_of(lengths)
    with torch.no_grad():
        module(split.batch(np.arange(len(lengths))), torch.float64)
    assert len(steps) <= SEGMENTS
    words = sum(max(length, 1) for length in lengths)
    assert sum(time * rows for time, rows in steps) <= 1.15 * words


@pytest.mark.parametrize("number", [1, 2])
def test_a_number_of_threads_gives_the_same_bytes_again(number):
    module = Settings(embedding_dim=30, hidden_size=32).build(Inputs(vocab_size=7, length=60, classes=3))
    initialize(module, 0.1, seed=2)
    _, split = split_of(np.random.default_rng(3).integers(0, 60, 64))
    batch, threads, found = split.batch(np.arange(64)), torch.get_num_threads(), []
    torch.set_num_threads(number)
    for _ in range(3):
        loss, found_gradients = outcomes(module, batch, torch.float32)
        found.append([loss, *(gradient.clone() for gradient in found_gradients)])
    torch.set_num_threads(threads)
    assert all(map(torch.equal, found[0], found[1]))
    assert all(map(torch.equal, found[0], found[2]))


@pytest.mark.parametrize("number", [1, 3, 20])
def test_any_number_of_threads_computes_the_same(number):
    module = make()
    _, split = split_of([0, 1, 1, 3, 4, 5, 9, 9, 12])
    batch, threads, found = split.batch(np.arange(9)), torch.get_num_threads(), []
    for each in (1, number):
        torch.set_num_threads(each)
        loss, found_gradients = outcomes(module, batch, torch.float64)
        found.append([loss, *(gradient.clone() for gradient in found_gradients)])
    torch.set_num_threads(threads)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=150), st.integers(1, 9))
def test_texts_are_divided_into_groups(lengths, number):
    sizes = divide(np.sort(lengths)[::-1], number)
    assert sum(sizes) == len(lengths)
    assert min(sizes) >= 1
    assert len(sizes) <= number


def test_the_groups_of_texts_take_about_the_same_time():
    lengths = np.sort(np.random.default_rng(4).lognormal(3.5, 0.4, 128).astype(int) + 1)[::-1]
    long, short = (int(part.sum()) for part in np.split(lengths, np.cumsum(divide(lengths, 2))[:1]))
    # The group with the longest text goes through more words, one by one, and so has fewer in all.
    assert 0.3 * short < long < short


def test_bfloat16_is_near():
    module = make().float()
    _, split = split_of([0, 3, 9, 12])
    batch = split.batch(np.arange(4))
    rough, exact = module(batch, torch.bfloat16), module(batch, torch.float32)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_a_feature_of_any_length_is_refused():
    with pytest.raises(CrepeError, match="an LSTM needs a feature with a max_length"):
        SETTINGS.build(Inputs(vocab_size=7, length=None, classes=3))
