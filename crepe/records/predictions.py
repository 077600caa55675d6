"""What a run made of each test row: predictions.parquet in its folder, as `crepe evaluate` writes it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crepe.errors import CrepeError
from crepe.io.files import check

FILE = "predictions.parquet"


def read(run: Path, record: dict[str, Any], metrics: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read a run's predictions, and hold them against its records.

    Args:
        run: the run's folder.
        record: its run.json, checked.
        metrics: its metrics.json, checked.

    Returns:
        `label` and `predicted`, int32 [rows], and `probability`, that of the predicted class, float32 [rows].

    Raises:
        CrepeError: the file is missing or damaged, or contradicts the records.
    """
    path, again = run / FILE, f"run `crepe evaluate {run}` again"
    check(path, metrics["sha256"].get(FILE), "metrics.json", again)
    kinds = {"label": np.int32, "predicted": np.int32, "probability": np.float32}
    try:
        table = pq.read_table(path, columns=list(kinds))
        columns = {name: table[name].to_numpy().astype(kind, casting="same_kind") for name, kind in kinds.items()}
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise CrepeError(f"{path}: is no table of predictions ({reason}); {again}") from error
    label, predicted = columns["label"], columns["predicted"]
    rows, errors = len(label), int((label != predicted).sum())
    if (rows, errors) != (metrics["rows"], metrics["errors"]):
        told = f"{metrics['errors']} in {metrics['rows']}"
        raise CrepeError(f"{path}: has {errors} errors in {rows} rows, metrics.json beside it {told}; {again}")
    classes = len(record["classes"])
    if not all(((named >= 0) & (named < classes)).all() for named in (label, predicted)):
        raise CrepeError(f"{path}: has a class that run.json beside it does not; {again}")
    return columns
