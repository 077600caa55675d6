"""Hyper-parameters of the paper's ConvNets; the network is in `crepe.models.convnet.network`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crepe.io.section import NonNegativeInt, PositiveInt, Probability
from crepe.models import NetworkSettings

if TYPE_CHECKING:
    from crepe.models.base import Inputs
    from crepe.models.convnet.network import ConvNet


@dataclass(frozen=True, kw_only=True)
class Settings(NetworkSettings):
    """Hyper-parameters of a ConvNet (paper, tables 1 and 2)."""

    convolutions: tuple[tuple[PositiveInt, PositiveInt], ...]
    """[kernel width, pool width] of each convolution."""
    channels: PositiveInt
    """Number of outputs of each convolution, the paper's feature size."""
    embedding_dim: NonNegativeInt = 0
    """Dimension of the learnt vector of each symbol; 0 reads one-hot columns."""
    fc: tuple[PositiveInt, ...] = ()
    """Number of units of each fully connected layer before the last."""
    dropout: Probability = 0.0
    """Probability that dropout, after each of these layers, zeroes a unit."""

    def __post_init__(self) -> None:
        if not self.convolutions:
            raise ValueError("convolutions must have one [kernel width, pool width] or more")

    def build(self, inputs: "Inputs") -> "ConvNet":
        """Make the network.

        Raises:
            CrepeError: the feature has no `max_length`, or the layers leave nothing of it.
        """
        from crepe.models.convnet.network import ConvNet

        return ConvNet(self, inputs)
