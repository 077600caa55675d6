"""Show the first layer of a ConvNet over characters: its strongest kernels, and the texts that activate them.

    crepe weights results/demo/runs/docstrings/conv-small/0 --shards data/shards/chars/docstrings

writes RUN/weights/strongest.png, with the weights of each kernel by character and place, from epoch to epoch. It prints
the pieces of test texts that activate each most. The strength of a kernel is the Euclidean norm of its weights.
"""

import argparse
from io import BytesIO
from pathlib import Path

import numpy as np

from crepe.errors import CrepeError
from crepe.inference.first_layer import PALETTE, Layer, answers, films, first_layer, levels, strongest, tested
from crepe.io.files import replacing
from crepe.layout import FIRST_LAYER
from crepe.options import add_shards

CELL, FONT = 16, 13
"""Size of a weight, and of the letters, in pixels."""
NAMES, TITLE, LABELS = 80, 36, 28
"""Pixels to the left of a kernel for the epochs' names, above it for its title, and below it for the characters."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run")
    add_shards(parser, required=True)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    layer = first_layer(options.run)
    if layer is None:
        raise CrepeError(options.run, "is no ConvNet over characters", "only their first layers can be shown")
    chosen = strongest(layer)
    found = answers(layer, chosen, tested(options.run, options.shards))
    picture = options.run / FIRST_LAYER / "strongest.png"
    with replacing(picture) as temporary:
        temporary.write_bytes(_picture(layer, chosen, films(options.run, layer, chosen)))
    for kernel, pieces in zip(chosen, found, strict=True):
        print(f"kernel {kernel}:", "  ".join(f"{piece.text!r} {piece.value:.2f}" for piece in pieces))
    print(picture)


def _picture(layer: Layer, chosen: list[int], film: dict[int, np.ndarray]) -> bytes:
    """Draw the chosen kernels from epoch to epoch, with epochs and characters labelled, as a PNG file."""
    from PIL import Image, ImageDraw, ImageFont

    places, signs = layer.kernels.shape[2], [{"\n": "\\n"}.get(sign, sign) for sign in layer.characters]
    width, height = len(signs) * CELL, (len(film) * (places + 1) - 1) * CELL
    step = TITLE + height + LABELS
    image = Image.new("RGB", (NAMES + width + CELL, len(chosen) * step), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(FONT)
    for number, kernel in enumerate(chosen):
        top = number * step + TITLE
        pixels = PALETTE[levels([epoch[number] for epoch in film.values()])]
        tile = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
        image.paste(tile, (NAMES, top), tile)
        draw.text((NAMES, top - 8), f"kernel {kernel}", "black", font, anchor="ls")
        for place, epoch in enumerate(film):
            middle = top + (place * (places + 1) + places / 2) * CELL
            draw.text((NAMES - 8, middle), f"epoch {epoch}", "black", font, anchor="rm")
        for place, sign in enumerate(signs):
            # From a common baseline, below the tile.
            draw.text((NAMES + (place + 0.5) * CELL, top + height + 16), sign, "black", font, anchor="ms")
    stream = BytesIO()
    image.save(stream, "png", optimize=True)
    return stream.getvalue()
