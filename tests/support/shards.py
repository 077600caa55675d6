"""Shards written directly, without a text, and a configuration that trains on them in seconds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crepe import layout
from crepe.config import Config, load
from crepe.config.recipe import Recipe
from crepe.config.sgd import Settings
from crepe.data import shards
from crepe.io.files import digest
from crepe.ragged import Ragged

CLASSES = ("low", "high")
ROWS = {"train": 120, "test": 50}
WORDS = 40
LENGTH = 100
"""Length of the texts of characters."""


@dataclass(frozen=True)
class Tiny:
    """A study small enough for any test: two classes that differ in their symbols, and three models."""

    config: Config
    folder: Path
    """The shards of feature F are in folder / F."""


def tiny_shards(folder: Path) -> Tiny:
    """Write shards of characters and of words."""
    for feature, symbols, dtype in (("chars", 69, "uint8"), ("words", WORDS, "int32")):
        splits = {split: _texts(rows, symbols, seed, dtype) for seed, (split, rows) in enumerate(ROWS.items())}
        vocabulary = [f"w{number:02d}" for number in range(WORDS)] if feature == "words" else None
        length = LENGTH if feature == "chars" else None
        write(folder / feature, splits, "tiny", feature, symbols, CLASSES, length, vocabulary)
    return Tiny(load(json.dumps(OVERLAY)), folder)


def write(
    folder: Path,
    splits: dict[str, Ragged],
    dataset: str,
    feature: str,
    symbols: int,
    classes: Sequence[str],
    length: int | None = None,
    vocabulary: Sequence[str] | None = None,
) -> shards.Manifest:
    """Write shards as `crepe encode` does, one file a split."""
    folder.mkdir(parents=True)
    source = "0" * 64
    if vocabulary is not None:
        columns = {"word": vocabulary, "count": [9] * symbols, "rows": list(range(1, symbols + 1))}
        pq.write_table(pa.table(columns), folder / layout.VOCABULARY)
        source = digest(folder / layout.VOCABULARY)
    manifest = shards.Manifest(
        dataset=dataset,
        feature=feature,
        dtype=str(splits["train"].values.dtype),
        symbols=symbols,
        length=length,
        source=source,
        classes=list(classes),
        rows={split: len(rows) for split, rows in splits.items()},
        archive="a" * 64,
        clean={"train": "b" * 64, "test": "c" * 64},
        shards={
            split: [shards.write(folder / shards.names(split, len(rows))[0], rows)] for split, rows in splits.items()
        },
    )
    manifest.write(folder)
    return manifest


def _texts(rows: int, symbols: int, seed: int, dtype: str) -> Ragged:
    """Texts of up to 60 symbols, the first two empty; class 0 prefers the lower half of the symbols, 1 the upper."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int32) % 2
    texts = []
    for number, label in enumerate(labels):
        text = generator.integers(1, symbols + 1, generator.integers(15, 60) if number > 1 else 0)
        half = generator.integers(1, symbols // 2 + 1, len(text)) + label * (symbols // 2)
        texts.append(np.where(generator.random(len(text)) < 0.8, half, text))
    return Ragged.from_rows(texts, labels, dtype)


RECIPE = {
    **{"epochs": 3, "batch_size": 16, "learning_rate": 0.1, "halve_every": 2, "max_halvings": 1},
    **{"momentum": 0.9, "weight_decay": 1e-5},
}
OVERLAY: dict[str, Any] = {
    "name": "tiny",
    "datasets": ["tiny"],
    "models": ["bow", "bow-tfidf", "conv-small"],
    "training": {"convnet": RECIPE, "counts": RECIPE},
    "catalog": {
        "models": {"bow": {"training": "counts"}, "bow-tfidf": {"training": "counts"}},
        "datasets": {
            "tiny": {
                **{"title": "Tiny", "fields": 1, "classes": len(CLASSES), "batches_per_epoch": 20},
                **{f"{split}_rows": rows for split, rows in ROWS.items()},
                "sources": [{"url": "tiny.tgz"}],
            }
        },
        "features": {"chars": {"max_length": LENGTH}, "words": {"vocab_size": WORDS}},
        "networks": {
            "convnet-small": {
                **{"convolutions": [[7, 3], [3, 3]], "channels": 8, "fc": [16]},
                **{"dropout": 0.1, "init_std": 0.2},
            }
        },
    },
}
"""Laid over the default configuration."""


def sgd(recipe: Recipe) -> Settings:
    """The same recipe, which is one of sgd."""
    assert isinstance(recipe, Settings)
    return recipe


def overlay() -> dict[str, Any]:
    """A copy of the overlay of `Tiny.config`, for `--config`."""
    return json.loads(json.dumps(OVERLAY))
