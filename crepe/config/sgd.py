"""Recipe of stochastic gradient descent, for every kind of network."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

from crepe.config.recipe import Recipe
from crepe.io.section import Limits, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability

SAMPLING = ("classes", "rows")
"""Ways to draw the rows of a batch."""
Sampling = Annotated[str, Limits(choices=SAMPLING)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(Recipe):
    """Stochastic gradient descent with momentum (paper, section 2.2; the original's train.lua)."""

    SOLVER: ClassVar[str] = "crepe.training.loop"

    epochs: PositiveInt
    """Number of epochs."""
    batch_size: PositiveInt
    """Samples in a batch."""
    learning_rate: PositiveFloat
    """Learning rate of the first epoch."""
    halve_every: PositiveInt
    """Halve the learning rate after every this many epochs."""
    max_halvings: NonNegativeInt
    """Halve the learning rate at most this many times."""
    momentum: Probability
    """Share of the last step that goes into the next: 0 or more, below 1."""
    weight_decay: NonNegativeFloat
    """Weight decay, decoupled from gradient and momentum: `p = p * (1 - learning_rate * weight_decay) + m`."""
    batches_per_epoch: PositiveInt | None = None
    """Batches in an epoch. The dataset's own number if absent."""
    max_grad_norm: PositiveFloat | None = None
    """Clip the gradient norm to this. Not clipped if absent."""
    sampling: Sampling = "classes"
    """Draw of each sample, with replacement. `classes`, as the original program: a class uniformly, then one of its
    rows; rare classes are found more often, and probabilities are too high for them, as if all classes were equally
    frequent. `rows`: a train row uniformly; classes keep their shares, and probabilities go with them."""

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate in `epoch`, counted from 0."""
        return float(self.learning_rate * 0.5 ** min(epoch // self.halve_every, self.max_halvings))

    def for_dataset(self, batches_per_epoch: int) -> Self:
        """Return the recipe with the batches of an epoch filled in."""
        return replace(self, batches_per_epoch=self.batches_per_epoch or batches_per_epoch)

    def samples_in(self, batches: int, rows: int) -> int:
        """Number of texts in so many batches."""
        return batches * self.batch_size

    def schedule(self, batches_per_epoch: int) -> int:
        """Number of samples of all epochs."""
        return self.epochs * (self.batches_per_epoch or batches_per_epoch) * self.batch_size

    def work(self, batches_per_epoch: int, train_rows: int, test_rows: int) -> int:
        """Number of texts trained, and tested after each epoch."""
        return self.schedule(batches_per_epoch) + self.epochs * test_rows

    def progress(self, epochs: int, batches: int) -> str:
        """Say how many epochs and batches were trained."""
        return f"{epochs} of {self.epochs} epochs, {batches:,} batches of {self.batch_size}"
