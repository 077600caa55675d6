"""crepe.records.metrics: written and read by the same class; see tests/results/test_grid.py for contradictions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crepe.errors import CrepeError
from crepe.io.files import write_json
from crepe.records.metrics import Metrics
from crepe.records.quality import of_confusion
from tests.support.records import record

METRICS = Metrics(
    rows=100,
    errors=10,
    error_pct=10.0,
    ci_low=5.0,
    ci_high=17.0,
    loss=0.5,
    confusion=[[40, 10, 0], [0, 30, 0], [0, 0, 20]],
    sha256={"model.safetensors": "e" * 64},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    whole = METRICS.with_quality(of_confusion(np.array(METRICS.confusion)))
    whole.write(tmp_path)
    assert Metrics.read(tmp_path, record()) == whole


def test_the_metrics_of_an_earlier_version_are_filled_in(tmp_path: Path) -> None:
    """What the confusion matrix determines; the rest stays unknown."""
    content = {key: value for key, value in METRICS.as_dict().items() if value is not None}
    assert list(content) == ["rows", "errors", "error_pct", "ci_low", "ci_high", "loss", "confusion", "sha256"]
    write_json(tmp_path / "metrics.json", content)
    found = Metrics.read(tmp_path, record())
    assert found == METRICS.with_quality(of_confusion(np.array(METRICS.confusion)))
    assert found.macro_f1.value == pytest.approx((80 / 90 + 60 / 70 + 1) / 3)
    assert not any((found.log_loss, found.brier, found.calibration_error, found.reliability))


@pytest.mark.parametrize(
    ("key", "change", "fault"),
    [
        ("macro_f1", {"value": 0.9}, "macro_f1: is not 0.915344, which follows from confusion"),
        ("matthews", None, "matthews: is not"),
        ("balanced_accuracy", {"low": 0.99}, "balanced_accuracy: 0.99 to .* does not hold its value"),
        ("by_class", [], ""),
        ("by_class", [{"support": 100, "precision": None, "recall": None, "f1": None}], "by_class: has not the rows"),
        ("brier", {"value": 2.0, "low": 0.0, "high": 1.0}, "brier: 0.0 to 1.0 does not hold its value"),
        ("reliability", [], "reliability: does not add up"),
        ("log_loss", {"value": 2.0}, "log_loss.low: is missing"),
    ],
)
def test_metrics_that_contradict_the_confusion(tmp_path: Path, key: str, change: Any, fault: str) -> None:
    content = METRICS.with_quality(of_confusion(np.array(METRICS.confusion))).as_dict()
    content[key] = content[key] | change if isinstance(content[key], dict) and change else change
    write_json(tmp_path / "metrics.json", content)
    if not fault:
        assert Metrics.read(tmp_path, record()).by_class
        return
    with pytest.raises(CrepeError, match=f"metrics.json: {fault}.*; delete it and run `crepe evaluate` again"):
        Metrics.read(tmp_path, record())


def test_classes_are_uneven_from_twice_as_many_rows_on() -> None:
    assert METRICS.uneven
    assert not replace(METRICS, confusion=[[15, 4, 0], [0, 10, 0], [0, 0, 10]]).uneven
    assert replace(METRICS, confusion=[[15, 5, 0], [0, 10, 0], [0, 0, 10]]).uneven


def test_guess_names_the_largest_class() -> None:
    assert METRICS.guess == 50.0


def test_metrics_of_another_run(tmp_path: Path) -> None:
    METRICS.write(tmp_path)
    for other in (
        record(rows={"train": 1, "test": 99}),
        record(classes=["a"]),
        record(sha256={"history.csv": "", "model.safetensors": "0"}),
    ):
        with pytest.raises(CrepeError, match=r"metrics.json: .*; delete it and run `crepe evaluate` again"):
            Metrics.read(tmp_path, other)
