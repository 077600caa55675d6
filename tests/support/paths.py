"""Folders that tests read, and what they do with folders."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""

GOLDEN = ROOT / "tests/golden"
"""Outputs of the original program and of earlier versions."""

SHARED = ROOT.parent / "shared"
"""Genuine rows and golden dumps beside the checkout, on some machines."""


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for as long as the block."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
