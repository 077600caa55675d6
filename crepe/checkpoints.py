"""Checkpoints: where a training run stands, whole on disk, the last two kept.

A file is safetensors with a JSON state in its metadata, a digest of its tensors, and the identity of the run, so
that damage and a changed configuration are both noticed.
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
    """Write checkpoint `number` (minibatches done) and drop all but the newest `KEPT`."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"identity": identity, "state": json.dumps(state), "digest": _digest(tensors)}
    with replacing(_path(folder, number)) as temporary:
        save_file(tensors, temporary, metadata)
    for old in _all(folder)[:-KEPT]:
        old.unlink()


def load(folder: Path, identity: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """State and tensors of the newest whole checkpoint of the run `identity`; None if there is none.

    Others are passed over with a warning.
    """
    for path in reversed(_all(folder)):
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["digest"] != _digest(tensors):
                raise ValueError("its digest differs")
            if metadata["identity"] == identity:
                return json.loads(metadata["state"]), tensors
            print(f"{path}: is of another configuration, data or version; not used", file=sys.stderr)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            print(f"{path}: is damaged ({error}); not used", file=sys.stderr)
    return None


def remove(folder: Path) -> None:
    """Remove all checkpoints: the run has ended."""
    for path in _all(folder):
        path.unlink()


def _path(folder: Path, number: int) -> Path:
    return folder / f"checkpoint-{number:010d}.safetensors"


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.safetensors"))


def _digest(tensors: dict[str, Tensor]) -> str:
    hasher = hashlib.sha256()
    for name in sorted(tensors):
        hasher.update(name.encode())
        hasher.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
