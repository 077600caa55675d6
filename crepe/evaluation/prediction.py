"""Predict every row of a split with a network."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from crepe.models.batch import Split


def rows_at_once(device: torch.device) -> int:
    """Rows of a batch when testing: as many as keep the device busy."""
    return 1024 if device.type == "cuda" else 256


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of a network for each row of a split, in the split's order."""

    probabilities: np.ndarray
    """float32 [rows, classes]."""
    losses: np.ndarray
    """float64 [rows]: -log p of the label."""

    @property
    def classes(self) -> np.ndarray:
        """int64 [rows], the likeliest class of each row (the first of equals)."""
        return np.asarray(self.probabilities.argmax(1))


@torch.inference_mode()
def predict(network: nn.Module, split: Split, dtype: torch.dtype) -> Predictions:
    """Predict every row of `split` with `network`, dropout off; the network's mode is left as it was."""
    training = network.training
    network.eval()
    probabilities, losses, rows = [], [], []
    for indices, batch in split.by_length(rows_at_once(split.device)):
        logits = network(batch, dtype)
        log = F.log_softmax(logits.double(), dim=1)
        rows.append(indices)
        probabilities.append(log.exp().float())
        losses.append(F.nll_loss(log, batch.labels, reduction="none"))
    network.train(training)
    back = np.argsort(np.concatenate(rows))
    return Predictions(torch.cat(probabilities).cpu().numpy()[back], torch.cat(losses).cpu().numpy()[back])
