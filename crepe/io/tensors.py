"""Read and write files of tensors with JSON metadata: safetensors, without pickle.

The metadata has the sha256 of itself and of the tensors' names, types, shapes and bytes, which is compared whenever a
file is read.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crepe.errors import CrepeError
from crepe.io.files import replacing

_KEY = "crepe"
"""The only key of the metadata: safetensors writes several in an order that differs from time to time."""


def write(path: Path | str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, whole or not at all; equal tensors with equal metadata give the same bytes.

    Args:
        path: the file.
        about: metadata that JSON can hold.
        tensors: tensors by name, on any device.

    Raises:
        CrepeError: the file cannot be written.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts = json.loads(json.dumps(about))
    with replacing(path) as temporary:
        try:
            save_file(held, temporary, {_KEY: json.dumps({"sha256": _digest(facts, held), **facts})})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read(path: Path | str, remedy: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the metadata and the tensors that `write` wrote, onto the CPU.

    Args:
        path: the file.
        remedy: for messages: how to make the file again.

    Raises:
        CrepeError: the file is missing, unreadable, damaged or of another kind.
    """
    if not Path(path).exists():
        raise CrepeError(path, "is missing", remedy)
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()[_KEY])
            sha256 = about.pop("sha256")
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CrepeError(path, f"is damaged, or no file of tensors of this version ({error})", remedy) from error
    if _digest(about, held) != sha256:
        raise CrepeError(path, "is damaged: its checksum does not fit its content", remedy)
    return about, held


def _digest(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    hasher = hashlib.sha256(json.dumps(about).encode())
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        hasher.update(tensor.flatten().view(torch.uint8).numpy().data)
    return hasher.hexdigest()
