"""A trained model as one file (`crepe.io.tensors`) that has all that is needed to use it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from crepe.errors import CrepeError
from crepe.features import FeatureSettings
from crepe.io import tensors
from crepe.models import NetworkSettings
from crepe.models.base import Inputs, Network

FILE = "model.safetensors"
_VOCABULARY = "vocabulary"
_REMEDY = "run `crepe train` again, or `dvc pull` for what DVC keeps"


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A trained network with the names of its classes and the feature that it reads."""

    network: Network
    feature: FeatureSettings
    settings: NetworkSettings
    vocab_size: int
    """Largest code in a text."""
    classes: list[str]
    vocabulary: list[str] | None = None
    """Symbol of each code, line i of code i + 1; None for characters."""


def save(path: Path | str, model: Saved) -> None:
    """Write a model, whole or not at all; the same model gives the same bytes."""
    held = dict(model.network.state_dict())
    if model.vocabulary is not None:
        held[_VOCABULARY] = torch.from_numpy(np.frombuffer("\n".join(model.vocabulary).encode(), np.uint8).copy())
    about = {
        "feature": model.feature.as_dict(),
        "network": model.settings.as_dict(),
        "symbols": model.vocab_size,
        "classes": model.classes,
    }
    tensors.write(path, about, held)


def load(path: Path | str, device: torch.device) -> Saved:
    """Read a model, ready to predict on `device`.

    Args:
        path: the file, or the folder of its run.
        device: where its parameters go.

    Raises:
        CrepeError: the file is missing, damaged, or no model of this version.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    if _is_pointer(path):
        raise CrepeError(path, "only points to a model that Git LFS keeps", "fetch it: git lfs pull")
    if not path.exists():
        raise CrepeError(path, "is missing", f"{_nearest(path.parent if path.name == FILE else path)}{_REMEDY}")
    about, held = tensors.read(path, _REMEDY)
    try:
        content = held.pop(_VOCABULARY, None)
        vocabulary = None if content is None else content.numpy().tobytes().decode().split("\n")
        settings = NetworkSettings.parse(about["network"], source="its network")
        feature = FeatureSettings.parse(about["feature"], source="its feature")
        idf = held["idf"][1:] if "idf" in held else None
        inputs = Inputs(vocab_size=about["symbols"], length=feature.max_length, classes=len(about["classes"]), idf=idf)
        # On the meta device first: damaged metadata may ask for any amount of memory.
        with torch.device("meta"):
            shapes = {name: tensor.shape for name, tensor in settings.build(inputs).state_dict().items()}
        if shapes != {name: tensor.shape for name, tensor in held.items()}:
            raise ValueError("its tensors are not those of its network")
        if vocabulary is not None and len(vocabulary) != inputs.vocab_size:
            raise ValueError("its vocabulary is of another size")
        network = settings.build(inputs)
        network.load_state_dict(held)
    except (CrepeError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise CrepeError(path, f"is no model that this version can use ({error})", _REMEDY) from error
    return Saved(
        network=network.to(device).eval(),
        feature=feature,
        settings=settings,
        vocab_size=inputs.vocab_size,
        classes=about["classes"],
        vocabulary=vocabulary,
    )


def _nearest(folder: Path) -> str:
    """Name models or folders near the place where a model was looked for, as the beginning of a remedy."""
    seeds = sorted(folder.glob(f"*/{FILE}"))
    if seeds:
        return f"take {seeds[0].parent}, or "
    there = next((parent for parent in [folder, *folder.parents] if parent.is_dir()), folder)
    names = sorted(path.name for path in there.glob("[!.]*") if path.is_dir()) if there != folder else []
    return f"{'this folder' if there == Path() else there} has {', '.join(names)}; or " if names else ""


def _is_pointer(path: Path) -> bool:
    """Whether the file is Git LFS's pointer, which a checkout without Git LFS puts in the file's place."""
    try:
        with path.open("rb") as stream:
            return stream.read(40).startswith(b"version https://git-lfs.github.com/spec")
    except OSError:
        return False
