"""A project folder with the repository's configuration, and runs in it as training and evaluation write them."""

import json
import shutil
from pathlib import Path

from crepe.config import load
from crepe.io.files import digest, read_json, write_json, write_text
from tests.support.paths import ROOT
from tests.support.records import write_record

HISTORY = "epoch,batches,samples,learning_rate,train_loss,train_error_pct,test_loss,test_error_pct\n"


def project(folder):
    """Copy the configuration to `folder`."""
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


def overlay(**changes):
    """A small study as JSON text; `pets` is a dataset of its own, `ag_news-part` a part of one of the paper's."""
    entry = {"fields": 2, "classes": 3, "train_rows": 300, "test_rows": 100, "sources": [{"url": "x.tgz"}]}
    datasets = {
        "pets": {"title": "Pets", **entry},
        "ag_news-part": {"title": "AG's News, part", "paper": "ag_news", **entry},
    }
    study = {"name": "small", "models": ["bow", "conv-small"], "seeds": [0], "datasets": ["pets"]}
    return json.dumps(study | {"catalog": {"datasets": datasets}} | changes)


LINES = "".join(f"{n},{n},{n * 128},0.01,{1 / n},{60 / n},{1 / n + 0.1},{60 / n + 5}\n" for n in range(1, 11))


def write_run(config, dataset, model, seed=0, errors=10, history=HISTORY + LINES, **changes):
    """Write a run of 100 test rows in three classes, 50 of the largest; `changes` replace values of run.json.

    Returns the run's folder.
    """
    assert 0 <= errors <= 50
    about = config.dataset(dataset)
    *_, recipe = config.model(model)
    batches_per_epoch = recipe.batches_per_epoch or about.batches_per_epoch
    folder = Path("results") / config.name / "runs" / dataset / model / str(seed)
    digests = {"model.safetensors": "e" * 64}
    write_text(folder / "history.csv", history)
    digests["history.csv"] = digest(folder / "history.csv")
    own = {
        "dataset": dataset,
        "model": model,
        "seed": seed,
        "title": about.title,
        "paper": about.paper,
        "rows": {"train": about.train_rows, "test": 100},
        "training": recipe.as_dict() | {"batches_per_epoch": batches_per_epoch},
        "epochs": recipe.epochs,
        "batches": recipe.epochs * batches_per_epoch,
        "sha256": digests,
    }
    write_record(folder, **(own | changes))
    write_json(
        folder / "metrics.json",
        {
            "rows": 100,
            "errors": errors,
            "error_pct": float(errors),
            "ci_low": max(errors - 6.0, 0.0),
            "ci_high": errors + 7.0,
            "loss": 0.5,
            "confusion": [[50 - errors, errors, 0], [0, 30, 0], [0, 0, 20]],
            "sha256": {"model.safetensors": "e" * 64, "predictions.parquet": "f" * 64},
        },
    )
    return folder


def reseal(folder):
    """Have the records of a run speak of its files as they are now; returns the metrics."""
    for record, name in (("run.json", "history.csv"), ("metrics.json", "predictions.parquet")):
        content = read_json(folder / record, "")
        if (folder / name).exists():
            content["sha256"][name] = digest(folder / name)
        write_json(folder / record, content)
    return content


def small(*datasets, **changes):
    """The study of `overlay` as a configuration."""
    return load(overlay(datasets=list(datasets) or ["pets"], **changes))
