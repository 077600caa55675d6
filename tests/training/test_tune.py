"""`crepe tune` on tiny shards: what it records, and that it cannot have seen a test row."""

import json
import shutil
from pathlib import Path

import pytest

from crepe.cli import main
from crepe.errors import CrepeError
from crepe.training.tune import tune
from tests.support.shards import Tiny, overlay

pytestmark = pytest.mark.slow


@pytest.fixture
def without_test(tiny: Tiny, tmp_path: Path) -> Path:
    """The tiny shards of words, their test rows taken away."""
    folder = tmp_path / "words"
    shutil.copytree(tiny.folder / "words", folder)
    for path in folder.glob("test-*"):
        path.unlink()
    return folder


def test_trials_differ_in_what_is_tried_alone(tiny: Tiny, without_test: Path) -> None:
    trials = [{"learning_rate": 1e-9}, {"learning_rate": 0.1}, {"learning_rate": 0.1}]
    record = tune(tiny.config, "tiny", "bow", trials, without_test, 0.25, device="cpu")
    assert record["rows"] == {"train": 90, "held_out": 30}
    assert [trial["settings"] for trial in record["trials"]] == trials
    nothing, good, again = record["trials"]
    assert good["loss"] < nothing["loss"]
    assert good["ci_low"] < good["error_pct"] < good["ci_high"] or good["error_pct"] == 0
    assert {**good, "seconds": 0} == {**again, "seconds": 0}
    assert record["code"]["digest"]


def test_command_records_and_prints(
    tiny: Tiny, without_test: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "tune",
        "tiny",
        "bow",
        "--try",
        "learning_rate=0.1,weight_decay=0",
        "--try",
        "learning_rate=0.2",
        "--shards",
        str(without_test),
    ]
    output = tmp_path / "record.json"
    assert main([*words, "--config", json.dumps(overlay()), "--output", str(output), "--device", "cpu"]) == 0
    record = json.loads(output.read_text())
    assert [trial["settings"] for trial in record["trials"]] == [
        {"learning_rate": 0.1, "weight_decay": 0},
        {"learning_rate": 0.2},
    ]
    assert "learning_rate=0.1, weight_decay=0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ("learning_rate", "write KEY=VALUE"),
        ("learning_rate=", "write KEY=VALUE"),
        ("speed=3", "--try.speed: unknown key"),
        ("learning_rate=fast", "--try.learning_rate: expected float"),
        ("learning_rate=-1", "--try.learning_rate: must be more than 0"),
    ],
)
def test_wrong_settings(tiny: Tiny, trial: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", "tiny", "bow", "--try", trial, "--shards", str(tiny.folder / "words")]
    assert main([*words, "--config", json.dumps(overlay())]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("share", [0.0, 1.0, 0.99])
def test_some_rows_must_be_held_out_and_some_be_left(tiny: Tiny, share: float) -> None:
    with pytest.raises(CrepeError, match="--held-out"):
        tune(tiny.config, "tiny", "bow", [{}], tiny.folder / "words", share, device="cpu")
