"""Show the progress of a long step: a live bar on a terminal, plain lines elsewhere (log files, schedulers)."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PLAIN_SECONDS = 10.0
"""Time between two plain lines."""


class Meter:
    """Counter of finished work; `advance` is cheap enough to be called for every batch."""

    def __init__(self, title: str, total: float | None, unit: str, start: float, bar: Progress | None) -> None:
        self._title, self._total, self._unit, self._bar = title, total, unit, bar
        self._start = self._done = start
        self._note = ""
        self._begun = self._told = time.monotonic()
        if bar is not None:
            self._task = bar.add_task(title, total=total, unit=unit, note="", start_at=start)
            bar.update(self._task, completed=start)

    def advance(self, amount: float, note: str | None = None) -> None:
        """Add `amount` to the finished work; `note`, such as a loss, replaces the text after the numbers."""
        self._done += amount
        self._note = self._note if note is None else note
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, note=self._note)
        elif time.monotonic() - self._told >= PLAIN_SECONDS:
            self._told = time.monotonic()
            speed = (self._done - self._start) / (self._told - self._begun)
            print(self._line(speed), file=sys.stderr, flush=True)

    def _line(self, speed: float) -> str:
        parts = [f"{self._title}: {quantity(self._done, self._unit)}", f"{quantity(speed, self._unit)}/s"]
        if self._total:
            parts[0] += f" of {quantity(self._total, self._unit)} ({100 * self._done / self._total:.0f} %)"
            parts.append(f"{(self._total - self._done) / max(speed, 1e-9):.0f} s left")
        return ", ".join([*parts, *([self._note] if self._note else [])])


@contextmanager
def meter(title: str, total: float | None, unit: str, start: float = 0) -> Iterator[Meter]:
    """Show a meter while the block runs.

    Args:
        title: name of the step.
        total: amount of work; None if it is not known.
        unit: unit of the amounts; `B` for bytes, shown as kB, MB and GB.
        start: amount of work finished before.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter(title, total, unit, start, None)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Amount(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, transient=False) as bar:
        yield Meter(title, total, unit, start, bar)


def quantity(amount: float, unit: str) -> str:
    """Format an amount with its unit: bytes in decimal multiples, anything else as a whole number."""
    if unit != "B":
        return f"{amount:,.0f} {unit}"
    for factor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= factor:
            return f"{amount / factor:.1f} {name}"
    return f"{amount:.0f} B"


class _Amount(ProgressColumn):
    """Column with the finished amount, the total, and the speed since the start."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        text = quantity(task.completed, unit)
        if task.total:
            text += f" of {quantity(task.total, unit)}"
        if task.elapsed:
            text += f", {quantity((task.completed - task.fields['start_at']) / task.elapsed, unit)}/s"
        return Text(text)
