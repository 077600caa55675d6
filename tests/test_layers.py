"""What is imported where: a machine that trains, tests and predicts has neither polars nor Snakemake nor DVC."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.shards import Tiny, overlay

PROGRAM = """
import json, sys
for name in ("polars", "snakemake", "dvc"):
    sys.modules[name] = None  # Importing it raises ImportError.
from crepe.cli import main
for command in json.loads(sys.argv[1]):
    if main(command):
        sys.exit(1)
"""


@pytest.mark.parametrize(("model", "feature"), [("conv-small", "chars"), ("bow-tfidf", "words")])
def test_training_evaluation_and_prediction_need_no_workflow(
    tiny: Tiny, tmp_path: Path, model: str, feature: str
) -> None:
    shards = ["--shards", str(tiny.folder / feature), "--device", "cpu"]
    commands = [
        ["train", "tiny", model, "--config", json.dumps(overlay()), "--output", str(tmp_path), *shards],
        ["evaluate", str(tmp_path), *shards],
        ["predict", str(tmp_path), "w01 w02 w39", "--device", "cpu"],
    ]
    done = subprocess.run([sys.executable, "-c", PROGRAM, json.dumps(commands)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\t")[0] in ("low", "high")


def test_a_configuration_is_read_without_slow_imports() -> None:
    program = "import sys; from crepe.config import load; load(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "polars", "pyarrow", "pandas", "rich", "snakemake"} & set(done.stdout.split())
