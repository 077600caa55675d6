"""Networks in the tests: their padded form on batches, as a yardstick."""

import torch
from torch import Tensor

from crepe.models.base import Network
from crepe.models.batch import Batch


def padded(network: Network, batch: Batch, dtype: torch.dtype) -> Tensor:
    """Logits of a batch by the network's padded form, dtype [rows, classes]: the yardstick of its `forward`."""
    return network.padded(batch.padded(), dtype)
