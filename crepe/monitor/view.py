"""Print a study's board: a line for each rule, then a grid of models by datasets; live on a terminal.

If the grid does not fit the terminal, the running, stopped and failed runs are listed instead. If the terminal's
encoding is not UTF-8, only ASCII is written.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from crepe.monitor.board import Board, Standing, State, summary

STYLES = {
    State.WAITING: "dim",
    State.RUNNING: "yellow",
    State.DONE: "green",
    State.FAILED: "bold red",
    State.STOPPED: "magenta",
}
SECONDS = 1.0
"""Time between two updates."""
NAMED = 3
"""Largest number of a rule's steps that are named."""


def console(stream: TextIO) -> Console:
    """Make a console on `stream` with the locale's encoding; on a file it never wraps lines.

    Python replaces the C locale by C.UTF-8, and sets LC_CTYPE to it.
    """
    told = os.environ.get("LC_CTYPE", "")
    locale = os.environ.get("LC_ALL") or ("" if told == "C.UTF-8" else told) or os.environ.get("LANG", "")
    if "utf8" not in locale.lower().replace("-", "") and stream.isatty():
        stream = os.fdopen(stream.fileno(), "w", encoding="ascii", errors="replace", closefd=False)
    return Console(file=stream, width=None if stream.isatty() else 1000, highlight=False)


def is_live(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose lines can be overwritten."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


class View:
    """A board that rich can print."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a heading, the steps, and the grid or, if it does not fit, a list of runs."""
        above = [heading(self._board), *self._steps()]
        yield from above
        room = console.height - len(above) - 2 if console.is_terminal else 10_000
        grid = self._grid(options.ascii_only)
        width = Measurement.get(console, options.update(max_width=10_000), grid).maximum
        if width <= options.max_width and self._height() <= room:
            yield grid
        else:
            yield from islice(self._list(), max(room, 1))

    def _steps(self) -> Iterator[Text]:
        for rule in dict.fromkeys(key[0] for key in self._board.steps):
            steps = {key[1:]: step for key, step in self._board.steps.items() if key[0] == rule}
            counts = Counter(step.state for step in steps.values())
            text = _line(f"{rule:10}")
            text.append(f"{counts[State.DONE]} of {len(steps)}", STYLES[State.DONE] if counts[State.DONE] else "dim")
            for state in (State.RUNNING, State.FAILED):
                names = [" ".join(keys) or rule for keys, step in steps.items() if step.state == state]
                if names:
                    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
                    text.append(", ").append(f"{state}: {', '.join(names[:NAMED])}{more}", STYLES[state])
            yield text

    def _grid(self, ascii_only: bool) -> Table:
        config = self._board.config
        table = Table()
        table.add_column("model", no_wrap=True, overflow="crop")
        for dataset in config.datasets:
            table.add_column(Text(config.dataset(dataset).title), justify="right", no_wrap=True, overflow="crop")
        for model in config.models:
            cells = (self._board.cell(dataset, model) for dataset in config.datasets)
            table.add_row(Text(model), *(_cell(runs, "+-" if ascii_only else "±") for runs in cells))
        return table

    def _height(self) -> int:
        """Lines of the grid with its frame."""
        config = self._board.config
        rows = ([len(_lines(self._board.cell(key, model))) for key in config.datasets] for model in config.models)
        return 4 + sum(max(1, *lines) for lines in rows)

    def _list(self) -> Iterator[Text]:
        for state in (State.FAILED, State.RUNNING, State.STOPPED):
            for place, run in self._board.runs.items():
                if run.state == state:
                    text = _line(f"{' '.join(map(str, place))}: ")
                    yield text.append(f"{state} " if state != State.RUNNING else "", STYLES[state]).append(_said(run))


def heading(board: Board) -> Text:
    """Format the number of runs in each state, in one line."""
    counts = {state: board.count(state) for state in State}
    text = _line(f"Study {board.config.name}: {counts[State.DONE]} of {len(board.runs)} runs done")
    for state in (State.RUNNING, State.FAILED, State.STOPPED, State.WAITING):
        if counts[state]:
            text.append(", ").append(f"{counts[state]} {state}", STYLES[state])
    return text


def show(board: Board, on: Console) -> None:
    """Print a board once."""
    on.print(View(board))


def live(look: Callable[[], Board], on: Console) -> Live:
    """Make a display that updates every second and follows changes of the terminal's size."""
    size = on.size

    def renderable() -> View:
        nonlocal size
        if on.size != size:
            # The terminal has rewrapped the lines, so the place of the last picture is unknown.
            size = on.size
            on.control(Control.clear(), Control.home())
        return View(look())

    return Live(get_renderable=renderable, console=on, refresh_per_second=1 / SECONDS, redirect_stdout=False)


def plain(before: Board | None, now: Board) -> Iterator[str]:
    """Yield a line for each step or run with a new state, and for each run with a new error."""
    for key, step in now.steps.items():
        if step.state != (before.steps[key].state if before and key in before.steps else State.WAITING):
            yield f"{' '.join(key)}: {step.state}{f', {step.note}' if step.note else ''}"
    for place, run in now.runs.items():
        last = before.runs[place] if before else Standing(State.WAITING)
        if (run.state, run.error) != (last.state, last.error):
            yield f"{' '.join(map(str, place))}: {run.state} {_said(run)}".rstrip()


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="crop")


def _said(run: Standing) -> str:
    error = "" if run.error is None else f"{run.error:.2f} %"
    return " ".join(filter(None, [run.note, error]))


def _lines(runs: dict[int, Standing]) -> list[Standing]:
    """Return the runs that have a line in a cell: all of them, or one when all are done."""
    errors = [run.error for run in runs.values() if run.state == State.DONE and run.error is not None]
    return list(runs.values())[: 1 if len(errors) == len(runs) else None]


def _cell(runs: dict[int, Standing], sign: str) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    lines = _lines(runs)
    if len(lines) < len(runs):
        mean, spread = summary([run.error for run in runs.values() if run.error is not None])
        return text.append(f"{mean:.2f} {sign} {spread:.2f} ({len(runs)})", STYLES[State.DONE])
    for seed, run in zip(runs, lines, strict=True):
        if text:
            text.append("\n")
        if len(runs) > 1:
            text.append(f"{seed}: ", "dim")
        error = "" if run.error is None else f"{run.error:.2f}"
        said = {State.RUNNING: run.note, State.DONE: ""}.get(
            run.state, run.note if run.note == "trained" else run.state
        )
        text.append(" ".join(filter(None, [said, error])), STYLES[run.state])
    return text
