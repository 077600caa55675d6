"""Train a model on shards by the paper's protocol; writes the model, its history and its provenance.

    crepe train ag_news conv-small --seed 0

An interrupted run (SIGINT, SIGTERM, a crash) continues from its last checkpoint when you give the command again, and
ends with the same bytes as if it had never stopped. Results of an earlier run in the folder are removed first, and
`run.json` is written last: a run that has it is complete.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from crepe import __version__, layout
from crepe.config import LARGEST_SEED, Config, load
from crepe.data import shards
from crepe.errors import CrepeError
from crepe.io.files import alone, digest
from crepe.layout import HISTORY, METRICS, MODEL, PREDICTIONS, RECORD
from crepe.models import saved
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, choose_precision, enough_memory, own_device, set_up
from crepe.options import add_config, add_device, add_precision, add_shards
from crepe.records import provenance
from crepe.records.history import History
from crepe.records.run import Data, Rows, RunRecord
from crepe.training import checkpoints, heartbeat, snapshots
from crepe.training.augmentation import read_train
from crepe.training.loop import Training
from crepe.training.setup import prepare
from crepe.training.solvers import fit

RESULTS = (RECORD, METRICS, PREDICTIONS, HISTORY, MODEL)
"""Files of a finished run, those of `crepe evaluate` included."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of a dataset in the configuration")
    parser.add_argument("model", help="key of a model in the configuration")
    parser.add_argument("--seed", type=int, default=0, help="seed of start parameters, draws and dropout (default: 0)")
    add_config(parser)
    add_shards(parser)
    parser.add_argument(
        "--vectors", type=Path, metavar="FILE", help="default: data/vectors/VECTORS/FEATURE/DATASET.safetensors"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: results/STUDY/runs/DATASET/MODEL/SEED")
    add_device(parser)
    add_precision(parser)
    parser.add_argument(
        "--steps", type=int, metavar="N", help="end after N batches, or iterations of cg, whatever the recipe says"
    )


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    model = config.model(options.model).model
    run = layout.run(config.name, options.dataset, options.model, options.seed)
    with own_device(options.device) as device:
        train(
            config,
            options.dataset,
            options.model,
            options.seed,
            options.shards or layout.shards(model.feature, options.dataset),
            options.output or run,
            device,
            options.precision,
            options.steps,
            options.vectors,
        )


@enough_memory()
def train(
    config: Config,
    dataset: str,
    model: str,
    seed: int,
    folder: Path,
    output: Path,
    device: str = "auto",
    precision: str = "auto",
    steps: int | None = None,
    vectors: Path | None = None,
) -> None:
    """Train `model` on the shards in `folder`; writes model.safetensors, history.csv and run.json to `output`.

    The first layer of a ConvNet over characters is kept after each epoch (`crepe.training.snapshots`).

    Args:
        config: the configuration that has both keys.
        dataset: key of the dataset that the shards hold.
        model: key of the model.
        seed: seed of start parameters, draws and dropout, from 0 to `LARGEST_SEED`.
        folder: shards of the model's feature.
        output: the run's folder.
        device: see `crepe.models.device.choose_device`.
        precision: see `crepe.models.device.choose_precision`.
        steps: batches, or iterations of cg, to end after; None follows the recipe to its end.
        vectors: see `prepare`.

    Raises:
        CrepeError: shards are missing, damaged or of another dataset or feature; a key is unknown; the loss is no
            longer a finite number; there is not enough memory.
    """
    # First, since the files may change while they run.
    code = provenance.code()
    place = set_up(device)
    if not 0 <= seed <= LARGEST_SEED:
        raise CrepeError(f"--seed {seed}", f"is not among 0 to {LARGEST_SEED}")
    if steps is not None and steps < 1:
        raise CrepeError(f"--steps {steps}", "must be 1 or more")
    start = prepare(config, dataset, model, seed, folder, place, vectors)
    manifest, recipe = start.manifest, start.recipe
    precision = choose_precision(place, precision, start.model.network)
    run = Training(
        title=f"{model} on {dataset}",
        network=start.model.network,
        dtype=PRECISIONS[precision],
        recipe=recipe,
        seed=seed,
        train=read_train(folder, manifest, place),
        test=Split(shards.read(folder, "test", manifest), place),
        classes=len(manifest.classes),
    )
    settings: dict[str, Any] = {
        "feature": start.model.feature.as_dict(),
        "network": start.model.settings.as_dict(),
        "vectors": start.vectors,
        "vectors_origin": start.vectors_origin,
        "precision": precision,
    }
    data = Data(
        archive=manifest.archive,
        clean=manifest.clean,
        manifest=digest(folder / shards.MANIFEST),
        thesaurus=manifest.thesaurus,
    )
    described = settings | {"training": recipe.as_dict(), "data": data.as_dict()}
    identity = json.dumps([dataset, model, seed, place.type, __version__, described], sort_keys=True)

    def show(epoch: int) -> None:
        layer = run.network.first_layer if start.model.feature.characters else None
        if layer is not None:
            snapshots.save(output, epoch, layer.cpu().numpy())

    with alone(output):
        for name in RESULTS:
            (output / name).unlink(missing_ok=True)
        fit(run, output, hashlib.sha256(identity.encode()).hexdigest(), steps, show)
        about = config.dataset(dataset)
        saved.save(output / MODEL, start.model)
        History.of(run.history).write(output)
        RunRecord(
            dataset=dataset,
            model=model,
            seed=seed,
            title=about.title,
            paper=about.paper,
            rows=Rows(train=manifest.rows["train"], test=manifest.rows["test"]),
            classes=manifest.classes,
            **settings,
            training=recipe,
            data=data,
            epochs=len(run.history),
            batches=run.done,
            complete=run.complete,
            code=code,
            machine=provenance.machine(place),
            seconds=round(run.seconds, 1),
            samples_per_second=round(recipe.samples_in(run.done, manifest.rows["train"]) / max(run.seconds, 1e-3), 1),
            sha256={name: digest(output / name) for name in (MODEL, HISTORY)},
        ).write(output)
        checkpoints.remove(output)
        heartbeat.remove(output)
