"""What a training starts from: a model of the configuration, its parameters just drawn, for the data in a folder."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from crepe import features, shards
from crepe.config import Config, Training
from crepe.errors import CrepeError
from crepe.models import Inputs, build, initialize
from crepe.saved import Saved
from crepe.shards import Manifest


@dataclass(frozen=True, slots=True)
class Start:
    """A model before its training."""

    model: Saved
    weights: str
    """Its entry's."""
    recipe: Training
    """With the minibatches of an epoch filled in."""
    manifest: Manifest
    """Of its data."""


def prepare(config: Config, dataset: str, model: str, seed: int, folder: Path, device: torch.device) -> Start:
    """A fresh `model` for the shards in `folder`.

    Args:
        config: the configuration that has both keys.
        dataset: key of the dataset that the shards hold.
        model: key of the model.
        seed: of the start parameters.
        folder: shards of the model's feature.
        device: where the network goes.

    Raises:
        CrepeError: a key is unknown, or the shards are missing, damaged or of another dataset or feature.
    """
    about = config.dataset(dataset)
    entry, feature, settings, recipe = config.model(model)
    manifest = Manifest.read(folder)
    if (manifest.dataset, manifest.feature) != (dataset, entry.feature):
        found = f"{manifest.feature} of {manifest.dataset}"
        raise CrepeError(f"{folder}: holds {found}, not {entry.feature} of {dataset}; give --shards another folder")
    vocabulary = shards.read_vocabulary(folder, manifest) if features.kind(feature.kind).VOCABULARY else None
    idf = None
    if entry.weights == "tfidf":
        if vocabulary is None:
            raise CrepeError(f"{model}: weights are tfidf, which needs a vocabulary; {entry.feature} has none")
        # The paper's: logarithm of the train rows over those that hold the word (section 3.1).
        idf = torch.log(manifest.rows["train"] / torch.tensor(vocabulary["rows"].to_numpy()))
    inputs = Inputs(symbols=manifest.symbols, length=feature.length, classes=len(manifest.classes), idf=idf)
    network = build(settings, inputs)
    initialize(network, settings.deviation, seed)
    return Start(
        model=Saved(
            network=network.to(device).train(),
            feature=feature,
            settings=settings,
            symbols=manifest.symbols,
            classes=manifest.classes,
            vocabulary=None if vocabulary is None else vocabulary["word"].to_pylist(),
        ),
        weights=entry.weights,
        recipe=replace(recipe, epoch_minibatches=recipe.epoch_minibatches or about.epoch_minibatches),
        manifest=manifest,
    )
