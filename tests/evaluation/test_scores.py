"""crepe scores: metrics of runs from their predictions, and what those of earlier versions do not tell."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from crepe.cli import main
from crepe.layout import PREDICTIONS
from tests.support.study import project, reseal, small, write_run

LABELS = np.repeat([0, 1, 2], [50, 30, 20]).astype(np.int32)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return write_run(small(), "pets", "bow", errors=10)


def test_a_run_of_an_earlier_version(run, capsys):
    predicted = LABELS.copy()
    predicted[:10] = 1
    table = {"label": LABELS, "predicted": predicted, "probability": np.full(100, 0.75, np.float32)}
    table["loss"] = np.full(100, 0.5, np.float32)
    pq.write_table(pa.table(table), run / PREDICTIONS)
    reseal(run)
    assert main(["scores", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[str(run)]
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(LABELS, predicted, average="macro"), abs=1e-12)
    assert found["log_loss"]["value"] == 0.5
    assert found["calibration_error"]["value"] == pytest.approx(0.15)
    assert found["brier"] is None
    assert main(["scores", str(run)]) == 0
    said = capsys.readouterr().out
    assert "macro-F1" in said
    assert "Not known: Brier score. `crepe evaluate` tests the run again" in said


def test_without_predictions_the_confusion_matrix_tells_some(run, capsys):
    assert main(["scores", str(run)]) == 0
    said = capsys.readouterr().out
    assert "dogs & <b>wolves</b>" in said
    assert "Not known: log loss, Brier score, calibration error." in said


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["scores", str(tmp_path)]) == 1
    assert "run.json: is missing" in capsys.readouterr().err
