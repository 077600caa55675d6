"""Signals that end a training, held back until it has written a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Yield a list to which the first SIGINT or SIGTERM within the block adds its number.

    A second signal takes its usual course. A signal that the process ignores stays ignored: in the background, SIGINT.
    """
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in heeded}
    try:
        yield received
    finally:
        restore()


def take(number: int) -> None:
    """Let a signal that was held back take its course, which ends the program.

    Raises:
        KeyboardInterrupt: the signal's handler lets the program go on.
    """
    signal.raise_signal(number)
    raise KeyboardInterrupt
