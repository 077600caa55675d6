"""Other processes of this machine: whether one is alive, and ending with the Snakemake that started this one.

A killed Snakemake cannot tell its jobs to stop, so each job watches it.
"""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

PARENT = "CREPE_PARENT"
"""Environment variable in which the workflow puts the number of Snakemake's process."""
SECONDS = 1.0
"""Time between two looks at Snakemake's process."""


def watch_parent() -> None:
    """Send this process a SIGTERM when the process of `PARENT` ends; do nothing if it ended before this one began."""
    number, begun = int(os.environ.get(PARENT, 0)), _begun(os.getpid())
    if number and alive(number, begun):
        threading.Thread(target=_wait, args=(number, begun), daemon=True).start()


def _wait(number: int, begun: float | None) -> None:
    while alive(number, begun):
        time.sleep(SECONDS)
    print("Snakemake has died; stopping. Start it again to continue.", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def alive(number: int, seen: float | None = None) -> bool:
    """Return whether a process is alive on this machine.

    Args:
        number: number of the process.
        seen: when it was last known to be alive, in seconds since 1970: one that began later has inherited its number.
    """
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It is another user's.
        pass
    begun = _begun(number)
    # A second for the rounding of both.
    return seen is None or begun is None or begun <= seen + 1


def _begun(number: int) -> float | None:
    """Return when a process began, in seconds since 1970; None where there is no /proc, or the process has ended."""
    try:
        # The name, in brackets, may hold blanks and brackets.
        ticks = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19])
        boot = re.search(r"^btime (\d+)$", Path("/proc/stat").read_text(), flags=re.M)
    except (OSError, ValueError, IndexError):
        return None
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK") if boot else None
