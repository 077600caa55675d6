"""A training that is stopped as a killed process is, and goes on from its checkpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crepe.training import checkpoints
from crepe.training.loop import Training, fit


class CutError(Exception):
    """Ends a training right after a checkpoint."""


def assert_a_cut_changes_nothing(
    make: Callable[[], Training], folder: Path, cut: int, change: Callable[[Training], object] = lambda _: None
) -> None:
    """Compare a training that runs through with one that ends after `cut` batches and starts again.

    Args:
        make: makes the training.
        folder: folder for checkpoints.
        cut: batches before the checkpoint that is the last act of the first part.
        change: is called with the second part before it starts.
    """
    whole, second = make(), make()
    fit(whole, folder / "whole", "x")
    save = checkpoints.save

    def stop_after_saving(folder: Path, number: int, *rest: object) -> None:
        save(folder, number, *rest)  # type: ignore[arg-type]
        if number == cut:
            raise CutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save", stop_after_saving)
        with pytest.raises(CutError):
            fit(make(), folder / "parts", "x", steps=cut)
    change(second)
    fit(second, folder / "parts", "x")
    for one, other in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole.history == second.history
