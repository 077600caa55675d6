"""What the first layer of a ConvNet over characters holds, a picture an epoch: RUN/weights/epoch-000.png and so on.

A pixel is a weight. A kernel is a tile with a line for each character of the alphabet and a column for each place, left
to right as one reads (the network reads texts backwards); `ACROSS` tiles stand side by side, a pixel apart. Middle gray
is 0, white and black are the largest absolute weight of the epoch, which stands in the picture's text `peak`. The same
weights give the same bytes. These pictures lie beside the checkpoints, and like them are no output of a step.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from crepe.errors import CrepeError
from crepe.io.files import clear, replacing

FOLDER = "weights"
MOST = 256
"""Kernels that are kept of a larger layer: the first ones."""
ACROSS = 32
STEPS = 127
"""Of gray on either side of 0."""
_ZERO = 128


def save(run: Path, epoch: int, kernels: np.ndarray) -> None:
    """Write the picture of an epoch, whole or not at all.

    Args:
        run: the run's folder.
        epoch: how many have been trained; with 0 a training begins, and pictures of another one are removed.
        kernels: float [kernels, symbols, places], places in reading direction.
    """
    kernels = kernels[:MOST]
    count, symbols, places = kernels.shape
    peak = float(np.abs(kernels).max()) or 1.0
    lines = -(-count // ACROSS)
    tiles = np.full((lines * ACROSS, symbols + 1, places + 1), _ZERO, np.uint8)
    tiles[:count, :-1, :-1] = np.rint(kernels / peak * STEPS) + _ZERO
    pixels = tiles.reshape(lines, ACROSS, symbols + 1, places + 1).swapaxes(1, 2).reshape(lines * (symbols + 1), -1)
    about = PngInfo()
    about.add_text("peak", json.dumps(peak))
    about.add_text("shape", json.dumps([count, symbols, places]))
    if epoch == 0:
        shutil.rmtree(run / FOLDER, ignore_errors=True)
    clear(run / FOLDER)
    with replacing(_path(run, epoch)) as temporary:
        Image.fromarray(pixels).save(temporary, "png", pnginfo=about)


def read(run: Path) -> dict[int, np.ndarray]:
    """The kernels by epoch, float32 as `save` takes them, to 1/127 of each epoch's largest; empty if none were kept.

    Raises:
        CrepeError: a picture is damaged.
    """
    return {int(path.stem.removeprefix("epoch-")): _read(path) for path in sorted((run / FOLDER).glob("epoch-*.png"))}


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image, np.float32)
            peak = float(json.loads(image.info["peak"]))
            count, symbols, places = json.loads(image.info["shape"])
        tiles = pixels.reshape(-1, symbols + 1, ACROSS, places + 1).swapaxes(1, 2).reshape(-1, symbols + 1, places + 1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise CrepeError(f"{path}: is no picture of weights ({error}); delete it, or train the model again") from error
    return (tiles[:count, :-1, :-1] - _ZERO) * np.float32(peak / STEPS)


def _path(run: Path, epoch: int) -> Path:
    return run / FOLDER / f"epoch-{epoch:03d}.png"
