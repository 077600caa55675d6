"""Recipe of nonlinear conjugate gradients, for linear networks."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from crepe.config.recipe import Recipe
from crepe.io.section import Limits, PositiveFloat, PositiveInt

PASSES = 100
"""Passes over the train rows that a training takes, for time limits; most take fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(Recipe):
    """Nonlinear conjugate gradients, which need no learning rate and end at the minimum of a linear network's loss."""

    SOLVER: ClassVar[str] = "crepe.training.cg"

    l2: PositiveFloat
    """Penalty: the objective is the mean loss over the train rows + l2 / 2 * the sum of the squared weights; the biases
    are free."""
    tolerance: Annotated[float, Limits(above=0, below=1)] = 0.01
    """End when the objective has fallen by no more than this share of itself in the last three iterations. With hardly
    any penalty it can still be many times its minimum."""
    max_iterations: PositiveInt = 100
    """End after this many iterations, even if the objective still falls; the run then counts as incomplete."""

    def samples_in(self, batches: int, rows: int) -> int:
        """Number of texts in so many batches, each of which is the whole train set."""
        return batches * rows

    def schedule(self, batches_per_epoch: int) -> int:
        """0: the objective decides when a training ends."""
        return 0

    def work(self, batches_per_epoch: int, train_rows: int, test_rows: int) -> int:
        """Number of texts in `PASSES` passes."""
        return PASSES * train_rows

    def progress(self, epochs: int, batches: int) -> str:
        """Say how many iterations there were."""
        return f"{epochs} iterations of conjugate gradients, each a pass over the train rows"
