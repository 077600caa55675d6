"""Write and read checkpoints of a training: its whole state in one file; the last two are kept.

A file has the training's identity and a checksum (`crepe.io.tensors`), so that a changed configuration and damage are
both noticed.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from crepe.errors import CrepeError
from crepe.io import tensors

KEPT = 2
"""Checkpoints kept: should the newest be damaged, there is one before it."""


def save(folder: Path, number: int, identity: str, state: dict[str, Any], held: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, whole or not at all, and remove all others but the `KEPT` - 1 before it.

    Those of higher numbers go, too: `load` has passed them over, and would take them for the newest.

    Args:
        folder: folder of the checkpoints.
        number: batches trained.
        identity: digest of all that the outcome of the training depends on.
        state: progress, as JSON can hold it.
        held: tensors by name.

    Raises:
        CrepeError: the file cannot be written.
    """
    path = _path(folder, number)
    tensors.write(path, {"identity": identity, "state": state}, held)
    others = _all(folder)
    place = others.index(path)
    for other in others[: max(0, place + 1 - KEPT)] + others[place + 1 :]:
        other.unlink(missing_ok=True)


def load(folder: Path, identity: str, like: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Read state and tensors of the newest checkpoint that can be used; None if there is none.

    Checkpoints that are damaged, of another identity, or whose tensors have other names or shapes than `like` are
    passed over with a warning.
    """
    found = _all(folder)
    shapes = {name: tensor.shape for name, tensor in like.items()}
    for path in reversed(found):
        try:
            about, held = tensors.read(path, "not used")
            if about.get("identity") == identity and {name: tensor.shape for name, tensor in held.items()} == shapes:
                return about["state"], held
            _warn(f"{path}: is of another configuration, data or version; not used")
        except CrepeError as error:
            _warn(str(error))
    if found:
        _warn(f"{folder}: none of its checkpoints can be used; the training starts from the beginning")
    return None


def remove(folder: Path) -> None:
    """Remove all checkpoints: the training is complete."""
    for path in _all(folder):
        path.unlink(missing_ok=True)


def _path(folder: Path, number: int) -> Path:
    return folder / f"checkpoint-{number:010d}.safetensors"


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.safetensors"))


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
