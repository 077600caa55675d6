"""Tensors and facts about them in one sealed file: safetensors with JSON in its metadata, and no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crepe.errors import CrepeError
from crepe.io.files import UNSEALED, check_seal, replacing, seal

# One key: safetensors writes several in an order of its own every time.
_KEY = "crepe"


def write(path: Path | str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, whole or not at all; the same ones with the same facts give the same bytes.

    Args:
        path: the file.
        about: what JSON can hold.
        tensors: by name, on any device.

    Raises:
        CrepeError: the file cannot be written.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(held, temporary, {_KEY: json.dumps({"seal": UNSEALED, **about})})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        seal(temporary)


def read(path: Path | str, again: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Facts and tensors, on the CPU, as `write` wrote them.

    Args:
        path: the file.
        again: what makes it again, for messages.

    Raises:
        CrepeError: the file is missing, unreadable, damaged or of another kind.
    """
    check_seal(path, again)
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()[_KEY])
            del about["seal"]
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CrepeError(f"{path}: is no file of tensors of this program ({error}); {again}") from error
