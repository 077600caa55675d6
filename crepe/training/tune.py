"""Compare settings of a training recipe on rows held out from the train set; test rows are never looked at.

    crepe tune ag_news bow --try learning_rate=0.1 --try learning_rate=0.3,weight_decay=0.001

Each trial trains the model from the start on the other train rows, by its recipe with the trial's settings, and counts
errors on the held-out rows. All trials, with their provenance, are recorded in
`results/STUDY/tuning/DATASET/MODEL.json`; put the best into the configuration by hand. Vocabularies and document
frequencies come from all train rows, the held-out ones included.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from crepe import layout
from crepe.config import LARGEST_SEED, Config, load
from crepe.config.recipe import Recipe
from crepe.data import shards
from crepe.errors import CrepeError
from crepe.io.files import digest, write_json
from crepe.models.device import PRECISIONS, choose_precision, enough_memory, own_device, set_up
from crepe.options import add_config, add_device, add_shards
from crepe.records import provenance
from crepe.records.quality import wilson
from crepe.training.augmentation import read_train
from crepe.training.loop import Training
from crepe.training.setup import prepare
from crepe.training.solvers import fit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of a dataset in the configuration")
    parser.add_argument("model", help="key of a model in the configuration")
    parser.add_argument(
        "--try",
        dest="trials",
        metavar="KEY=VALUE,...",
        action="append",
        required=True,
        help="settings of a trial, keys of the recipe; once for each trial",
    )
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the train rows (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the held-out rows and of every trial (default: 0)")
    add_config(parser)
    add_shards(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: results/STUDY/tuning/DATASET/MODEL.json")
    add_device(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    entry = config.model(options.model).model
    with own_device(options.device) as device:
        record = tune(
            config,
            options.dataset,
            options.model,
            [_settings(text) for text in options.trials],
            options.shards or layout.shards(entry.feature, options.dataset),
            options.held_out,
            options.seed,
            device,
        )
    write_json(options.output or layout.tuning(config.name, options.dataset, options.model), record)
    _print(record)


@enough_memory()
def tune(
    config: Config,
    dataset: str,
    model: str,
    trials: list[dict[str, Any]],
    folder: Path,
    held_out: float = 0.1,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Train `model` by its recipe with the settings of each trial, and test it on held-out train rows.

    Args:
        config: the configuration that has both keys.
        dataset: key of the dataset that the shards hold.
        model: key of the model.
        trials: settings of each trial, with keys of the recipe's kind.
        folder: shards of the model's feature.
        held_out: share of the train rows.
        seed: seed of the held-out rows and of every trial, from 0 to `LARGEST_SEED`.
        device: see `crepe.models.device.choose_device`.

    Returns:
        The record: what was tried on what, `error_pct`, interval and `loss` of each trial, and where it ran.

    Raises:
        CrepeError: as for `prepare`; a setting is unknown or wrong; nothing would be left of the rows; there is
            not enough memory.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise CrepeError(f"--seed {seed}", f"is not among 0 to {LARGEST_SEED}")
    code = provenance.code()
    place = set_up(device)
    start = prepare(config, dataset, model, seed, folder, place)
    recipe, manifest = start.recipe, start.manifest
    precision = choose_precision(place, network=start.model.network)
    recipes = [Recipe.parse(recipe.as_dict() | trial, "--try") for trial in trials]
    whole = read_train(folder, manifest, place)
    order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(len(whole))
    count = round(held_out * len(whole))
    if not 0 < count < len(whole):
        fault = f"{count} of {len(whole)} rows"
        raise CrepeError(f"--held-out {held_out}", fault, "some must be held out and some be left")
    train, test = whole.part(np.sort(order[count:])), whole.part(np.sort(order[:count]))
    if len(np.unique(train.labels)) < len(manifest.classes):
        raise CrepeError(f"--held-out {held_out}", "leaves a class without rows", "hold fewer out")
    outcomes = []
    for trial, tried in zip(trials, recipes, strict=True):
        run = Training(
            title=" ".join([model, *(f"{key}={value}" for key, value in trial.items())]),
            network=prepare(config, dataset, model, seed, folder, place).model.network,
            dtype=PRECISIONS[precision],
            recipe=tried,
            seed=seed,
            train=train,
            test=test,
            classes=len(manifest.classes),
        )
        with tempfile.TemporaryDirectory() as temporary:
            fit(run, Path(temporary), identity="trial")
        last = run.history[-1]
        errors = round(last["test_error_pct"] * count / 100)
        low, high = (100 * end for end in wilson(errors, count))
        outcomes.append(
            {
                "settings": trial,
                "error_pct": last["test_error_pct"],
                "ci_low": round(low, 4),
                "ci_high": round(high, 4),
                "loss": last["test_loss"],
                "seconds": round(run.seconds, 1),
            }
        )
    return {
        "dataset": dataset,
        "model": model,
        "seed": seed,
        "rows": {"train": len(train), "held_out": count},
        "recipe": recipe.as_dict(),
        "trials": outcomes,
        "precision": precision,
        "data": {"manifest": digest(folder / shards.MANIFEST)},
        "code": code.as_dict(),
        "machine": provenance.machine(place).as_dict(),
    }


def _settings(text: str) -> dict[str, Any]:
    """Parse the settings of a trial, as `KEY=VALUE,...`."""
    settings = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not (key.strip() and separator and value.strip()):
            raise CrepeError(
                f"--try {text}", "write KEY=VALUE, with commas between, as learning_rate=0.1,weight_decay=0.001"
            )
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise CrepeError(f"--try {text}", f"{value!r} is not a value in YAML") from error
    return settings


def _print(record: dict[str, Any]) -> None:
    title = "{model} on {dataset}, {rows[held_out]:,} of its train rows held out".format(**record)
    table = Table("settings", "error %", "95 %", "loss", title=title, title_justify="left")
    for trial in sorted(record["trials"], key=lambda trial: (trial["error_pct"], trial["loss"])):
        settings = ", ".join(f"{key}={value}" for key, value in trial["settings"].items())
        interval = f"{trial['ci_low']:.2f} to {trial['ci_high']:.2f}"
        table.add_row(settings, f"{trial['error_pct']:.2f}", interval, f"{trial['loss']:.4f}")
    Console().print(table)
