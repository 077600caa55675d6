"""The networks of table 4. Each is a module whose `forward(batch, dtype)` gives the scores of a minibatch."""

import torch
from torch import Tensor, nn

from crepe.config import Network
from crepe.models.convnet import ConvNet
from crepe.models.linear import Linear


def build(network: Network, symbols: int, length: int | None, classes: int, idf: Tensor | None = None) -> nn.Module:
    """A network as its entry in the configuration asks for, its parameters not yet set.

    Args:
        network: the entry.
        symbols: largest index in a text.
        length: columns that texts are padded to; None for features that have no such thing.
        classes: outputs.
        idf: inverse document frequencies, float [symbols], for models weighted by them.
    """
    if network.kind == "convnet":
        assert length is not None, "a ConvNet's feature has a length"
        return ConvNet(network, symbols, length, classes)
    return Linear(symbols, classes, idf)


def initialize(module: nn.Module, deviation: float, seed: int) -> None:
    """Draw every parameter, biases too, from N(0, deviation), as the original does; the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
