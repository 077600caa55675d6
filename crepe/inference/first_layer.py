"""The first layer of a trained ConvNet over characters: its kernels, their history, and texts that activate them."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from crepe.data import shards
from crepe.errors import CrepeError
from crepe.io import tensors
from crepe.io.files import digest
from crepe.layout import MANIFEST, MODEL
from crepe.ragged import Ragged
from crepe.records.run import RunRecord
from crepe.text.alphabet import characters
from crepe.training import snapshots

_REMEDY = "run `crepe train` again"
SHOWN, EPOCHS, ANSWERS = 6, 6, 8
"""Number of kernels shown, of epochs of each, and of pieces of text that activate each."""
TEXTS = 10_000
"""Number of test texts that are searched."""
BLANK = "·"
"""Sign of a space or a byte outside the alphabet: a column without a weight."""

LEVELS = 7
"""Number of colours on either side of 0."""
_NEGATIVE, _POSITIVE = (59, 125, 196), (214, 116, 28)
_GAP = 2 * LEVELS + 1
PALETTE = np.array(
    [
        (*(_NEGATIVE if level < 0 else _POSITIVE), round(255 * abs(level) / LEVELS))
        for level in range(-LEVELS, LEVELS + 1)
    ]
    + [(0, 0, 0, 0)],
    np.uint8,
)
"""Red, green, blue and opacity of each level and of the gap between two epochs, for light and dark pages."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The first layer of a trained ConvNet over characters."""

    kernels: np.ndarray
    """float32 [kernels, symbols, places], places in reading direction; at most the first `snapshots.MOST`."""
    bias: np.ndarray
    """float32 [kernels]."""
    characters: str
    """The alphabet, a character for each symbol."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of text and a kernel's output for it."""

    text: str
    value: float
    """The output, before the rectifier."""


def first_layer(run: Path) -> Layer | None:
    """Read the first layer of the model in `run`; None if it is no ConvNet over characters.

    Raises:
        CrepeError: there is no model, or it is damaged.
    """
    path = run / MODEL
    about, held = tensors.read(path, _REMEDY)
    try:
        if about["feature"]["kind"] != "characters" or about["network"]["kind"] != "convnet":
            return None
        weight, bias = (held[f"convolutions.0.{name}"].numpy() for name in ("weight", "bias"))
        alphabet = characters(about["feature"]["alphabet"])
    except (ValueError, KeyError, TypeError) as error:
        raise CrepeError(path, f"is no model that this version can use ({error})", _REMEDY) from error
    # The network reads backwards.
    return Layer(weight[: snapshots.MOST, :, 0, ::-1], bias[: snapshots.MOST], alphabet)


def strongest(layer: Layer, count: int = SHOWN) -> list[int]:
    """Return the numbers of the kernels with the largest Euclidean norms, the largest first."""
    norms = np.sqrt(np.square(layer.kernels, dtype=np.float64).sum((1, 2)))
    return [int(number) for number in np.argsort(-norms, kind="stable")[:count]]


def tested(run: Path, folder: Path) -> Ragged:
    """Read at most `TEXTS` rows, at equal distances, of the test split that a run was tested on.

    Raises:
        CrepeError: the shards are missing, damaged, or not those of the run.
    """
    if digest(folder / MANIFEST) != RunRecord.read(run).data.manifest:
        raise CrepeError(folder, f"is not the data that {run} was trained on", "give --shards that, or train again")
    test = shards.read(folder, "test")
    rows = np.linspace(0, len(test) - 1, min(TEXTS, len(test))).round().astype(np.int64)
    return Ragged.from_rows((test[row] for row in rows), test.labels[rows], str(test.values.dtype))


def answers(layer: Layer, chosen: list[int], texts: Ragged, count: int = ANSWERS) -> list[list[Answer]]:
    """Return, for each chosen kernel, the `count` different pieces of `texts` with the largest outputs, in order."""
    places = layer.kernels.shape[2]
    starts = np.arange(max(len(texts.values) - places + 1, 0))
    rows = np.repeat(np.arange(len(texts)), texts.lengths)
    starts = starts[rows[: len(starts)] == rows[len(rows) - len(starts) :]]
    signs = BLANK + layer.characters.replace("\n", "⏎")
    found = []
    for kernel in chosen:
        # Row 0 of the table: a blank adds nothing. Texts and places run backwards here.
        table = np.vstack([np.zeros(places, np.float32), layer.kernels[kernel, :, ::-1]])
        values = np.full(len(starts), layer.bias[kernel], np.float32)
        for place in range(places):
            values += table[:, place][texts.values[starts + place]]
        pieces: dict[str, float] = {}
        # A piece that occurs often must not crowd out the others.
        candidates = min(len(values), 1000)
        while len(values):
            best = np.argpartition(-values, candidates - 1)[:candidates]
            for index in best[np.lexsort((best, -values[best]))]:
                piece = texts.values[starts[index] : starts[index] + places][::-1]
                pieces.setdefault("".join(signs[code] for code in piece), float(values[index]))
            if len(pieces) >= count or candidates == len(values):
                break
            candidates = min(len(values), candidates * 10)
        found.append([Answer(text, value) for text, value in list(pieces.items())[:count]])
    return found


def films(run: Path, layer: Layer, chosen: list[int]) -> dict[int, np.ndarray]:
    """Return the history of chosen kernels: float32 [chosen, symbols, places] by epoch, of at most `EPOCHS` epochs.

    The last is the trained layer's own; the others are from the snapshots that training left, if they are there.

    Raises:
        CrepeError: a snapshot is damaged.
    """
    kept, last = snapshots.read(run), RunRecord.read(run).epochs
    final = kept.pop(last, None)
    if final is not None and not np.array_equal(final, snapshots.rounded(layer.kernels)):
        kept = {}  # Of another training.
    before = sorted(epoch for epoch in kept if epoch < last)
    shown = np.linspace(0, len(before) - 1, min(EPOCHS - 1, len(before))).round().astype(int)
    return {before[index]: kept[before[index]][chosen] for index in shown} | {last: layer.kernels[chosen]}


def levels(film: list[np.ndarray]) -> np.ndarray:
    """Return a kernel from epoch to epoch as indices into `PALETTE`: uint8 [lines, symbols].

    Places run downwards in reading direction, with a line of gap between two epochs.

    Args:
        film: float [symbols, places] of each epoch.
    """
    peak = max(float(np.abs(kernel).max()) for kernel in film) or 1.0
    symbols, _ = film[0].shape
    lines = [
        part
        for kernel in film
        for part in (np.rint(kernel.T / peak * LEVELS) + LEVELS, np.full((1, symbols), _GAP, np.uint8))
    ]
    return np.vstack(lines[:-1]).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return a PNG file of indices into `PALETTE`, four bits each; the same pixels give the same bytes."""
    from PIL import Image

    image = Image.fromarray(pixels).convert("P")
    image.putpalette(PALETTE[:, :3].tobytes())
    stream = BytesIO()
    image.save(stream, "png", bits=4, optimize=True, transparency=PALETTE[:, 3].tobytes())
    return stream.getvalue()
