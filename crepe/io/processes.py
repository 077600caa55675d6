"""Processes of this machine: whether one is alive, ending with the Snakemake that started this one, and threads.

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

THREADS = "OMP_NUM_THREADS"
"""Environment variable with the number of threads of this process. Snakemake sets it, and those of BLAS, for a job."""

SPINS = "3000"
"""Number of times that a thread of OpenMP looks for work before it sleeps. Fewer make an idle machine slower, since
waking takes time; more take a processor from the other threads where other processes want it, too."""


def limit_threads() -> None:
    """Have libraries that are imported later compute in no more threads than `THREADS` says, and share the processors.

    polars has a variable of its own. A thread of OpenMP (torch) that waits for the others spins for milliseconds, in
    which it takes a processor from them if anything else runs: it is to sleep sooner (`SPINS`). What the environment
    says already is left as it is.
    """
    if number := _number():
        os.environ.setdefault("POLARS_MAX_THREADS", str(number))
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def threads() -> int:
    """Return the number of threads that this process may compute in: `THREADS`, or the processors that it may use."""
    return _number() or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _number() -> int:
    number = os.environ.get(THREADS, "")
    return int(number) if number.isdecimal() else 0


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
