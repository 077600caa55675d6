"""crepe.records.metrics: written and read by the same class; see tests/results/test_grid.py for contradictions."""

from pathlib import Path

import pytest

from crepe.errors import CrepeError
from crepe.records.metrics import Metrics
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
    METRICS.write(tmp_path)
    assert Metrics.read(tmp_path, record()) == METRICS


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
