"""Training recipes: what a study's configuration says under `training`."""

from dataclasses import dataclass

from crepe.io.section import Section, positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe(Section):
    """Hyper-parameters of a training (paper, section 2.2; the original's train.lua)."""

    epochs: int
    """Number of epochs."""
    batch_size: int
    """Samples in a batch. For each, a class is drawn uniformly, then one of its rows."""
    learning_rate: float
    """Learning rate of the first epoch."""
    halve_every: int
    """Halve the learning rate after every this many epochs."""
    max_halvings: int
    """Halve the learning rate at most this many times."""
    momentum: float
    """Share of the last step that goes into the next: 0 or more, below 1."""
    weight_decay: float
    """Weight decay, decoupled from gradient and momentum: `p = p * (1 - learning_rate * weight_decay) + m`."""
    batches_per_epoch: int | None = None
    """Batches in an epoch; None takes the dataset's own number."""
    max_grad_norm: float | None = None
    """Clip the gradient norm to this; None does not clip."""

    def __post_init__(self) -> None:
        positive(self, "epochs", "batch_size", "learning_rate", "halve_every")
        if self.batches_per_epoch is not None:
            positive(self, "batches_per_epoch")
        if self.max_grad_norm is not None:
            positive(self, "max_grad_norm")
        if self.max_halvings < 0 or self.weight_decay < 0:
            raise ValueError("max_halvings and weight_decay must be 0 or more")
        if not 0 <= self.momentum < 1:
            raise ValueError("momentum must be 0 or more and below 1")

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate in `epoch`, counted from 0."""
        return float(self.learning_rate * 0.5 ** min(epoch // self.halve_every, self.max_halvings))
