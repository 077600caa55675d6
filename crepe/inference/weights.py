"""Show what the first layer of a ConvNet over characters has learnt: its strongest kernels, and what they answer to.

    crepe weights results/demo/runs/docstrings/conv-small/0 --shards data/shards/chars/docstrings

writes RUN/weights/strongest.png: of each kernel its weights by character and place, from epoch to epoch; and prints the
pieces of test texts that drive each of them most. A kernel's strength is the Euclidean norm of its weights.
"""

import argparse
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from crepe.data import shards
from crepe.errors import CrepeError
from crepe.io.files import check_seal, digest, replacing
from crepe.ragged import Ragged
from crepe.records.run import RunRecord
from crepe.text.alphabet import characters
from crepe.training import snapshots as kernels

MODEL = "model.safetensors"
_AGAIN = "run `crepe train` again"
SHOWN, EPOCHS, ANSWERS = 6, 6, 8
"""Kernels, epochs of each, and pieces of text that each answers to."""
TEXTS = 10_000
"""Test texts that are searched, at equal distances if there are more."""
BLANK = "·"
"""Stands for a space, or a byte outside the alphabet: a column without a weight."""

LEVELS = 7
"""Steps of colour on either side of 0."""
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
"""Red, green, blue and opacity of each level, and of the gap between two epochs: fit for light and dark pages."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The first layer of a trained ConvNet over characters."""

    kernels: np.ndarray
    """float32 [kernels, symbols, places], places in reading direction; at most the first `kernels.MOST`."""
    bias: np.ndarray
    """float32 [kernels]."""
    characters: str
    """The alphabet, a character for each symbol."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of text and what a kernel makes of it."""

    text: str
    value: float
    """Before the rectifier."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run")
    parser.add_argument("--shards", type=Path, metavar="DIR", required=True, help="the shards it was trained on")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    layer = first_layer(options.run)
    if layer is None:
        raise CrepeError(f"{options.run}: is no ConvNet over characters; only their first layers can be shown")
    chosen = strongest(layer)
    found = answers(layer, chosen, tested(options.run, options.shards))
    picture = options.run / kernels.FOLDER / "strongest.png"
    with replacing(picture) as temporary:
        temporary.write_bytes(_picture(layer, chosen, films(options.run, layer, chosen)))
    for kernel, pieces in zip(chosen, found, strict=True):
        print(f"kernel {kernel}:", "  ".join(f"{piece.text!r} {piece.value:.2f}" for piece in pieces))
    print(picture)


def first_layer(run: Path) -> Layer | None:
    """The first layer of the model in `run`; None if that is no ConvNet over characters.

    Raises:
        CrepeError: there is no model, or it is damaged.
    """
    path = run / MODEL
    check_seal(path, _AGAIN)
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads(file.metadata()["crepe"])
            if about["feature"]["kind"] != "characters" or about["network"]["kind"] != "convnet":
                return None
            weight, bias = (file.get_tensor(f"convolutions.0.{name}") for name in ("weight", "bias"))
            alphabet = characters(about["feature"]["alphabet"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CrepeError(f"{path}: is no model that this version can use ({error}); {_AGAIN}") from error
    # The network reads backwards.
    return Layer(weight[: kernels.MOST, :, 0, ::-1], bias[: kernels.MOST], alphabet)


def strongest(layer: Layer, count: int = SHOWN) -> list[int]:
    """Numbers of the kernels with the largest norms, the largest first."""
    norms = np.sqrt(np.square(layer.kernels, dtype=np.float64).sum((1, 2)))
    return [int(number) for number in np.argsort(-norms, kind="stable")[:count]]


def tested(run: Path, folder: Path) -> Ragged:
    """At most `TEXTS` rows of the test split that a run was tested on.

    Raises:
        CrepeError: the shards are missing, damaged, or not those of the run.
    """
    if digest(folder / shards.MANIFEST) != RunRecord.read(run).data.manifest:
        raise CrepeError(f"{folder}: is not the data that {run} was trained on; give --shards that, or train again")
    test = shards.read(folder, "test")
    rows = np.linspace(0, len(test) - 1, min(TEXTS, len(test))).round().astype(np.int64)
    return Ragged.from_rows((test[row] for row in rows), test.labels[rows], str(test.values.dtype))


def answers(layer: Layer, chosen: list[int], texts: Ragged, count: int = ANSWERS) -> list[list[Answer]]:
    """The different pieces of `texts` that drive each chosen kernel most, the first of them most."""
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
    """How chosen kernels came to be: float32 [chosen, symbols, places] by epoch.

    The last is the trained layer's own; the others are from the pictures that training left, if they are there.

    Raises:
        CrepeError: a picture is damaged.
    """
    pictures, last = kernels.read(run), RunRecord.read(run).epochs
    final = pictures.pop(last, None)
    if final is not None and not (
        final.shape == layer.kernels.shape
        and np.allclose(final, layer.kernels, rtol=0, atol=np.abs(layer.kernels).max() / kernels.STEPS)
    ):
        pictures = {}  # Of another training.
    before = sorted(epoch for epoch in pictures if epoch < last)
    kept = np.linspace(0, len(before) - 1, min(EPOCHS - 1, len(before))).round().astype(int)
    return {before[index]: pictures[before[index]][chosen] for index in kept} | {last: layer.kernels[chosen]}


def levels(film: list[np.ndarray]) -> np.ndarray:
    """A kernel from epoch to epoch as numbers of `PALETTE`: uint8 [lines, symbols].

    Places run downwards in reading direction; a line of gap is between two epochs.

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
    """A small PNG file of numbers of `PALETTE`, four bits each; the same pixels give the same bytes."""
    image = Image.fromarray(pixels).convert("P")
    image.putpalette(PALETTE[:, :3].tobytes())
    stream = BytesIO()
    image.save(stream, "png", bits=4, optimize=True, transparency=PALETTE[:, 3].tobytes())
    return stream.getvalue()


def _picture(layer: Layer, chosen: list[int], film: dict[int, np.ndarray]) -> bytes:
    """The chosen kernels from epoch to epoch, epochs and characters labelled, as a PNG file."""
    import matplotlib
    from matplotlib.figure import Figure

    places = layer.kernels.shape[2]
    lines = len(film) * (places + 1) - 1
    signs = list(layer.characters.replace("\n", "⏎"))
    # In inches, laid out by hand: matplotlib's own layout takes seconds for so many labels.
    width, left, above, drawn, below = 11.0, 0.7, 0.3, 0.1 * lines, 0.25
    height = len(chosen) * (above + drawn + below)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(width, height))
        for place, kernel in enumerate(chosen):
            bottom = height - (place + 1) * (above + drawn + below) + below
            axes = figure.add_axes((left / width, bottom / height, 0.99 - left / width, drawn / height))
            pixels = levels([epoch[place] for epoch in film.values()])
            axes.imshow(PALETTE[pixels], aspect="auto", interpolation="none")
            axes.set_title(f"kernel {kernel}", fontsize=9, loc="left")
            axes.set_xticks(range(len(signs)), signs, fontsize=8, family="monospace")
            middles = [number * (places + 1) + (places - 1) / 2 for number in range(len(film))]
            axes.set_yticks(middles, [f"epoch {epoch}" for epoch in film], fontsize=8)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        stream = BytesIO()
        figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()
