"""Look up the code, the machine and the versions that make a result."""

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch

from crepe import __version__
from crepe.models.device import describe
from crepe.records.run import Code, Machine

PACKAGE = Path(__file__).parents[1]


def source_digest() -> str:
    """sha256 over the names and bytes of the package's Python files."""
    hasher = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        hasher.update(path.relative_to(PACKAGE).as_posix().encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def code() -> Code:
    """Describe the code that runs: git commit, whether the work tree differs from it, and a digest of the sources."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--", "crepe", "workflow", "config", "Snakefile")
    return Code(commit=commit or None, dirty=None if status is None else bool(status), digest=source_digest())


def machine(device: torch.device) -> Machine:
    """Describe the device, the machine around it, and the versions of what computes."""
    return Machine(
        device=device.type,
        device_name=describe(device),
        threads=torch.get_num_threads(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        platform=platform.platform(),
        versions={
            "crepe": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )


def _git(*arguments: str) -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "-C", str(PACKAGE.parent), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
