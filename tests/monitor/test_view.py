"""crepe.monitor.view: a board on wide and narrow, UTF-8 and ASCII terminals."""

import io
import os
import pty
import sys

import pytest
from rich.console import Console

from crepe.monitor.board import Board, Standing, State
from crepe.monitor.view import View, console, is_live, plain
from tests.support.study import project, small
from tests.support.terminal import CLEARED, Terminal, lines

RUNS = {
    ("pets", "bow"): Standing(State.DONE, error=8.731),
    ("pets", "conv-small"): Standing(State.RUNNING, "3/30 1,234/s", 15.2),
    ("ag_news", "bow"): Standing(State.FAILED, "the loss is nan"),
    ("ag_news", "conv-small"): Standing(State.WAITING),
    ("ag_news-part", "bow"): Standing(State.STOPPED, "in epoch 2 of 30", 20.0),
    ("ag_news-part", "conv-small"): Standing(State.WAITING, "trained"),
}
STEPS = {
    ("download", "pets"): Standing(State.DONE),
    ("download", "ag_news"): Standing(State.RUNNING),
    ("clean", "pets"): Standing(State.FAILED, "no"),
    ("table",): Standing(State.WAITING),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))


def board(runs=RUNS, steps=STEPS, **changes):
    runs = {(*place, seed): run for place, run in runs.items() for seed in changes.get("seeds", [0])}
    return Board(small("pets", "ag_news", "ag_news-part", **changes), steps, runs)


def shown(found, width=120, height=40, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    on = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    on.print(View(found))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_the_grid():
    text = shown(board())
    assert "Study small: 1 of 6 runs done, 1 running, 1 failed, 1 stopped, 2 waiting\n" in text
    assert "download  1 of 2, running: ag_news\n" in text
    assert "clean     0 of 1, failed: pets\n" in text
    assert "table     0 of 1\n" in text
    cells = [[cell.strip() for cell in line.strip("│\n").split("│")] for line in text.splitlines() if "│" in line]
    assert cells == [
        ["bow", "8.73", "failed", "stopped 20.00"],
        ["conv-small", "3/30 1,234/s 15.20", "waiting", "trained"],
    ]


def test_ascii_only():
    found = board(seeds=[0, 1], runs=RUNS | {("pets", "bow"): Standing(State.DONE, error=8.0)})
    assert "8.00 ± 0.00 (2)" in shown(found)
    text = shown(found, encoding="ascii")
    assert text.isascii()
    assert "?" not in text
    assert "8.00 +- 0.00 (2)" in text
    assert "| bow " in text


def test_several_seeds():
    found = board(seeds=[0, 1])
    found.runs["pets", "bow", 1] = Standing(State.DONE, error=9.731)
    found.runs["pets", "conv-small", 1] = Standing(State.WAITING)
    text = shown(found)
    assert "9.23 ± 0.71 (2)" in text
    assert "0: 3/30 1,234/s 15.20" in text
    assert "1: waiting" in text


@pytest.mark.parametrize(("width", "height"), [(60, 40), (20, 40), (120, 10), (1, 1)])
def test_where_the_grid_has_no_room_what_is_under_way_is_listed(width, height):
    text = shown(board(), width, height)
    assert "│" not in text
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= max(height, 5)
    if width == 60:
        assert text.splitlines()[-3:] == [
            "ag_news bow 0: failed the loss is nan",
            "pets conv-small 0: 3/30 1,234/s 15.20 %",
            "ag_news-part bow 0: stopped in epoch 2 of 30 20.00 %",
        ]


def test_titles_are_no_markup():
    found = board()
    datasets = found.config.catalog.datasets
    object.__setattr__(datasets["pets"], "title", "[bold]cats[/] | \u732b")
    assert "[bold]cats[/] | \u732b" in shown(found)
    assert "[bold]cats[/] | ?" in shown(found, encoding="ascii")


def test_many_steps_are_counted():
    steps = {("encode", "chars", f"d{number}"): Standing(State.RUNNING) for number in range(9)}
    assert "encode    0 of 9, running: chars d0, chars d1, chars d2 and 6 more\n" in shown(board(steps=steps))


def test_plain_lines_are_of_what_changed():
    first = board()
    assert list(plain(None, first)) == [
        "download pets: done",
        "download ag_news: running",
        "clean pets: failed, no",
        "pets bow 0: done 8.73 %",
        "pets conv-small 0: running 3/30 1,234/s 15.20 %",
        "ag_news bow 0: failed the loss is nan",
        "ag_news-part bow 0: stopped in epoch 2 of 30 20.00 %",
    ]
    assert list(plain(first, board())) == []
    faster = board(RUNS | {("pets", "conv-small"): Standing(State.RUNNING, "3/30 9,999/s", 15.2)})
    assert list(plain(first, faster)) == []
    later = board(RUNS | {("pets", "conv-small"): Standing(State.RUNNING, "4/30 1,234/s", 14.1)})
    assert list(plain(first, later)) == ["pets conv-small 0: running 4/30 1,234/s 14.10 %"]


@pytest.mark.parametrize(
    ("variables", "encoding"),
    [
        ({"LANG": "en_US.UTF-8"}, "utf-8"),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "ascii"),  # As Python makes it of LANG=C.
        ({"LANG": "C.utf8"}, "utf-8"),
        ({"LANG": "C", "LC_ALL": "de_DE.utf8"}, "utf-8"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, "ascii"),
        ({"LANG": "de_DE.ISO-8859-1"}, "ascii"),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, "utf-8"),
        ({}, "ascii"),
    ],
)
def test_the_locale_says_what_a_terminal_takes(monkeypatch, variables, encoding):

    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        assert console(stream).encoding == encoding
    os.close(leader)


def test_a_file_is_as_wide_as_need_be_and_not_live(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        assert not is_live(stream)
        console(stream).print(View(board()))
    text = (tmp_path / "out").read_text(encoding="utf-8")
    assert "3/30 1,234/s 15.20" in text
    assert "\x1b" not in text


LIVE = """
import sys, time
from crepe.monitor.view import console, live
from tests.monitor.test_view import board
with live(board, console(sys.stdout)):
    print("above", file=sys.stderr, flush=True)
    sys.stdin.readline()
"""


def test_a_terminal_that_changes_its_size():
    command = [sys.executable, "-c", LIVE]
    with Terminal(command, 100, 30, PYTHONPATH=":".join(sys.path)) as terminal:
        terminal.until("trained")
        assert CLEARED not in terminal.text
        for columns, expected in ((45, "ag_news bow 0: failed"), (100, "trained"), (20, "ag_news-part bow 0")):
            before = len(terminal.raw)
            terminal.resize(columns, 30)
            terminal.until(CLEARED, before)
            drawn = terminal.raw.rindex(CLEARED.encode())
            terminal.until(expected, drawn)
            assert max(map(len, lines(terminal.raw[drawn:].decode(errors="ignore")))) <= columns
        terminal.type("\n")
        assert terminal.end() == 0
        # The cursor is back, and what the program printed stands above.
        assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")
        assert "above" in terminal.text


@pytest.mark.parametrize(("term", "live"), [("dumb", False), ("xterm", True)])
def test_a_terminal_that_cannot_move_its_cursor_is_not_live(term, live):
    code = "import sys; from crepe.monitor.view import is_live; print(is_live(sys.stdout))"
    with Terminal([sys.executable, "-c", code], TERM=term, PYTHONPATH=":".join(sys.path)) as terminal:
        assert terminal.end() == 0
        assert terminal.text.strip() == str(live)
