"""Test a trained model on the test split: predictions.parquet has a line a row, metrics.json the results.

crepe evaluate results/paper/runs/ag_news/conv-small/0 --shards data/shards/chars/ag_news
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.data import shards
from crepe.errors import CrepeError
from crepe.evaluation.prediction import predict
from crepe.io.files import alone, check, digest, replacing
from crepe.layout import MANIFEST, METRICS, MODEL, PREDICTIONS, RECORD
from crepe.models import saved
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, enough_memory, own_device, set_up
from crepe.options import add_device, add_shards
from crepe.records import predictions
from crepe.records.metrics import Metrics
from crepe.records.quality import brier, confusion, wilson
from crepe.records.run import RunRecord


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a trained run")
    add_shards(parser, required=True)
    add_device(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    with own_device(options.device) as device:
        evaluate(options.run, options.shards, device)


@enough_memory("take another --device, or end what else runs on the device")
def evaluate(run: Path, folder: Path, device: str = "auto") -> None:
    """Test the model of `run` on the test split in `folder`; writes predictions.parquet and metrics.json to `run`.

    Args:
        run: the run's folder.
        folder: shards that the run was trained on.
        device: see `choose_device`.

    Raises:
        CrepeError: a file is missing or damaged, or the shards are not those of the run; there is not enough memory.
    """
    place = set_up(device)
    record = RunRecord.read(run)
    if digest(folder / MANIFEST) != record.data.manifest:
        raise CrepeError(folder, f"is not the data that {run} was trained on", "give --shards that, or train again")
    test = Split(shards.read(folder, "test"), place)
    model = saved.load(run, place)
    check(run / MODEL, record.sha256.get(MODEL), RECORD, "run `crepe train` again")
    found = predict(model.network, test, PRECISIONS[record.precision])
    predicted = found.classes
    errors, rows = int((predicted != test.labels).sum()), len(test)
    low, high = (100 * end for end in wilson(errors, rows))
    columns = {
        "label": test.labels.astype(np.int32),
        "predicted": predicted.astype(np.int32),
        "probability": found.probabilities[np.arange(rows), predicted],
        "loss": found.losses.astype(np.float32),
        # Not every class's probability, which 650,000 rows of 14 classes have no place for.
        "brier": brier(found.probabilities, test.labels).astype(np.float32),
    }
    # `pa.array` would import pandas, where there is one.
    arrays = {
        name: pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), rows, [None, pa.py_buffer(column)])
        for name, column in columns.items()
    }
    with alone(run):
        # Removed first and written last, so that metrics never stand beside the predictions of another model.
        (run / METRICS).unlink(missing_ok=True)
        with replacing(run / PREDICTIONS) as temporary:
            pq.write_table(pa.table(arrays), temporary, compression="zstd")
        metrics = Metrics(
            rows=rows,
            errors=errors,
            error_pct=round(100 * errors / rows, 4),
            ci_low=round(low, 4),
            ci_high=round(high, 4),
            loss=round(float(found.losses.mean()), 6),
            confusion=confusion(test.labels, predicted, len(model.classes)).tolist(),
            sha256={MODEL: record.sha256[MODEL], PREDICTIONS: digest(run / PREDICTIONS)},
        )
        # Of the columns as they are stored, so that `crepe scores` gives the same.
        metrics.with_quality(predictions.quality(columns, len(model.classes))).write(run)
