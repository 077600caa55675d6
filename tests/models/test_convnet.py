"""The ragged ConvNet against the plain one."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe.errors import CrepeError
from crepe.models import batch as batches
from crepe.models import device
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Batch, Split
from crepe.models.convnet import Settings
from crepe.models.convnet.network import ConvNet, drop
from crepe.models.packed import convolution, plan
from crepe.ragged import Ragged
from tests.support.networks import padded

SHAPES = pytest.mark.parametrize("static", [False, True], ids=["shapes by the texts", "static shapes"])

PAPER = ((7, 3), (7, 3), (3, 1), (3, 1), (3, 1), (3, 3))


@contextmanager
def as_on(static: bool) -> Iterator[None]:
    """The CPU computes as a GPU does, in static shapes, or as itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "STATIC", ["cpu"] if static else [])
        yield


def make(convolutions=PAPER, length=1014, dropout=0.0, std=0.2, embedding_dim=0) -> ConvNet:
    hyperparameters = Settings(
        convolutions=convolutions, channels=4, embedding_dim=embedding_dim, fc=(10, 7), dropout=dropout
    )
    module = hyperparameters.build(Inputs(vocab_size=9, length=length, classes=3))
    initialize(module, std, seed=1)
    return module


def batch_of(lengths: list[int], seed: int = 0):
    generator = np.random.default_rng(seed)
    texts = [generator.integers(0, 10, length) for length in lengths]
    return Split(
        Ragged.from_rows(texts, generator.integers(0, 3, len(texts)).astype(np.int32)), torch.device("cpu")
    ).batch(np.arange(len(texts)))


def outcome(forward, network: ConvNet, batch, dtype: torch.dtype) -> list[torch.Tensor]:
    """Scores and the gradient of every parameter."""
    network.zero_grad()
    torch.manual_seed(3)
    scores = forward(network, batch, dtype)
    F.cross_entropy(scores, batch.labels).backward()
    return [scores.detach(), *(parameter.grad.to_dense() for parameter in network.parameters())]


def compare(network: ConvNet, batch) -> None:
    """Both ways agree in double precision to 1e-10 of the largest value of each tensor."""
    ours, plain = (outcome(forward, network, batch, torch.float64) for forward in (ConvNet.forward, padded))
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max()


@SHAPES
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 2000), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
    layers=st.sampled_from([PAPER, ((3, 1),), ((1, 1), (5, 4)), ((7, 3), (2, 1), (3, 2))]),
    embedding_dim=st.sampled_from([0, 6]),
)
def test_exact_in_double_precision(static: bool, lengths: list[int], seed: int, layers, embedding_dim: int) -> None:
    with as_on(static):
        compare(make(layers, embedding_dim=embedding_dim).double(), batch_of(lengths, seed))


@SHAPES
@pytest.mark.parametrize("lengths", [[0], [1], [1013], [1014], [1500], [0, 0, 0], [0, 1, 26, 27, 28, 1013, 1014, 1015]])
def test_exact_at_the_edges(static: bool, lengths: list[int]) -> None:
    with as_on(static):
        compare(make().double(), batch_of(lengths))


@pytest.mark.parametrize("embedding_dim", [0, 6])
@pytest.mark.parametrize("number", [2, 3])
def test_exact_with_the_texts_divided_among_threads(number: int, embedding_dim: int, monkeypatch) -> None:
    parts = []
    split = Batch.split
    monkeypatch.setattr(batches, "LEAST_CODES", 0)
    monkeypatch.setattr(Batch, "split", lambda batch, number: parts.append(split(batch, number)) or parts[-1])
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        compare(make(embedding_dim=embedding_dim, dropout=0.3).double(), batch_of([0, 3, 90, 200, 230, 250, 300, 1014]))
    finally:
        torch.set_num_threads(threads)
    assert [len(each) for each in parts] == [number]


def test_a_number_of_threads_gives_the_same_bytes_again(monkeypatch) -> None:
    monkeypatch.setattr(batches, "LEAST_CODES", 0)
    network, batch, threads = make(), batch_of(list(range(0, 1000, 31))), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = [outcome(ConvNet.forward, network, batch, torch.bfloat16) for _ in range(4)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("by_positions", [False, True])
def test_exact_by_either_way_to_convolve(by_positions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "BY_POSITIONS", by_positions)
    compare(make().double(), batch_of([0, 3, 200, 1014]))
    compare(make(((5, 2), (4, 3), (2, 2)), embedding_dim=6).double(), batch_of([0, 3, 200, 1014]))


def test_exact_with_totals_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plan.QUANTUM, "cpu", 512)
    compare(make().double(), batch_of([3, 200, 1014]))


@SHAPES
def test_single_precision_is_as_near_the_truth_as_the_plain_network(static: bool) -> None:
    turned = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        batch = batch_of(list(generator.integers(0, 1100, generator.integers(1, 40))), seed)
        network = make(std=0.1)
        truth = outcome(padded, make(std=0.1).double(), batch, torch.float64)
        with as_on(static):
            ours, plain = (outcome(forward, network, batch, torch.float32) for forward in (ConvNet.forward, padded))
        errors = [
            [((found - exact).abs().max() / exact.abs().max()).item() for exact, found in zip(truth, way, strict=True)]
            for way in (ours, plain)
        ]
        assert errors[0][0] < 1e-5
        # Where gradients of a thousand columns cancel, the plain network's rounding is larger than 1e-5 itself. And
        # where two columns are equal but for rounding, it may be the other one that is the maximum.
        turned += any(our > max(1e-5, 2 * its) for our, its in zip(*errors, strict=True))
        assert max(errors[0]) < 1e-3
    assert turned <= 4


def test_dropout_is_the_same_function() -> None:
    network = make(dropout=0.5).double().train()
    compare(network, batch_of([3, 200, 500]))
    torch.manual_seed(0)
    first = network(batch_of([3, 200, 500]), torch.float64)
    second = network(batch_of([3, 200, 500]), torch.float64)
    assert not torch.equal(first, second)


@SHAPES
def test_bfloat16_is_near_and_its_gradients_are_float32(static: bool) -> None:
    network = make()
    batch = batch_of([0, 20, 300, 1014])
    with as_on(static):
        rough, exact = network(batch, torch.bfloat16), network(batch, torch.float32)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
    F.cross_entropy(rough.float(), batch.labels).backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


def test_a_short_training_follows_the_same_curve() -> None:
    curves = []
    for forward in (ConvNet.forward, padded):
        network = make(std=0.1)
        curve = []
        for step in range(50):
            batch = batch_of([10 * step, 100, 400, 1014], seed=step)
            loss = F.cross_entropy(forward(network, batch, torch.float32), batch.labels)
            curve.append(loss.item())
            loss.backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.sub_(0.05 * parameter.grad)
                    parameter.grad = None
        curves.append(curve)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    assert curves[0][0] != curves[0][-1]


def test_too_short_a_length_is_refused() -> None:
    with pytest.raises(CrepeError, match="leave no column of a text of 100"):
        make(length=100)


def test_a_feature_of_any_length_is_refused() -> None:
    with pytest.raises(CrepeError, match="a ConvNet needs a feature with a max_length"):
        Settings(convolutions=PAPER, channels=4).build(Inputs(vocab_size=9, length=None, classes=3))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_dropout_leaves_the_mean_and_the_gradient_of_what_is_left(share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(100_000, dtype=torch.float64, requires_grad=True)
    y = drop(x, share)
    kept = y != 0
    assert float(kept.double().mean()) == pytest.approx(1 - share, abs=0.01)
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - share)))
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach(), rtol=1e-6, atol=0)
