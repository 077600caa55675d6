"""A trained model as one file: safetensors whose metadata say all that is needed to use it, and no pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from crepe.config import Feature, Network
from crepe.errors import CrepeError
from crepe.files import replacing
from crepe.models import Inputs, build

FILE = "model.safetensors"
_KEY = "crepe"
_VOCABULARY = "vocabulary"


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A network and what it speaks of."""

    network: nn.Module
    feature: Feature
    settings: Network
    symbols: int
    """Largest index in a text."""
    classes: list[str]
    vocabulary: list[str] | None = None
    """What the indices mean, line i being of index i + 1; None for characters."""


def save(path: Path | str, model: Saved) -> None:
    """Write a model, whole or not at all; the same model gives the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}
    if model.vocabulary is not None:
        tensors[_VOCABULARY] = torch.from_numpy(np.frombuffer("\n".join(model.vocabulary).encode(), np.uint8).copy())
    metadata = {
        "feature": model.feature.as_dict(),
        "network": model.settings.as_dict(),
        "symbols": model.symbols,
        "classes": model.classes,
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(metadata)})


def load(path: Path | str, device: torch.device) -> Saved:
    """Read a model, ready to predict on `device`.

    Args:
        path: the file, or the folder of its run.
        device: where its parameters go.

    Raises:
        CrepeError: there is no such file, or it is no model of this program.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CrepeError(f"{path}: is not there; `crepe train` makes it, `dvc pull` fetches what DVC keeps") from None
    except (SafetensorError, OSError) as error:
        if _is_pointer(path):
            raise CrepeError(f"{path}: only points to a model that Git LFS keeps; fetch it: git lfs pull") from None
        raise CrepeError(f"{path}: is no whole model ({error}); fetch it or train it again") from error
    if _KEY not in metadata:
        raise CrepeError(f"{path}: is a model of another program; give one that `crepe train` or `crepe export` made")
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        vocabulary = tensors.pop(_VOCABULARY, None)
        settings = Network.parse(about["network"], "network")
        feature = Feature.parse(about["feature"], "feature")
        idf = tensors["idf"][1:] if "idf" in tensors else None
        inputs = Inputs(symbols=about["symbols"], length=feature.length, classes=len(about["classes"]), idf=idf)
        network = build(settings, inputs)
        network.load_state_dict(tensors)
    except (CrepeError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CrepeError(f"{path}: is no model that this version can use ({error}); train it again") from error
    return Saved(
        network=network.to(device).eval(),
        feature=feature,
        settings=settings,
        symbols=about["symbols"],
        classes=about["classes"],
        vocabulary=None if vocabulary is None else vocabulary.numpy().tobytes().decode().split("\n"),
    )


def _is_pointer(path: Path) -> bool:
    """Whether a checkout without Git LFS has put three lines of text in the file's place."""
    try:
        with path.open("rb") as stream:
            return stream.read(40).startswith(b"version https://git-lfs.github.com/spec")
    except OSError:
        return False
