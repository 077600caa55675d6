"""Checkpoints: where a training run stands, whole on disk, the last two kept.

A file is safetensors with a JSON state and the identity of the run in its metadata, and a digest of all of that and the
tensors, so that damage and a changed configuration are both noticed.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crepe.files import replacing

KEPT = 2


def save(folder: Path, number: int, identity: str, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write checkpoint `number` (minibatches done) and drop all others but the `KEPT` - 1 before it.

    Those of higher numbers are what `load` passed over: without them gone, they would pass for the newest.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(state)
    metadata = {"identity": identity, "state": text, "digest": _digest(identity, text, tensors)}
    path = _path(folder, number)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)
    others = _all(folder)
    place = others.index(path)
    for other in others[: max(0, place + 1 - KEPT)] + others[place + 1 :]:
        other.unlink(missing_ok=True)


def load(folder: Path, identity: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """State and tensors of the newest whole checkpoint of the run `identity`; None if there is none.

    Others are passed over with a warning.
    """
    found = _all(folder)
    for path in reversed(found):
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["digest"] != _digest(metadata["identity"], metadata["state"], tensors):
                raise ValueError("its digest differs")
            if metadata["identity"] == identity:
                return json.loads(metadata["state"]), tensors
            _warn(f"{path}: is of another configuration, data or version; not used")
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            _warn(f"{path}: is damaged ({error}); not used")
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


def _digest(identity: str, state: str, tensors: dict[str, Tensor]) -> str:
    parts = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in sorted(tensors.items())]
    hasher = hashlib.sha256(json.dumps([identity, state, parts]).encode())
    for name, _, _ in parts:
        hasher.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
