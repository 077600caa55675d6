"""End with the Snakemake that started this process: when that is killed, it cannot tell its jobs to stop."""

import os
import signal
import sys
import threading
import time

VARIABLE = "CREPE_PARENT"
"""The environment variable in which the workflow leaves the number of Snakemake's process."""
SECONDS = 1.0
"""Time between two looks at it."""


def watch() -> None:
    """Send this process a SIGTERM when that of `VARIABLE` is gone; do nothing where there is none from the start."""
    number = int(os.environ.get(VARIABLE, 0))
    if number and alive(number):
        threading.Thread(target=_wait, args=(number,), daemon=True).start()


def _wait(number: int) -> None:
    while alive(number):
        time.sleep(SECONDS)
    print("Snakemake is gone without a word: this ends, too; start it again to go on", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def alive(number: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It is another user's.
        return True
    return True
