"""The heartbeat of a training: a small file in the run's folder that shows its progress until it is complete.

The file is no output of a step, and nothing depends on it. It is replaced whole, at most once a second, and removed
with the checkpoints when the run is complete.
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
from crepe.io.processes import alive
from crepe.layout import PROGRESS

_TEMPORARY = f".{PROGRESS}.part"
SECONDS = 1.0
"""Minimum time between two writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """State of a training when it last wrote."""

    epoch: int
    """Epoch under way, counted from 1."""
    epochs: int
    speed: float
    """Samples trained in a second since the last start."""
    error: float | None
    """Test error in percent after the last whole epoch, None before."""
    testing: bool = False
    """Whether it is testing."""
    fault: str = ""
    """The error that ended it, if one did."""
    host: str = ""
    process: int = 0
    time: float = 0.0
    """Seconds since 1970."""

    @property
    def alive(self) -> bool:
        """Whether its process is alive; assumed if it runs on another machine."""
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
        """Whether the last heartbeat was written long enough ago."""
        return time.monotonic() >= self._due

    def write(self, beat: Heartbeat) -> None:
        """Replace the file. Errors of the disk are ignored: they must not end a training."""
        self._due = time.monotonic() + SECONDS
        self._last = replace(beat, host=socket.gethostname(), process=os.getpid(), time=time.time())
        temporary = self._folder / _TEMPORARY
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(self._last)))
            temporary.replace(self._folder / PROGRESS)
        except OSError:
            with suppress(OSError):
                temporary.unlink()

    def fail(self, fault: str) -> None:
        """Write the error that ends the training."""
        if self._last is not None:
            self.write(replace(self._last, fault=fault))


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Yield a writer. Its last heartbeat has the error that ends the block, if one does; an older file is removed."""
    remove(folder)
    writer = Writer(folder)
    try:
        yield writer
    except CrepeError as error:
        writer.fail(str(error))
        raise


def read(folder: Path) -> Heartbeat | None:
    """Read the heartbeat of a run; None if there is none that can be read."""
    try:
        return Heartbeat(**json.loads((folder / PROGRESS).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remove(folder: Path) -> None:
    """Remove the file, if that is possible: the run has ended."""
    for name in (PROGRESS, _TEMPORARY):
        with suppress(OSError):
            (folder / name).unlink()
