"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""

GOLDEN = ROOT / "tests/golden"
"""What the original program and earlier versions gave."""

SHARED = ROOT.parent / "shared"
"""Genuine rows and golden dumps beside the checkout, on some machines."""
