"""The paper's study as if it had been run, made up: all that a report reads of it, in the ordinary formats."""

import json
import math

import numpy as np
import polars as pl
import torch

from crepe import layout
from crepe.config import Config, load
from crepe.io import tensors
from crepe.io.files import digest, write_json, write_text
from crepe.ragged import Ragged
from crepe.records.quality import confusion, wilson
from crepe.training import snapshots
from tests.support.shards import write as write_shards
from tests.support.study import HISTORY, reseal, write_run

PER_CLASS = 30
"""Test rows."""
EPOCHS = 30
WORDS = ("the", "market", "rose", "while", "nobody", "in", "town", "was", "looking", "at", "goals", "or", "helium")


def write(**changes: list[str]) -> Config:
    """Write runs of every cell of the study, with texts, predictions, shards and weights.

    Args:
        changes: laid over the default configuration: `datasets`, `models`.

    Returns:
        The study's configuration.
    """
    config = load(json.dumps(changes))
    for number, dataset in enumerate(config.datasets):
        rows = config.dataset(dataset).classes * PER_CLASS
        _texts(dataset, config.dataset(dataset).fields, rows, number)
    for run in config.runs:
        _run(config, *run)
    return config


def _texts(dataset: str, fields: int, rows: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    texts = {
        f"field_{field}": [" ".join(chance.choice(WORDS, 120)) for _ in range(rows)] for field in range(1, fields + 1)
    }
    labels = np.arange(rows, dtype=np.int32) // PER_CLASS
    path = layout.clean(dataset) / "test.parquet"
    path.parent.mkdir(parents=True)
    pl.DataFrame({"label": labels, **texts}).write_parquet(path)


def _shards(config: Config, dataset: str, feature: str, classes: list[str]) -> str:
    """Write the test split of a feature over characters, once; returns the digest of the manifest."""
    folder = layout.shards(feature, dataset)
    about = config.feature(feature)
    if not folder.exists():
        clean = pl.read_parquet(layout.clean(dataset) / "test.parquet")
        read = about.reader(None)
        texts = [read(fields) for fields in clean.drop("label").iter_rows()]
        rows = Ragged.from_rows(texts, clean["label"].to_numpy())
        splits = dict.fromkeys(layout.SPLITS, rows)
        write_shards(folder, splits, dataset, feature, len(about.characters or ""), classes, 1014)
    return digest(folder / layout.MANIFEST)


def _run(config: Config, dataset: str, model: str, seed: int) -> None:
    spec = config.model(model)
    paper = config.dataset(dataset)
    classes = [f"Class number {n}" for n in range(1, paper.classes + 1)]
    characters = spec.feature.kind == "characters"
    manifest = _shards(config, dataset, spec.model.feature, classes) if characters else "b" * 64
    rows = paper.classes * PER_CLASS
    clean = {"test": digest(layout.clean(dataset) / "test.parquet")}
    folder = write_run(
        config,
        dataset,
        model,
        seed,
        classes=classes,
        rows={"train": paper.train_rows, "test": rows},
        data={"archive": "a" * 64, "clean": clean, "manifest": manifest},
        epochs=EPOCHS,
    )
    chance = np.random.default_rng([seed, *model.encode(), *dataset.encode()])
    label = np.arange(rows) // PER_CLASS
    predicted = np.where(
        chance.random(rows) < chance.uniform(0.05, 0.5), chance.integers(paper.classes, size=rows), label
    )
    predictions = {"label": label.astype(np.int32), "predicted": predicted.astype(np.int32)}
    probability = chance.uniform(1 / paper.classes, 1, rows).astype(np.float32)
    pl.DataFrame({**predictions, "probability": probability}).write_parquet(folder / "predictions.parquet")
    errors = int((predicted != label).sum())
    low, high = (100 * end for end in wilson(errors, rows))
    metrics = {
        "rows": rows,
        "errors": errors,
        "error_pct": round(100 * errors / rows, 4),
        "ci_low": low,
        "ci_high": high,
    }
    metrics |= {"loss": 1.0, "confusion": confusion(label, predicted, paper.classes).tolist()}
    write_json(folder / "metrics.json", metrics | {"sha256": {}})
    lines = [
        f"{n},{n},{n},0.01,{2 / n:.6f},{60 / n:.4f},{2 / math.sqrt(n):.6f},{100 * errors / rows + 50 / n:.4f}\n"
        for n in range(1, EPOCHS + 1)
    ]
    write_text(folder / "history.csv", HISTORY + "".join(lines))
    reseal(folder)
    if characters:
        symbols = len(spec.feature.characters or "")
        weight = chance.normal(0, 0.05, (8, symbols, 1, 7)).astype(np.float32)
        held = {"convolutions.0.weight": torch.from_numpy(weight), "convolutions.0.bias": torch.zeros(8)}
        about = {"feature": spec.feature.as_dict(), "network": {"kind": "convnet"}}
        tensors.write(folder / "model.safetensors", about, held)
        for epoch in range(0, EPOCHS + 1, 6):
            scale = 1 if epoch == EPOCHS else 0.5
            snapshots.save(folder, epoch, scale * weight[:, :, 0, ::-1])
