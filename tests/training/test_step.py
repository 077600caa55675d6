"""A step of training, and that playing it again is taking it."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from crepe.data.shards import Manifest, read
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.models.convnet.network import ConvNet
from crepe.training.optimizer import SGDW
from crepe.training.sampler import Sampler
from crepe.training.step import Replayed, Step, step_of
from tests.support.shards import Tiny, sgd


def make(tiny: Tiny, device: str, max_grad_norm: float | None = None) -> tuple[ConvNet, Split, Sampler, Step]:
    spec = tiny.config.model("conv-small")
    settings, recipe = spec.network, spec.recipe
    folder = tiny.folder / spec.model.feature
    network = settings.build(
        Inputs(vocab_size=Manifest.read(folder).symbols, length=spec.feature.max_length, classes=2)
    )
    assert isinstance(network, ConvNet)
    initialize(network, settings.init_std, 0)
    network.to(device)
    train = Split(read(folder, "train"), torch.device(device))
    tally = torch.zeros(2, dtype=torch.float64, device=device)
    optimizer = SGDW(network.parameters(), 0.1, sgd(recipe).momentum, sgd(recipe).weight_decay)
    return (
        network,
        train,
        Sampler(train.labels, 2, 16, 0),
        Step(partial(network, dtype=torch.float32), optimizer, tally, max_grad_norm),
    )


def test_a_step_counts_losses_and_errors_and_updates_along_the_gradient(tiny: Tiny) -> None:
    network, train, sampler, step = make(tiny, "cpu")
    network.dropout = 0.0
    batch = train.drawn(sampler.rows(0), 0, 0)
    logits = network(batch, torch.float32)
    loss = F.cross_entropy(logits, batch.labels)
    bias = list(network.parameters())[-1]
    (gradient,) = torch.autograd.grad(loss, bias)
    expected = bias.detach() * (1 - 0.1 * 1e-5) - 0.1 * gradient
    step(batch)
    torch.testing.assert_close(bias.detach(), expected)
    errors = float((logits.argmax(1) != batch.labels).sum())
    torch.testing.assert_close(step.tally, torch.tensor([loss.item() * 16, errors], dtype=torch.float64))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_gradients_are_clipped(tiny: Tiny) -> None:
    network, train, sampler, step = make(tiny, "cpu", max_grad_norm=1e-8)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step.optimizer.param_groups[0]["lr"] = 1.0
    step(train.drawn(sampler.rows(0), 0, 0))
    decay = 1 - 1e-5
    for parameter, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old * decay, rtol=0, atol=1e-7)


def test_on_a_cpu_steps_are_taken_one_by_one(tiny: Tiny) -> None:
    network, _, _, step = make(tiny, "cpu")
    assert step_of(step, network) is step


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_steps_played_again_give_the_bits_of_steps_taken(tiny: Tiny) -> None:
    outcomes = []
    for replaying in (False, True):
        network, train, sampler, step = make(tiny, "cuda")
        work = step_of(step, network) if replaying else step
        assert isinstance(work, Replayed) == replaying
        for number in range(12):
            torch.manual_seed(number)
            step.optimizer.param_groups[0]["lr"] = 0.1 if number < 6 else 0.05
            work(train.drawn(sampler.rows(number), 0, number))
        outcomes.append([step.tally, *(parameter.detach() for parameter in network.parameters())])
    assert all(map(torch.equal, *outcomes))
