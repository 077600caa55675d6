"""Data of the report about the first layer of a ConvNet over characters."""

from base64 import b64encode
from typing import Any

import numpy as np

from crepe import layout
from crepe.config import Config
from crepe.io.files import digest
from crepe.layout import MANIFEST
from crepe.results.grid import Run


def layer(config: Config, run: Run, texts: bool) -> dict[str, Any] | None:
    """Describe the strongest kernels of a run and the texts that activate them; None without such a layer.

    Args:
        config: the configuration that has the run's model.
        run: the run.
        texts: whether pieces of test texts may be shown.

    Raises:
        CrepeError: the model, a snapshot of weights or the shards are damaged.
    """
    model = config.model(run.record.model)
    if model.feature.kind != "characters" or not (run.folder / layout.MODEL).exists():
        return None
    # It imports torch, which takes as long as the rest of a report without such a layer.
    from crepe.inference import first_layer

    def picture(film: list[np.ndarray]) -> str:
        return b64encode(first_layer.png(first_layer.levels(film))).decode()

    first = first_layer.first_layer(run.folder)
    if first is None:
        return None
    chosen = first_layer.strongest(first)
    film = first_layer.films(run.folder, first, chosen)
    found: list[list[first_layer.Answer]] = [[] for _ in chosen]
    shards = layout.shards(model.model.feature, run.record.dataset)
    if not texts:
        lacking = "This copy has no texts."
    elif not (shards / MANIFEST).exists():
        lacking = f"The texts that activate them are not shown: the shards are not on this machine ({shards})."
    elif digest(shards / MANIFEST) != run.record.data.manifest:
        lacking = f"The texts that activate them are not shown: {shards} is not the data that the run was trained on."
    else:
        lacking, found = "", first_layer.answers(first, chosen, first_layer.tested(run.folder, shards))
    return {
        "characters": first.characters.replace("\n", "⏎"),
        "epochs": list(film),
        "lacking": lacking,
        "kernels": [
            {
                "number": kernel,
                "picture": picture([epoch[place] for epoch in film.values()]),
                "answers": found[place],
            }
            for place, kernel in enumerate(chosen)
        ],
    }
