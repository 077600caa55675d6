"""The networks of table 4. Each kind is a module here, named in the configuration by its `kind`.

Such a module has `build(network, inputs)`, which gives a module whose `forward(batch, dtype)` gives the scores of a
minibatch, float [rows, classes], and whose parameters `initialize` sets. If its first layer looks at characters, a
property `kernels`, as that of `ConvNet`, has it shown.
"""

from dataclasses import dataclass
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crepe.config.catalog import Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a network reads, and what it is to say."""

    symbols: int
    """Largest index in a text."""
    length: int | None
    """Columns that texts are cut to; None for features that have no such thing."""
    classes: int
    idf: Tensor | None = None
    """Inverse document frequencies, float [symbols], for models weighted by them."""


def build(network: Network, inputs: Inputs) -> nn.Module:
    """A network as its entry in the configuration asks for, its parameters not yet set.

    Raises:
        CrepeError: the entry and what is to be read do not go together.
    """
    module: nn.Module = import_module(f"{__name__}.{network.kind}").build(network, inputs)
    return module


def initialize(module: nn.Module, deviation: float, seed: int) -> None:
    """Draw every parameter, biases too, from N(0, deviation), as the original does; the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)


def embed(codes: Tensor, table: Tensor, dtype: torch.dtype) -> Tensor:
    """Vectors of symbols: rows of `table` [symbols + 1, size] by `codes`, zero for code 0: dtype [..., size]."""
    return F.embedding(codes, table).to(dtype) * (codes > 0).unsqueeze(-1)
