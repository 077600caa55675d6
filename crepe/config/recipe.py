"""Training recipes: what a study's configuration says under `training`. A kind of recipe is a solver."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from crepe.io.section import Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe(Variant, ABC):
    """Base class of the settings of a solver."""

    KINDS: ClassVar[Mapping[str, str]] = {"sgd": "crepe.config.sgd", "cg": "crepe.config.cg"}
    DEFAULT: ClassVar[str | None] = "sgd"
    SOLVER: ClassVar[str]
    """Name of the module whose function `fit` follows the recipe."""

    def for_dataset(self, batches_per_epoch: int) -> Self:
        """Return the recipe with what it leaves to the dataset filled in.

        Args:
            batches_per_epoch: the dataset's.
        """
        return self

    @abstractmethod
    def samples_in(self, batches: int, rows: int) -> int:
        """Number of texts in so many batches of a train set with `rows` rows."""

    @abstractmethod
    def schedule(self, batches_per_epoch: int) -> int:
        """Number of samples that the recipe prescribes; 0 if it ends by another rule.

        Args:
            batches_per_epoch: the dataset's.
        """

    @abstractmethod
    def work(self, batches_per_epoch: int, train_rows: int, test_rows: int) -> int:
        """Estimate the number of texts that a training computes, tests included, for time limits."""

    @abstractmethod
    def progress(self, epochs: int, batches: int) -> str:
        """Say in a few words how far a training went.

        Args:
            epochs: epochs, or iterations.
            batches: batches.
        """
