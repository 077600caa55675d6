"""Hyper-parameters of the paper's LSTM; the network is in `crepe.models.lstm.network`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crepe.io.section import PositiveInt
from crepe.models import NetworkSettings

if TYPE_CHECKING:
    from crepe.models.base import Inputs
    from crepe.models.lstm.network import LSTM


@dataclass(frozen=True, kw_only=True)
class Settings(NetworkSettings):
    """Hyper-parameters of an LSTM."""

    embedding_dim: PositiveInt
    """Dimension of the vector of each word."""
    hidden_size: PositiveInt
    """Number of outputs at each word, and size of the state."""

    def build(self, inputs: "Inputs") -> "LSTM":
        """Make the network.

        Raises:
            CrepeError: the feature has no `max_length`.
        """
        from crepe.models.lstm.network import LSTM

        return LSTM(self, inputs)
