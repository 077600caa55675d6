"""Lock files between processes; the kernel releases a lock when its process ends, however it ends."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from crepe.errors import CrepeError

WAIT_SECONDS = 0.5
"""Time between two attempts to take a lock that another process holds."""


@contextmanager
def first_free(paths: Sequence[Path], busy: str) -> Iterator[int]:
    """Hold the first lock that no other process holds; wait until there is one.

    Args:
        paths: lock files, created if missing and never read.
        busy: message to print once if other processes hold all of them.

    Yields:
        Index of the lock in `paths`.

    Raises:
        CrepeError: a lock file cannot be created or locked.
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
            raise CrepeError(lock.lock_file, f"cannot be locked: {error.strerror or error}") from error
    return None
