"""docs/extending.md does what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import tiny
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/extending.md").read_text()
SHALLOW, AVERAGED = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S))
(NETWORK,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
(KIND,) = re.findall(r'^    ("average": .*,)$', PAGE, flags=re.M)

PARITY = """
import sys
import numpy as np, onnxruntime, torch
import crepe
from crepe.inference.classifier import Classifier
texts = ["", "quux", "cats purr and meow", "dogs bark " * 40]
model = crepe.load(sys.argv[1], "cpu").model
classifier, read = Classifier(model, torch.device("cpu"), torch.float32), model.feature.reader(model.vocabulary)
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
for text in texts:
    codes = read(text)[None].astype(np.int64)
    (found,) = session.run(None, {"codes": codes})
    np.testing.assert_allclose(found, classifier.probabilities([text]), atol=1e-5)
"""


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_the_example_passes_the_linter_as_it_is(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "--stdin-filename", "crepe/models/average.py", "-"],
        cwd=ROOT,
        input=NETWORK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def ran(tmp_path: Path, study: dict[str, Any], prepare: Any = lambda folder: None) -> Path:
    """Run a study of the page on a small dataset; returns the project's folder."""
    folder = tiny.project(tmp_path)
    prepare(folder)
    short = {"epochs": 2, "batches_per_epoch": 20, "batch_size": 16, "learning_rate": 0.1}
    tiny.write(folder / "mine.yaml", study | {"datasets": ["toys"], "training": {"convnet": short}})
    tiny.run(folder, "snakemake", "--cores", "1", "--resources", "gpu=1", "all", "--configfile", "mine.yaml")
    (model,) = study["catalog"]["models"]
    table = (folder / f"results/{study['name']}/table.csv").read_text()
    assert re.search(rf"^toys,{model},0,[\d.]+,", table, flags=re.M)
    return folder


def test_a_row_of_other_layers_gets_its_place_in_the_table(tmp_path: Path) -> None:
    SHALLOW["catalog"]["networks"]["convnet-shallow"].update(channels=8, fc=[16])
    ran(tmp_path, SHALLOW)


def test_a_new_kind_of_network_goes_all_the_way(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        (folder / "crepe/models/average.py").write_text(NETWORK)
        path = folder / "crepe/models/__init__.py"
        before, brace, after = path.read_text().partition("= {\n")
        path.write_text(f"{before}{brace}        {KIND}\n{after}")

    folder = ran(tmp_path, AVERAGED, prepare)
    run = "results/averaged/runs/toys/average/0"
    assert json.loads((folder / run / "run.json").read_text())["network"]["power"] == 0.5
    tiny.run(folder, "crepe", "export", run, "--to", "exported")
    done = subprocess.run(
        [sys.executable, "-c", PARITY, "exported"],
        cwd=folder,
        env=tiny.environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
