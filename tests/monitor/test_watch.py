"""crepe watch: a study seen from outside, on a terminal and without one."""

import os
import subprocess
import sys

import pytest

from crepe.cli import main
from crepe.training import heartbeat
from tests.support.study import overlay, project, small, write_run
from tests.support.terminal import Terminal

BEAT = heartbeat.Heartbeat(epoch=2, epochs=30, speed=512.5, error=15.2)
COMMAND = [sys.executable, "-m", "crepe", "watch", "small"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A study of two runs, one of them done and one under way."""
    monkeypatch.chdir(project(tmp_path))
    (tmp_path / "config/small.yaml").write_text(overlay())
    write_run(small(), "pets", "bow")
    heartbeat.Writer(tmp_path / "results/small/runs/pets/conv-small/0").write(BEAT)
    return tmp_path


def finish(folder):
    write_run(small(), "pets", "conv-small", errors=8)
    heartbeat.remove(folder / "results/small/runs/pets/conv-small/0")


@pytest.mark.parametrize(
    "words",
    [
        ["small"],
        ["results/small"],
        ["results/small/"],
        ["config/small.yaml"],
        ["small", "--config", overlay()],
        ["--config", overlay()],
    ],
)
def test_once(words, capsys):
    assert main(["watch", *words, "--once"]) == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    assert said.startswith("Study small: 1 of 2 runs done, 1 running\n")
    assert "│ conv-small │ 2/30 512/s 15.20 │" in said
    assert "│ bow        │            10.00 │" in said


def test_the_papers_study_is_the_default(capsys):
    assert main(["watch", "--once"]) == 0
    assert capsys.readouterr().out.startswith("Study paper: 0 of 168 runs done, 168 waiting\n")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (
            ["nowhere"],
            "study 'nowhere': there is no config/nowhere.yaml; give its file by --config; config/ has config, ",
        ),
        (
            ["results/demo", "--config", "config/small.yaml"],
            "study 'demo': config/small.yaml is of small; give its file",
        ),
    ],
)
def test_a_study_that_is_not_there(words, fault, capsys):
    assert main(["watch", *words]) == 1
    assert capsys.readouterr().err.startswith(f"crepe watch: {fault}")


def test_without_a_terminal_it_says_what_changes_and_ends_when_all_is_done(folder):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, env=environment, text=True) as process:
        first = [process.stdout.readline() for _ in range(3)]
        assert first[0] == "Study small: 1 of 2 runs done, 1 running\n"
        assert first[1:] == ["pets bow 0: done 10.00 %\n", "pets conv-small 0: running 2/30 512/s 15.20 %\n"]
        finish(folder)
        assert process.stdout.read().splitlines()[-1] == "pets conv-small 0: done 8.00 %"
        assert process.wait(60) == 0


def test_on_a_terminal_it_ends_when_all_is_done(folder):
    with Terminal(COMMAND, PYTHONPATH=os.pathsep.join(sys.path)) as terminal:
        terminal.until("2/30 512/s 15.20")
        finish(folder)
        assert terminal.end() == 0
        last = terminal.text.rpartition("Study small")[2]
        assert "2 of 2 runs done" in last
        assert "8.00" in last
        assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


def test_on_a_terminal_ctrl_c_ends_it_well():
    with Terminal(COMMAND, LANG="C", PYTHONPATH=os.pathsep.join(sys.path)) as terminal:
        terminal.until("2/30 512/s 15.20")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert terminal.text.isascii()
        assert "| conv-small |" in terminal.text
        assert "Traceback" not in terminal.text
        assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")
