"""Predictions of a run for each test row: predictions.parquet in its folder, as `crepe evaluate` writes it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.files import check
from crepe.layout import METRICS, PREDICTIONS
from crepe.records.metrics import Metrics
from crepe.records.quality import Quality, confusion, of_predictions
from crepe.records.run import RunRecord

OPTIONAL = ("loss", "brier")
"""Columns that files of earlier versions may lack."""


def read(run: Path, record: RunRecord, metrics: Metrics) -> dict[str, np.ndarray]:
    """Read a run's predictions, and compare them with its records.

    Args:
        run: the run's folder.
        record: its run.json.
        metrics: its metrics.json.

    Returns:
        `label` and `predicted`, int32 [rows], and `probability`, that of the predicted class, float32 [rows]. Where
        the file has them: `loss`, -log p of the label, and `brier`, see `crepe.records.quality`, float32 [rows].

    Raises:
        CrepeError: the file is missing or damaged, or contradicts the records.
    """
    path, remedy = run / PREDICTIONS, f"run `crepe evaluate {run}` again"
    check(path, metrics.sha256.get(PREDICTIONS), METRICS, remedy)
    kinds = {"label": np.int32, "predicted": np.int32, "probability": np.float32}
    try:
        known = pq.read_schema(path).names
        kinds |= {name: np.float32 for name in OPTIONAL if name in known}
        table = pq.read_table(path, columns=list(kinds))
        columns = {name: table[name].to_numpy().astype(kind, casting="same_kind") for name, kind in kinds.items()}
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise CrepeError(path, f"is no table of predictions ({reason})", remedy) from error
    label, predicted = columns["label"], columns["predicted"]
    rows, errors = len(label), int((label != predicted).sum())
    if (rows, errors) != (metrics.rows, metrics.errors):
        fault = f"has {errors} errors in {rows} rows, metrics.json beside it {metrics.errors} in {metrics.rows}"
        raise CrepeError(path, fault, remedy)
    classes = len(record.classes)
    if not all(((column >= 0) & (column < classes)).all() for column in (label, predicted)):
        raise CrepeError(path, "has a class that run.json beside it does not", remedy)
    return columns


def quality(columns: dict[str, np.ndarray], classes: int) -> Quality:
    """Compute every metric that predictions determine; those that need a column that is not there are None.

    Args:
        columns: see `read`.
        classes: number of classes.
    """
    label, predicted = columns["label"], columns["predicted"]
    return of_predictions(
        confusion(label.astype(np.int64), predicted, classes),
        label == predicted,
        columns["probability"],
        columns.get("loss"),
        columns.get("brier"),
    )
