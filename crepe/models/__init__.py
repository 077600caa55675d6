"""The networks of the paper's table 4: codes to logits.

A kind of network is one module here, named in `NetworkSettings.KINDS`, with two classes: `Settings`, the keys of
`catalog.networks` that it has, and the network itself, a `crepe.models.base.Network`. docs/extending.md has an example.

This module does not import torch, and neither do the kinds here: each is a package with its `Settings`, whose `build`
imports the network from the module `network` beside it. Importing torch takes a second, and most commands only read the
settings.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from crepe.io.section import NonNegativeFloat, Variant

if TYPE_CHECKING:
    from torch import Tensor

    from crepe.models.base import Inputs, Network


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Variant, ABC):
    """Hyper-parameters that every kind of network has; base class of the `Settings` of each kind."""

    KINDS: ClassVar[Mapping[str, str]] = {
        "convnet": "crepe.models.convnet",
        "linear": "crepe.models.linear",
        "lstm": "crepe.models.lstm",
    }

    init_std: NonNegativeFloat = 0.05
    """Standard deviation of the normal distribution that all parameters, biases too, are drawn from at the start."""

    @property
    def needs_idf(self) -> bool:
        """Whether `build` needs `Inputs.idf`."""
        return False

    @property
    def needs_document_frequencies(self) -> bool:
        """Whether `symbol_weights` needs inverse document frequencies."""
        return self.needs_idf

    @property
    def needs_largest_counts(self) -> bool:
        """Whether `symbol_weights` needs the largest count of each symbol."""
        return False

    def symbol_weights(self, idf: "Tensor | None", largest: "Tensor | None") -> "Tensor | None":
        """Compute `Inputs.idf`.

        Args:
            idf: float [symbols], inverse document frequencies; None unless the settings ask for them.
            largest: float [symbols], the largest count in a train row; None unless `needs_largest_counts`.
        """
        return idf

    @abstractmethod
    def build(self, inputs: "Inputs") -> "Network":
        """Make the network; `crepe.models.base.Network.initialize` sets its parameters afterwards.

        Raises:
            CrepeError: such a network cannot read these inputs.
        """
