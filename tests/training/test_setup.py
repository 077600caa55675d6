"""The start of a training: initial parameters."""

import pytest
import torch

from crepe.models.linear.network import Linear
from crepe.training import setup
from tests.support.shards import Tiny


def test_parameters_are_a_function_of_the_seed(tiny: Tiny) -> None:
    def start(seed: int) -> torch.Tensor:
        made = setup.prepare(tiny.config, "tiny", "conv-small", seed, tiny.folder / "chars", torch.device("cpu"))
        return torch.cat([parameter.detach().flatten() for parameter in made.model.network.parameters()])

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))


def test_a_networks_own_initialisation_is_heeded(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def initialize(network: Linear, std: float, generator: torch.Generator) -> None:
        with torch.no_grad():
            network.table.fill_(2.5)
            network.bias.copy_(torch.randn(network.bias.shape, generator=generator))

    monkeypatch.setattr(Linear, "initialize", initialize)
    made = setup.prepare(tiny.config, "tiny", "bow", 3, tiny.folder / "words", torch.device("cpu"))
    assert (made.model.network.get_parameter("table") == 2.5).all()
    drawn = torch.randn(made.model.network.get_parameter("bias").shape, generator=torch.Generator().manual_seed(3))
    assert torch.equal(made.model.network.get_parameter("bias"), drawn)
