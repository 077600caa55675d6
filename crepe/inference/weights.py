"""Show the first layer of a ConvNet over characters: its strongest kernels, and what they answer to.

    crepe weights results/demo/runs/docstrings/conv-small/0 --shards data/shards/chars/docstrings

writes RUN/weights/strongest.png: of each kernel its weights by character and place, from epoch to epoch; and prints the
pieces of test texts that drive each of them most. A kernel's strength is the Euclidean norm of its weights.
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
