"""crepe.monitor.board: what a study's files say of it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crepe.io.files import write_text
from crepe.layout import PROGRESS
from crepe.monitor import board
from crepe.monitor.board import Standing, State, look
from crepe.training import heartbeat
from tests.support.study import project, small, write_run

BEAT = heartbeat.Heartbeat(epoch=2, epochs=30, speed=512.5, error=15.2)
RUN = Path("results/small/runs/pets/bow/0")
PLACE = ("pets", "bow", 0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def run(known=None):
    return look(small(), known).runs[PLACE]


def old(path):
    """As if it had been written long ago."""
    os.utime(path, (time.time() - 2 * board.FRESH,) * 2)


def test_nothing_is_there_yet():
    found = look(small("pets", "ag_news"))
    assert {standing.state for standing in [*found.steps.values(), *found.runs.values()]} == {State.WAITING}
    assert list(found.runs) == [(d, m, 0) for d in ("pets", "ag_news") for m in ("bow", "conv-small")]
    assert list(found.steps) == [
        ("download", "pets"),
        ("download", "ag_news"),
        ("clean", "pets"),
        ("clean", "ag_news"),
        ("encode", "words", "pets"),
        ("encode", "chars", "pets"),
        ("encode", "words", "ag_news"),
        ("encode", "chars", "ag_news"),
        ("table",),
        ("report",),
    ]
    assert not found.done


def test_steps_are_done_when_their_files_are_there():
    for path in ("data/raw/pets.tgz", "data/clean/pets/clean.json", "data/shards/words/pets/manifest.json"):
        write_text(path, "")
    write_text("results/small/table.csv", "")
    done = [key for key, step in look(small()).steps.items() if step.state == State.DONE]
    assert done == [("download", "pets"), ("clean", "pets"), ("encode", "words", "pets"), ("table",)]


def test_a_steps_log_says_that_it_is_under_way_or_has_failed():
    log = "logs/encode/words/pets.log"
    write_text(log, "pets: 20 of 100 (20 %)\n")
    key = ("encode", "words", "pets")
    assert look(small()).steps[key] == Standing(State.RUNNING)
    old(log)
    assert look(small()).steps[key] == Standing(State.WAITING)
    write_text(log, "pets: 20 of 100 (20 %)\ncrepe encode: data/clean/pets: is damaged\n")
    assert look(small()).steps[key] == Standing(State.FAILED, "data/clean/pets: is damaged")
    assert look(small(), {key: State.RUNNING}).steps[key] == Standing(State.RUNNING)


def test_what_a_workflow_knows_goes_first():
    known = {("clean", "pets"): State.RUNNING, ("demo_data",): State.FAILED, ("all",): State.RUNNING}
    found = look(small(), known).steps
    assert found["clean", "pets"].state == State.RUNNING
    assert found["demo_data",].state == State.FAILED
    assert ("all",) not in found


def test_a_run_from_its_start_to_its_end():
    assert run() == Standing(State.WAITING)
    assert run({("train", "pets", "bow", "0"): State.RUNNING}) == Standing(State.RUNNING, "starts")
    heartbeat.Writer(RUN).write(BEAT)
    assert run() == Standing(State.RUNNING, "2/30 512/s", 15.2)
    heartbeat.Writer(RUN).write(replace(BEAT, testing=True, error=None))
    assert run() == Standing(State.RUNNING, "2/30 test")
    heartbeat.remove(RUN)
    (write_run(small(), "pets", "bow") / "metrics.json").rename("metrics.json")
    assert run() == Standing(State.WAITING, "trained")
    assert run({("evaluate", "pets", "bow", "0"): State.RUNNING}) == Standing(State.RUNNING, "test")
    write_text("logs/small/evaluate/pets/bow/0.log", "")
    assert run() == Standing(State.RUNNING, "test")
    Path("metrics.json").rename(RUN / "metrics.json")
    assert run() == Standing(State.DONE, error=10.0)


def test_a_run_that_is_made_again_is_not_done():
    write_run(small(), "pets", "bow")
    heartbeat.Writer(RUN).write(BEAT)
    assert run().state == State.RUNNING
    heartbeat.remove(RUN)
    (RUN / "run.json").unlink()
    assert run().state == State.WAITING


def test_a_run_whose_process_is_gone_has_stopped():
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    heartbeat.Writer(RUN).write(BEAT)
    content = json.loads((RUN / PROGRESS).read_text())
    write_text(RUN / PROGRESS, json.dumps(content | {"process": int(gone.stdout)}))
    assert run() == Standing(State.STOPPED, "in epoch 2 of 30", 15.2)
    write_text("logs/small/train/pets/bow/0.log", "crepe train: interrupted\n")
    assert run().state == State.STOPPED
    write_text("logs/small/train/pets/bow/0.log", "crepe train: out of memory: take less\n")
    assert run() == Standing(State.FAILED, "out of memory: take less")
    assert run({("train", "pets", "bow", "0"): State.RUNNING}).state == State.RUNNING


def test_a_run_that_has_not_been_heard_of_for_long():
    heartbeat.Writer(RUN).write(BEAT)
    content = json.loads((RUN / PROGRESS).read_text())
    write_text(RUN / PROGRESS, json.dumps(content | {"time": time.time() - 600, "host": "elsewhere"}))
    assert run() == Standing(State.RUNNING, "2/30 512/s, silent for 10 min", 15.2)


def test_a_run_that_has_failed_says_why():
    heartbeat.Writer(RUN).write(replace(BEAT, fault="the loss is nan"))
    assert run() == Standing(State.FAILED, "the loss is nan")
    heartbeat.remove(RUN)
    write_text("logs/small/train/pets/bow/0.log", "crepe train: data/shards: is missing\n")
    assert run() == Standing(State.FAILED, "data/shards: is missing")
    assert run({("train", "pets", "bow", "0"): State.FAILED}) == Standing(State.FAILED, "data/shards: is missing")


def test_a_test_that_has_failed_says_why():
    (write_run(small(), "pets", "bow") / "metrics.json").unlink()
    write_text("logs/small/evaluate/pets/bow/0.log", "crepe evaluate: model: is no model\n")
    assert run() == Standing(State.FAILED, "model: is no model")


@pytest.mark.parametrize("content", ["{", "{}", '{"error_pct": null}', "[]"])
def test_figures_that_are_damaged(content):
    (write_run(small(), "pets", "bow") / "metrics.json").write_text(content)
    assert run().state == State.FAILED


def test_all_runs_done():
    for model in ("bow", "conv-small"):
        assert not look(small()).done
        write_run(small(), "pets", model)
    assert look(small()).done
