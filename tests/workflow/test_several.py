"""Several commands at once on one project: Snakemakes, DVC, and jobs on GPUs."""

import json
import time
from contextlib import contextmanager

import pytest

from crepe.io.locks import first_free
from tests.support import tiny

# Minutes, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LOCKED = "Directory cannot be locked. Please make sure that no other Snakemake process is trying to create the same"
CLEAN = "data/clean/toys/clean.json"


@pytest.fixture
def project(tmp_path):
    folder = tiny.project(tmp_path / "project", models=("bow",))
    tiny.run(folder, "git", "init", "--quiet")
    return folder


@contextmanager
def begun(project, *command):
    """A command that is in the middle of its work, since another process has the lock of what it downloads.

    When the block ends it goes on, and has made all rightly.
    """
    lock = project / "data/raw/.toys.tgz.lock"
    lock.parent.mkdir(parents=True)
    with first_free([lock], ""):
        process = tiny.started(project, *command)
        log, deadline = project / "logs/download/toys.log", time.monotonic() + 300
        while not (log.exists() and "waiting for that" in log.read_text()):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        yield
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert (project / "data/raw/toys.tgz").read_bytes() == (project / "archives/toys.tgz").read_bytes()
    assert json.loads((project / CLEAN).read_text())["rows"] == tiny.ROWS


def test_beside_a_snakemake_another_and_dvc_are_refused(project):
    with begun(project, "snakemake", CLEAN):
        text = tiny.run(project, "snakemake", CLEAN, status=1)
        assert LOCKED in text
        assert "Traceback" not in text
        # What only looks is let in.
        assert tiny.run(project, "snakemake", "--dry-run", CLEAN)
        text = tiny.run(project, "dvc", "repro", status=255)
        assert LOCKED in text
        assert "failed to reproduce 'tiny'" in text
        assert "tiny:" not in (project / "dvc.lock").read_text()
    tiny.run(project, "dvc", "repro")
    assert "tiny:" in (project / "dvc.lock").read_text()


def test_beside_dvc_a_snakemake_is_refused(project):
    with begun(project, "dvc", "repro"):
        assert LOCKED in tiny.run(project, "snakemake", CLEAN, status=1)
    assert "tiny:" in (project / "dvc.lock").read_text()


TRAINING = """
import os, time
from pathlib import Path
from crepe.models.device import own_gpu

def arguments(parser):
    parser.add_argument("keys", nargs=2)
    for name in ("--seed", "--shards", "--output", "--config"):
        parser.add_argument(name)

def main(options):
    with own_gpu(["a", "b", "c", "d"]) as number:
        Path(f"on-{number}").write_text(os.environ["OMP_NUM_THREADS"])
        deadline = time.monotonic() + 300
        while len(list(Path().glob("on-*"))) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for name in ("model.safetensors", "history.csv", "run.json"):
        (Path(options.output) / name).touch()
"""


def test_four_trainings_run_at_once_on_four_gpus(project):
    """With the real rules; the trainings wait for each other, on stand-ins for GPUs."""
    (project / "crepe/training/train.py").write_text(TRAINING)
    records = [f"results/tiny/runs/toys/bow/{seed}/run.json" for seed in range(4)]
    command = ["snakemake", "--cores", "8", "--resources", "gpu=4", *records]
    tiny.run(project, *command, "--config", "seeds=[0, 1, 2, 3]")
    # The cores are divided among those that train on a CPU, as here.
    assert [path.read_text() for path in project.glob("on-*")] == ["2"] * 4
