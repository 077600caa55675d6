"""crepe.io.progress: plain lines in a file, a bar on a terminal."""

import os
import pty
import re
import subprocess
import sys
import time

import pytest

from crepe.io import progress
from crepe.io.progress import meter, quantity


@pytest.fixture(autouse=True)
def no_forced_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (0, "B", "0 B"),
        (999, "B", "999 B"),
        (1000, "B", "1.0 kB"),
        (11_784_419, "B", "11.8 MB"),
        (2_500_000_000, "B", "2.5 GB"),
        (1_234_567.8, "samples", "1,234,568 samples"),
    ],
)
def test_quantity(amount, unit, text):
    assert quantity(amount, unit) == text


def lines(capsys, total, unit="samples", start=0.0, notes=(None,)):
    """The plain lines of steps of a quarter of 200, each a little while after the last."""
    with meter("train", total, unit, start) as count:
        for note in notes:
            time.sleep(0.05)
            count.advance(50, note)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    first, second = lines(capsys, 200, notes=(None, "loss 1.5"))
    assert re.fullmatch(r"train: 50 samples of 200 samples \(25 %\), [\d,]+ samples/s, \d+ s left", first)
    assert re.fullmatch(r"train: 100 samples of 200 samples \(50 %\), [\d,]+ samples/s, \d+ s left, loss 1.5", second)


def test_a_note_stays_until_the_next(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    assert [line.rpartition(", ")[2] for line in lines(capsys, None, notes=("a", None, "b"))] == ["a", "a", "b"]


def test_speed_is_that_since_the_start(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    (line,) = lines(capsys, 10**9, "B", start=500_000_000)
    done, speed = re.fullmatch(r"train: (.+) of 1.0 GB \(50 %\), (\d+) B/s, \d+ s left", line).groups()
    assert done == "500.0 MB"
    assert int(speed) <= 1000


def test_total_may_be_unknown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    (line,) = lines(capsys, None)
    assert re.fullmatch(r"train: 50 samples, [\d,]+ samples/s", line)


def test_plain_lines_come_now_and_then(capsys):
    assert lines(capsys, 200) == []


def on_terminal(code: str) -> str:
    """What a program writes to a terminal of 100 columns."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=follower, env=environment)
    os.close(follower)
    said = b""
    try:
        while piece := os.read(leader, 65536):
            said += piece
    except OSError:  # Linux says so at the end
        pass
    os.close(leader)
    assert process.wait(60) == 0
    return said.decode()


def test_bar_on_a_terminal():
    said = on_terminal(
        "from crepe.io.progress import meter\n"
        "with meter('x from here', 4e6, 'B', 1e6) as count:\n"
        "    count.advance(1e6, 'half')\n"
        "    count.advance(2e6, 'loss 1.5')\n"
    )
    assert re.search(r"x from here .* 4\.0 MB of 4\.0 MB, \d+\.\d [MG]B/s .* loss 1\.5", said)


def test_bar_without_a_total():
    said = on_terminal(
        "from crepe.io.progress import meter\nwith meter('x', None, 'rows') as count: count.advance(1234)"
    )
    assert re.search(r"x .* 1,234 rows, [\d,]+ rows/s", said)
