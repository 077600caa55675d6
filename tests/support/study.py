"""A project folder with the repository's configuration, and runs in it as training and evaluation write them."""

import json
import shutil
from pathlib import Path
from typing import Any

from crepe import layout
from crepe.config import Config, load
from crepe.config.sgd import Settings
from crepe.io.files import digest, read_json, write_json, write_text
from crepe.records.history import COLUMNS
from crepe.records.metrics import Metrics
from tests.support.paths import ROOT
from tests.support.records import write_record

HISTORY = ",".join(COLUMNS) + "\n"
"""The first line of a history.csv."""


def project(folder: Path) -> Path:
    """Copy the configuration to `folder`."""
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


def overlay(**changes: Any) -> str:
    """A small study as JSON text; `pets` is none of the paper's datasets, `ag_news-part` a part of one."""
    entry = {"fields": 2, "classes": 3, "train_rows": 300, "test_rows": 100, "sources": [{"url": "x.tgz"}]}
    datasets = {
        "pets": {"title": "Pets", **entry},
        "ag_news-part": {"title": "AG's News, part", "paper": "ag_news", **entry},
    }
    study = {"name": "small", "models": ["bow", "conv-small"], "seeds": [0], "datasets": ["pets"]}
    return json.dumps(study | {"catalog": {"datasets": datasets}} | changes)


LINES = "".join(f"{n},{n},{n * 128},0.01,{1 / n},{60 / n},{1 / n + 0.1},{60 / n + 5}\n" for n in range(1, 11))


def write_run(
    config: Config,
    dataset: str,
    model: str,
    seed: int = 0,
    errors: int = 10,
    history: str = HISTORY + LINES,
    **changes: Any,
) -> Path:
    """Write a run of 100 test rows in three classes, 50 of the largest; `changes` replace values of run.json.

    Returns the run's folder.
    """
    assert 0 <= errors <= 50
    about = config.dataset(dataset)
    recipe = config.model(model).recipe.for_dataset(about.batches_per_epoch)
    epochs = recipe.epochs if isinstance(recipe, Settings) else 7
    folder = layout.run(config.name, dataset, model, seed)
    write_text(folder / layout.HISTORY, history)
    own = {
        "dataset": dataset,
        "model": model,
        "seed": seed,
        "title": about.title,
        "paper": about.paper,
        "rows": {"train": about.train_rows, "test": 100},
        "training": recipe.as_dict(),
        "epochs": epochs,
        "batches": epochs * (recipe.batches_per_epoch or 0) if isinstance(recipe, Settings) else 90,
        "sha256": {layout.MODEL: "e" * 64, layout.HISTORY: digest(folder / layout.HISTORY)},
    }
    write_record(folder, **(own | changes))
    Metrics(
        rows=100,
        errors=errors,
        error_pct=float(errors),
        ci_low=max(errors - 6.0, 0.0),
        ci_high=errors + 7.0,
        loss=0.5,
        confusion=[[50 - errors, errors, 0], [0, 30, 0], [0, 0, 20]],
        sha256={layout.MODEL: "e" * 64, layout.PREDICTIONS: "f" * 64},
    ).write(folder)
    return folder


def reseal(folder: Path) -> dict[str, Any]:
    """Have the records of a run speak of its files as they are now; returns the metrics."""
    for record, name in ((layout.RECORD, layout.HISTORY), (layout.METRICS, layout.PREDICTIONS)):
        content = read_json(folder / record, "")
        if (folder / name).exists():
            content["sha256"][name] = digest(folder / name)
        write_json(folder / record, content)
    return content


def small(*datasets: str, **changes: Any) -> Config:
    """The study of `overlay` as a configuration."""
    return load(overlay(datasets=list(datasets) or ["pets"], **changes))
