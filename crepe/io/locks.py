"""Locks between processes: files locked by the kernel, which lets go of them when a process ends, however it ends."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from crepe.errors import CrepeError

WAIT_SECONDS = 0.5
"""Time between two looks at locks that others have."""


@contextmanager
def first_free(paths: Sequence[Path], busy: str) -> Iterator[int]:
    """Hold the first of `paths` that no other process holds; waits until there is one.

    Args:
        paths: files that stand for what is to be had; made if missing, and never read.
        busy: said once when all are held by others.

    Yields:
        The number of the file, from 0.

    Raises:
        CrepeError: a file cannot be made or locked.
    """
    locks = [FileLock(path) for path in paths]
    waited = False
    while (number := _held(locks)) is None:
        if not waited:
            print(busy, file=sys.stderr, flush=True)
        waited = True
        time.sleep(WAIT_SECONDS)
    try:
        yield number
    finally:
        locks[number].release()


def _held(locks: Sequence[FileLock]) -> int | None:
    for number, lock in enumerate(locks):
        try:
            with suppress(Timeout):
                lock.acquire(blocking=False)
                return number
        except OSError as error:
            raise CrepeError(f"{lock.lock_file}: cannot be locked: {error.strerror or error}") from error
    return None
