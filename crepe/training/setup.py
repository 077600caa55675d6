"""Start of a training: a model of the configuration with initial parameters, for the shards in a folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from crepe import layout
from crepe.config import Config
from crepe.config.recipe import Recipe
from crepe.data import shards
from crepe.data.shards import Manifest
from crepe.errors import CrepeError
from crepe.io import tensors
from crepe.models.base import Inputs, Network, initialize
from crepe.models.saved import Saved

ROWS_AT_ONCE = 2**16
"""Rows whose symbols are counted at a time."""


@dataclass(frozen=True, slots=True)
class Start:
    """A model with its initial parameters, its recipe and the manifest of its data."""

    model: Saved
    vectors: str | None
    """Key of the word vectors that it starts from; None for a random start."""
    vectors_origin: str | None
    """Name and sha256 of the published file, or `crepe.records.run.LEARNT`; None for a random start."""
    recipe: Recipe
    """The model's recipe, with what it leaves to the dataset filled in."""
    manifest: Manifest
    """Manifest of the shards."""


def prepare(
    config: Config,
    dataset: str,
    model: str,
    seed: int,
    folder: Path,
    device: torch.device,
    vectors: Path | None = None,
) -> Start:
    """Make the network of a model for a dataset's shards, with initial parameters.

    Args:
        config: the configuration that has both keys.
        dataset: key of the dataset.
        model: key of the model.
        seed: seed of the initial parameters.
        folder: shards of the dataset in the model's feature.
        device: device of the network.
        vectors: file of the word vectors that the model starts from; None for `layout.vectors`. Not read if the model
            names no vectors.

    Raises:
        CrepeError: a key is unknown, or the shards or vectors are missing, damaged or of other data.
    """
    about, spec = config.dataset(dataset), config.model(model)
    entry, feature, settings, recipe = spec.model, spec.feature, spec.network, spec.recipe
    manifest = Manifest.read(folder)
    if (manifest.dataset, manifest.feature) != (dataset, entry.feature):
        fault = f"has {manifest.feature} of {manifest.dataset}, not {entry.feature} of {dataset}"
        raise CrepeError(folder, fault, "give --shards another folder")
    vocabulary = shards.read_vocabulary(folder, manifest) if feature.has_vocabulary else None
    idf = None
    if settings.needs_document_frequencies:
        if vocabulary is None or "rows" not in vocabulary.column_names:
            raise CrepeError(
                f"catalog.networks.{entry.network}",
                f"`weighting` is tfidf, and {entry.feature} does not count the rows of each symbol",
                "take counts",
            )
        # As in the paper (section 3.1): log(train rows / train rows that have the word).
        idf = torch.log(manifest.rows["train"] / torch.tensor(np.from_dlpack(vocabulary["rows"].combine_chunks())))
    largest = _largest_counts(folder, manifest) if settings.needs_largest_counts else None
    idf = settings.symbol_weights(idf, largest)
    inputs = Inputs(vocab_size=manifest.symbols, length=feature.max_length, classes=len(manifest.classes), idf=idf)
    network = settings.build(inputs)
    initialize(network, settings.init_std, seed)
    origin = None
    if entry.vectors is not None:
        path = layout.vectors(entry.vectors, entry.feature, dataset)
        origin = _start_from(vectors or path, network, manifest)
    return Start(
        model=Saved(
            network=network.to(device).train(),
            feature=feature,
            settings=settings,
            vocab_size=manifest.symbols,
            classes=manifest.classes,
            vocabulary=None if vocabulary is None else vocabulary["word"].to_pylist(),
        ),
        vectors=entry.vectors,
        vectors_origin=origin,
        recipe=recipe.for_dataset(about.batches_per_epoch),
        manifest=manifest,
    )


def _largest_counts(folder: Path, manifest: Manifest) -> torch.Tensor:
    """Count how often each symbol occurs in a train row, at most: float32 [symbols]."""
    rows = shards.read(folder, "train", manifest)
    largest = np.zeros(manifest.symbols + 1, np.int64)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        offsets = rows.offsets[first : first + ROWS_AT_ONCE + 1]
        codes = rows.values[offsets[0] : offsets[-1]].astype(np.int64)
        row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        keys, counts = np.unique(row * len(largest) + codes, return_counts=True)
        np.maximum.at(largest, keys % len(largest), counts)
    return torch.from_numpy(largest[1:]).float()


def _start_from(path: Path, network: Network, manifest: Manifest) -> str:
    """Copy the vectors in `path` into the network's look-up table, and return their origin."""
    table = network.word_vectors
    if table is None:
        raise CrepeError(
            "configuration",
            "the network has no look-up table that starts from word vectors",
            "leave out the model's `vectors`, or take another network",
        )
    remedy = "run `crepe vectors` again"
    about, held = tensors.read(path, remedy)
    try:
        if about["vocabulary"] != manifest.source or held["vectors"].shape[1] != table.shape[1]:
            raise CrepeError(path, "is for another vocabulary or size", remedy)
        with torch.no_grad():
            table[held["indices"]] = held["vectors"]
        return str(about["origin"])
    except (KeyError, IndexError, RuntimeError) as error:
        raise CrepeError(path, f"is no file of vectors ({error})", remedy) from error
