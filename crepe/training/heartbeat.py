"""How far a training has come, for onlookers: a small file in the run's folder, there while the run is not done.

The file is no output and nothing depends on it: it is replaced whole, at most once a second, and removed with the
checkpoints when the run has ended well.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crepe.errors import CrepeError
from crepe.io.parent import alive

FILE = "progress.json"
_TEMPORARY = f".{FILE}.part"
SECONDS = 1.0
"""Least time between two writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """Where a training stood when it was last heard of."""

    epoch: int
    """The one under way, counted from 1."""
    epochs: int
    speed: float
    """Samples trained in a second since the last start."""
    error: float | None
    """Test error in percent after the last whole epoch, None before."""
    testing: bool = False
    """Whether the test set is being gone through."""
    fault: str = ""
    """Why it ended, if it did so by an error."""
    host: str = ""
    process: int = 0
    time: float = 0.0
    """Seconds since 1970."""

    @property
    def alive(self) -> bool:
        """Whether it goes on, so far as can be told from here: a process of another machine cannot be looked for."""
        if self.fault:
            return False
        return self.host != socket.gethostname() or alive(self.process, self.time)


class Writer:
    """Writes heartbeats to a folder; cheap enough to be called in every step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due = 0.0
        self._last: Heartbeat | None = None

    @property
    def due(self) -> bool:
        """Whether the last one was written long enough ago."""
        return time.monotonic() >= self._due

    def write(self, beat: Heartbeat) -> None:
        """Replace the file. A disk that takes no onlookers' file must not end a training."""
        self._due = time.monotonic() + SECONDS
        self._last = replace(beat, host=socket.gethostname(), process=os.getpid(), time=time.time())
        temporary = self._folder / _TEMPORARY
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(self._last)))
            temporary.replace(self._folder / FILE)
        except OSError:
            with suppress(OSError):
                temporary.unlink()

    def fail(self, fault: str) -> None:
        """Say why the training ended."""
        if self._last is not None:
            self.write(replace(self._last, fault=fault))


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """A writer whose last heartbeat tells the fault that ended the block, if one did; an earlier start's goes first."""
    remove(folder)
    writer = Writer(folder)
    try:
        yield writer
    except CrepeError as error:
        writer.fail(str(error))
        raise


def read(folder: Path) -> Heartbeat | None:
    """The heartbeat of a run, None if there is none that can be read."""
    try:
        return Heartbeat(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remove(folder: Path) -> None:
    """Remove the file, if the disk lets go of it: the run has ended."""
    for name in (FILE, _TEMPORARY):
        with suppress(OSError):
            (folder / name).unlink()
