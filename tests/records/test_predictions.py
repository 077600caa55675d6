"""crepe.records.predictions: read as they were written, or refused with the file and what makes it again."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crepe.errors import CrepeError
from crepe.io.files import digest
from crepe.layout import PREDICTIONS
from crepe.records import predictions
from crepe.records.metrics import Metrics
from tests.support.records import record

RECORD = record()
LABELS, PREDICTED = [0, 1, 2, 2], [0, 2, 2, 2]


def write(folder, label=LABELS, predicted=PREDICTED, **others):
    """Predictions, and the metrics that vouch for them."""
    columns = {"label": pa.array(label, pa.int32()), "predicted": pa.array(predicted, pa.int32())}
    columns |= {"probability": pa.array([0.5] * len(label), pa.float32())} | others
    pq.write_table(
        pa.table({name: column for name, column in columns.items() if column is not None}), folder / PREDICTIONS
    )
    digests = {PREDICTIONS: digest(folder / PREDICTIONS)}
    return Metrics(rows=4, errors=1, error_pct=25.0, ci_low=0.0, ci_high=50.0, loss=1.0, confusion=[], sha256=digests)


def test_read(tmp_path):
    found = predictions.read(tmp_path, RECORD, write(tmp_path))
    assert [column.dtype for column in found.values()] == [np.int32, np.int32, np.float32]
    assert (found["label"].tolist(), found["predicted"].tolist()) == (LABELS, PREDICTED)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"label": LABELS[:3], "predicted": PREDICTED[:3]}, "has 1 errors in 3 rows, metrics.json beside it 1 in 4"),
        ({"predicted": LABELS}, "has 0 errors in 4 rows, metrics.json beside it 1 in 4"),
        ({"predicted": [0, 3, 2, 2]}, "has a class that run.json beside it does not"),
        ({"predicted": [0, -1, 2, 2]}, "has a class that run.json beside it does not"),
        ({"probability": None}, "is no table of predictions"),
        ({"label": LABELS, "probability": pa.array(list("abcd"))}, "is no table of predictions"),
    ],
)
def test_what_contradicts_the_records_is_refused(tmp_path, changes, fault):
    metrics = write(tmp_path, **changes)
    with pytest.raises(CrepeError, match=rf"predictions.parquet: {fault}.*; run `crepe evaluate {tmp_path}` again"):
        predictions.read(tmp_path, RECORD, metrics)


def test_what_is_no_table_is_named(tmp_path):
    metrics, path = write(tmp_path), tmp_path / PREDICTIONS
    path.write_bytes(b"PAR1")
    with pytest.raises(CrepeError, match=r"predictions.parquet: is damaged"):
        predictions.read(tmp_path, RECORD, metrics)
    metrics.sha256[PREDICTIONS] = digest(path)
    with pytest.raises(CrepeError, match=r"predictions.parquet: is no table of predictions"):
        predictions.read(tmp_path, RECORD, metrics)
    path.unlink()
    with pytest.raises(CrepeError, match=r"predictions.parquet: is missing"):
        predictions.read(tmp_path, RECORD, metrics)
