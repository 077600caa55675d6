"""Test a trained model on every test row, and write what it says of each and what that comes to.

crepe evaluate results/paper/runs/ag_news/conv-small/0
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.data import shards
from crepe.errors import CrepeError
from crepe.evaluation import metrics as scores
from crepe.io.files import alone, check, digest, read_json, replacing, write_json
from crepe.models import saved
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, be_exact, choose_device, enough_memory, keep_memory, own_device
from crepe.records import predictions


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained run")
    parser.add_argument("--shards", metavar="DIR", required=True, help="the shards it was trained on")
    parser.add_argument(
        "--device", default="auto", help="cuda, cuda:1, mps or cpu; default: a free GPU if there are any"
    )


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    with own_device(options.device) as device:
        evaluate(Path(options.run), Path(options.shards), device)


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
    be_exact()
    keep_memory()
    place = choose_device(device)
    again = "run `crepe train` again"
    facts = read_json(run / "run.json", again)
    try:
        trained_on, dtype = facts["data"]["manifest"], PRECISIONS[facts["precision"]]
        weights = facts["sha256"][saved.FILE]
    except (KeyError, TypeError) as error:
        raise CrepeError(f"{run}/run.json: is no record of a training ({error!r}); {again}") from error
    if digest(folder / shards.MANIFEST) != trained_on:
        raise CrepeError(f"{folder}: is not the data that {run} was trained on; give --shards that, or train again")
    test = Split(shards.read(folder, "test"), place)
    model = saved.load(run, place)
    check(run / saved.FILE, weights, "run.json", again)
    found = scores.predict(model.network, test, dtype)
    predicted = found.classes
    errors, rows = int((predicted != test.labels).sum()), len(test)
    low, high = scores.wilson(errors, rows)
    table = pa.table(
        {
            "label": pa.array(test.labels, pa.int32()),
            "predicted": pa.array(predicted, pa.int32()),
            "probability": pa.array(found.probabilities[np.arange(rows), predicted], pa.float32()),
            "loss": pa.array(found.losses, pa.float32()),
        }
    )
    metrics = {
        "rows": rows,
        "errors": errors,
        "error_pct": round(100 * errors / rows, 4),
        "ci_low": round(low, 4),
        "ci_high": round(high, 4),
        "loss": round(float(found.losses.mean()), 6),
        "confusion": scores.confusion(test.labels, predicted, len(model.classes)).tolist(),
    }
    with alone(run):
        # Taken away first and written last, so that figures never stand beside the predictions of another model.
        (run / "metrics.json").unlink(missing_ok=True)
        with replacing(run / predictions.FILE) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        metrics["sha256"] = {saved.FILE: weights, predictions.FILE: digest(run / predictions.FILE)}
        write_json(run / "metrics.json", metrics)
