"""Checkpoints: where a training run stands, whole on disk, the last two kept.

A file has the identity of the run, and its own checksum (`crepe.io.tensors`), so that a changed configuration and
damage are both noticed.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from crepe.errors import CrepeError
from crepe.io import tensors

KEPT = 2


def save(folder: Path, number: int, identity: str, state: dict[str, Any], held: Mapping[str, Tensor]) -> None:
    """Write checkpoint `number` (batches done) and drop all others but the `KEPT` - 1 before it.

    Those of higher numbers are what `load` passed over: without them gone, they would pass for the newest.
    """
    path = _path(folder, number)
    tensors.write(path, {"identity": identity, "state": state}, held)
    others = _all(folder)
    place = others.index(path)
    for other in others[: max(0, place + 1 - KEPT)] + others[place + 1 :]:
        other.unlink(missing_ok=True)


def load(folder: Path, identity: str, like: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """State and tensors of the newest whole checkpoint of the run `identity`; None if there is none.

    Others, and those whose tensors have other names and shapes than `like`, are passed over with a warning.
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
        _warn(f"{folder}: none of its checkpoints can be used; the run starts from the beginning")
    return None


def remove(folder: Path) -> None:
    """Remove all checkpoints: the run has ended."""
    for path in _all(folder):
        path.unlink(missing_ok=True)


def _path(folder: Path, number: int) -> Path:
    return folder / f"checkpoint-{number:010d}.safetensors"


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.safetensors"))


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
