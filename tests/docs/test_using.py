"""docs/using-a-model.md does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.classifiers import CLASSES, write
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/using-a-model.md").read_text()
COMMANDS = re.findall(r"^    (.+)$", re.sub(r"```.*?```", "", PAGE, flags=re.S), flags=re.M)
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
SETTING, *PLAIN, SERVE, POST, HEALTH, METRICS = COMMANDS


def environment():
    tools = Path(sys.executable).parent
    return os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder where the page has its model, and what the commands printed there, but for those that need a server."""
    folder = tmp_path_factory.mktemp("using")
    write(folder / SETTING.partition("=")[2], "n-grams")
    script = "\n".join(["set -eux", SETTING, *PLAIN])
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_commands(place):
    folder, said = place
    assert len(PLAIN) == 8
    assert all(f"\t{text}" in said for text in ("Draw a histogram.", "Return a new tensor with the gradient detached."))
    assert '"text": "Solve an equation.", "class": ' in said
    table = pq.read_table(folder / "classes.parquet")
    assert table.column_names == ["id", "text", "class", "probability", *(f"p_{name}" for name in CLASSES)]
    assert (folder / "classes.csv").read_text().count("\n") == 3
    assert (folder / "exported/README.md").exists()


@pytest.mark.parametrize("program", PROGRAMS, ids=["load", "onnx"])
def test_programs(place, program):
    folder, _ = place
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in CLASSES)


def test_serving(place):
    folder, _ = place
    # But for the port, which another program may have.
    setting = f"{SETTING}; exec {SERVE} --port 0"
    with subprocess.Popen(
        ["bash", "-c", setting], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            url = server.stdout.readline().split()[0]
            predicted, health, metrics = (
                subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
                for command in (command.replace("http://127.0.0.1:8000/", url) for command in (POST, HEALTH, METRICS))
            )
        finally:
            server.terminate()
    assert '"class":' in predicted
    assert '"status":"ok"' in health
    assert "crepe_texts_total 1.0" in metrics
    assert server.returncode == 0
