"""Fixtures shared by all tests."""

import os
from dataclasses import dataclass
from pathlib import Path

# Tests run side by side: one thread each, before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from crepe.config import Config, load
from crepe.config.catalog import Dataset, Feature, Network, Source
from crepe.config.recipe import Recipe
from crepe.data import shards
from crepe.ragged import Ragged
from tests.support.paths import SHARED

# Examples are drawn from the test's own name, so that a run does not fail one time in a thousand.
settings.register_profile("crepe", derandomize=True, deadline=None)
settings.load_profile("crepe")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of genuine data and golden dumps beside the checkout, where there is one."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside this checkout")
    return SHARED


@dataclass(frozen=True)
class Tiny:
    """A study small enough for any test: two classes that differ in their letters, and three models."""

    config: Config
    folder: Path
    """Shards of feature F are in folder / F."""


def tiny_rows(rows: int, symbols: int, seed: int, dtype: str) -> Ragged:
    """Texts of up to 60 symbols, the first two of none; class 0 prefers the lower half of them, 1 the upper."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int32) % 2
    texts = []
    for number, label in enumerate(labels):
        text = generator.integers(1, symbols + 1, generator.integers(15, 60) if number > 1 else 0)
        half = generator.integers(1, symbols // 2 + 1, len(text)) + label * (symbols // 2)
        texts.append(np.where(generator.random(len(text)) < 0.8, half, text))
    return Ragged.from_rows(texts, labels, dtype)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Shards of characters and of words, with a configuration that trains on them in seconds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from crepe.io.files import digest

    folder = tmp_path_factory.mktemp("tiny")
    for feature, symbols, dtype in (("chars", 69, "uint8"), ("words", 40, "int32")):
        out = folder / feature
        rows = {"train": tiny_rows(120, symbols, 0, dtype), "test": tiny_rows(50, symbols, 1, dtype)}
        source = "0" * 64
        out.mkdir()
        if feature == "words":
            columns = {
                "word": [f"w{i:02d}" for i in range(symbols)],
                "count": [9] * symbols,
                "rows": range(1, symbols + 1),
            }
            pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), out / shards.VOCABULARY)
            source = digest(out / shards.VOCABULARY)
        shards.Manifest(
            dataset="tiny",
            feature=feature,
            dtype=dtype,
            symbols=symbols,
            length=100 if feature == "chars" else None,
            source=source,
            classes=["low", "high"],
            rows={split: len(part) for split, part in rows.items()},
            archive="a" * 64,
            clean={"train": "b" * 64, "test": "c" * 64},
            shards={
                split: [shards.write(out / shards.names(split, len(part))[0], part)] for split, part in rows.items()
            },
        ).write(out)
    return Tiny(tiny_config(), folder)


def tiny_config() -> Config:
    """The default configuration with a dataset `tiny` and networks that train on it in seconds."""
    import dataclasses

    base = load()
    recipe = Recipe(
        epochs=3, batch_size=16, learning_rate=0.1, halve_every=2, max_halvings=1, momentum=0.9, weight_decay=1e-5
    )
    convnet = Network(
        kind="convnet", convolutions=((7, 3), (3, 3)), features=8, hidden=(16,), dropout=0.1, deviation=0.2
    )
    catalog = dataclasses.replace(
        base.catalog,
        datasets={
            **base.catalog.datasets,
            "tiny": Dataset(
                title="Tiny",
                fields=1,
                classes=2,
                train_rows=120,
                test_rows=50,
                batches_per_epoch=20,
                sources=(Source(url="tiny.tgz"),),
            ),
        },
        features={
            **base.catalog.features,
            "chars": Feature(kind="characters", alphabet="crepe", length=100),
            "words": Feature(kind="words", vocabulary=40),
        },
        networks={**base.catalog.networks, "convnet-small": convnet},
    )
    training = dict.fromkeys(base.training, recipe)
    return dataclasses.replace(
        base,
        name="tiny",
        datasets=("tiny",),
        models=("bow", "bow-tfidf", "conv-small"),
        training=training,
        catalog=catalog,
    )


def overlay(tiny: Tiny) -> dict[str, object]:
    """What makes the default configuration the tiny one, for `--config`."""
    whole, catalog = tiny.config, tiny.config.catalog
    return {
        "name": whole.name,
        "training": {name: recipe.as_dict() for name, recipe in whole.training.items()},
        "catalog": {
            "datasets": {"tiny": catalog.datasets["tiny"].as_dict()},
            "features": {name: catalog.features[name].as_dict() for name in ("chars", "words")},
            "networks": {"convnet-small": catalog.networks["convnet-small"].as_dict()},
        },
    }


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of tests/made.py; not to be changed."""
    from tests.support import made

    return made.project(tmp_path_factory.mktemp("made") / "project")
