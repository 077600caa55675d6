"""Commands end when the Snakemake that started them has been killed, and compute in the threads that it gives them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crepe.io import processes
from crepe.io.processes import PARENT, alive
from tests.support.shards import Tiny, overlay

pytestmark = pytest.mark.slow

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def training(tiny: Tiny, tmp_path: Path):
    """Start `crepe train` without an end, as the child of a process by that number; returns when it is at work."""
    started = []

    def start(parent: int) -> "subprocess.Popen[str]":
        config = overlay()
        config["training"]["convnet"] |= {"batches_per_epoch": 10**9}
        command = [sys.executable, "-m", "crepe", "train", "tiny", "conv-small", "--device", "cpu"]
        command += ["--config", json.dumps(config), "--shards", str(tiny.folder / "chars"), "--output", str(tmp_path)]
        environment = os.environ | {PARENT: str(parent)}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        while not (tmp_path / ".lock").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_keeps_a_checkpoint_and_ends_with_its_parent(training, tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP) as parent:
        job = training(parent.pid)
        parent.kill()
    _, said = job.communicate(timeout=120)
    assert job.returncode == -signal.SIGTERM
    assert "Snakemake has died; stopping" in said
    assert len(list(tmp_path.glob("checkpoint-*.safetensors"))) == 1


def test_a_parent_that_was_never_there_ends_nothing(training) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    job = training(gone.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(3)


def test_a_number_that_another_process_has_inherited_is_not_alive() -> None:
    assert alive(os.getpid())
    assert alive(os.getpid(), time.time())
    assert not alive(os.getpid(), time.time() - 10**6)


SHOWN = """
from crepe.cli import main
try:
    main(["--version"])
except SystemExit:
    pass
import os, polars
print(polars.thread_pool_size(), os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OMP_NUM_THREADS": "1"}, f"1 {processes.SPINS}"),
        ({"OMP_NUM_THREADS": "3"}, f"3 {processes.SPINS}"),
        ({"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2", "GOMP_SPINCOUNT": "7"}, "2 7"),
        ({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "ACTIVE"}, "1 None"),
    ],
)
def test_a_command_computes_in_the_threads_that_it_is_given(given: dict[str, str], expected: str) -> None:
    unset = {"OMP_NUM_THREADS", "POLARS_MAX_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | given
    done = subprocess.run([sys.executable, "-c", SHOWN], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == expected


def test_threads_are_those_given_or_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert processes.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5}, raising=False)
    assert processes.threads() == 2
