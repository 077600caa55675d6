"""Fixtures shared by all tests."""

import os
from pathlib import Path

# Tests run side by side: one thread each, before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests.support import made
from tests.support.paths import SHARED
from tests.support.shards import Tiny, tiny_shards

# Examples are drawn from the test's own name, so that a run does not fail one time in a thousand.
settings.register_profile("crepe", derandomize=True, deadline=None)
settings.load_profile("crepe")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of genuine data and golden dumps beside the checkout, where there is one."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Shards of characters and of words, with a configuration that trains on them in seconds."""
    return tiny_shards(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every step was run; copy it to change it."""
    return made.project(tmp_path_factory.mktemp("made") / "project")
