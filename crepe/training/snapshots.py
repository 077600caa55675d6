"""The first layer of a ConvNet over characters after each epoch: RUN/weights/epoch-000.safetensors and so on.

A file has one tensor, `kernels`: float16 [kernels, symbols, places], the first `MOST` kernels of the layer, places in
reading direction (the network reads texts backwards). The same weights give the same bytes. The files lie beside the
checkpoints, and like them are no output of a step.
"""

import shutil
from pathlib import Path

import numpy as np
import torch

from crepe.errors import CrepeError
from crepe.io import tensors
from crepe.io.files import clear
from crepe.layout import FIRST_LAYER

MOST = 256
"""Kernels that are kept of a larger layer."""
_LARGEST = float(np.finfo(np.float16).max)
_REMEDY = "delete it, or train the model again"


def rounded(kernels: np.ndarray) -> np.ndarray:
    """Return kernels as they are kept, float32: the first `MOST`, rounded to float16."""
    return kernels[:MOST].clip(-_LARGEST, _LARGEST).astype(np.float16).astype(np.float32)


def save(run: Path, epoch: int, kernels: np.ndarray) -> None:
    """Write the kernels of an epoch, whole or not at all.

    Args:
        run: the run's folder.
        epoch: epochs trained; 0 begins a training, and removes what another one left.
        kernels: float32 [kernels, symbols, places].
    """
    folder = run / FIRST_LAYER
    if epoch == 0:
        shutil.rmtree(folder, ignore_errors=True)
    clear(folder)
    held = torch.from_numpy(rounded(kernels)).half()
    tensors.write(folder / f"epoch-{epoch:03d}.safetensors", {"epoch": epoch}, {"kernels": held})


def read(run: Path) -> dict[int, np.ndarray]:
    """Read the kernels by epoch, float32 [kernels, symbols, places] each; empty if none were kept.

    Raises:
        CrepeError: a file is damaged.
    """
    found = {}
    for path in sorted((run / FIRST_LAYER).glob("epoch-*.safetensors")):
        about, held = tensors.read(path, _REMEDY)
        try:
            found[int(about["epoch"])] = held["kernels"].float().numpy()
        except (KeyError, TypeError, ValueError) as error:
            raise CrepeError(path, f"has no kernels of an epoch ({error!r})", _REMEDY) from error
    return found
