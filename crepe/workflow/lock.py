"""Removal of the lock that Snakemake leaves behind when it is killed."""

import fcntl
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO


def remove_if_stale(folder: Path = Path(".snakemake")) -> TextIO:
    """Remove Snakemake's lock on the working directory if the Snakemake that took it ran on this machine and has died.

    Every Snakemake of this workflow holds the file `.snakemake/alive` with a kernel lock that ends with its process. If
    the file is free, no other one lives. Kernel locks do not reach other machines on some network file systems: a lock
    of another machine is left to `snakemake --unlock`.

    Args:
        folder: Snakemake's folder in the working directory; made if missing.

    Returns:
        The locked file. The lock ends when the file is closed, so keep a reference.
    """
    folder.mkdir(exist_ok=True)
    alive = (folder / "alive").open("a+")
    with suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alive.seek(0)
        locks, owner = list(folder.glob("locks/*.lock")), alive.read()
        if not locks or owner == platform.node():
            alive.truncate(0)
            alive.write(platform.node())
            alive.flush()
            for lock in locks:
                lock.unlink()
            if locks:
                print("Removed the lock of a Snakemake that was killed.", file=sys.stderr)
    with suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_SH)
    return alive
