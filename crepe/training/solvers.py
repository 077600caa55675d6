"""Train a network by its recipe, with the code of the recipe's kind."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from crepe.training.loop import Training


def fit(
    training: Training,
    folder: Path,
    identity: str,
    steps: int | None = None,
    show: Callable[[int], None] = lambda _: None,
) -> None:
    """Train a network by its recipe, from its last checkpoint in `folder` if there is one.

    See `crepe.training.loop.fit` and `crepe.training.cg.fit`.
    """
    import_module(training.recipe.SOLVER).fit(training, folder, identity, steps, show)
