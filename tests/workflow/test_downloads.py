"""Archives that are there once are never lost and never fetched again."""

import os
import shutil

import pytest

from tests.support import tiny

# Minutes, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

OLD = (10**9, 10**9)
CLEAN = "data/clean/toys/clean.json"


@pytest.fixture
def offline(tmp_path):
    """A project whose archive has a checksum and a source that answers nothing; and the archive's bytes."""
    folder = tiny.project(tmp_path / "project", models=("bow",))
    archive = folder / "archives/toys.tgz"
    source = {"url": "http://127.0.0.1:9/toys.tgz", "sha256": tiny.sha256(archive)}
    tiny.update(folder / "config/datasets.yaml", {"catalog": {"datasets": {"toys": {"sources": [source]}}}})
    shutil.move(archive, tmp_path / "toys.tgz")
    return folder, tmp_path / "toys.tgz"


@pytest.mark.parametrize("place", ["data/raw/toys.tgz", "data/store/any name"])
def test_an_archive_placed_by_hand_needs_no_network(offline, place):
    folder, archive = offline
    placed = folder / place
    placed.parent.mkdir(parents=True)
    shutil.copy2(archive, placed)
    os.utime(placed, OLD)
    before = set((folder / "data").rglob("*"))
    tiny.run(folder, "snakemake", "--dry-run", CLEAN)
    assert set((folder / "data").rglob("*")) == before
    tiny.run(folder, "snakemake", CLEAN)
    raw, kept = folder / "data/raw/toys.tgz", folder / "data/store" / tiny.sha256(archive)
    assert any(raw.samefile(path) for path in kept.parent.iterdir())
    # Old times, changed code, and the will to make it again: it is there, and right.
    os.utime(raw, OLD)
    for name in ("crepe/data/download.py", "crepe/data/web.py"):
        (folder / name).write_text((folder / name).read_text() + "\nCHANGED = 1\n")
    assert "Nothing to be done" in tiny.run(folder, "snakemake", CLEAN)
    tiny.run(folder, "snakemake", "--forcerun", "download", "--", CLEAN)
    assert raw.samefile(kept)
    assert tiny.sha256(raw) == kept.name


def test_a_wrong_archive_is_not_used_and_the_answer_says_what_to_do(offline):
    folder, archive = offline
    raw = folder / "data/raw/toys.tgz"
    raw.parent.mkdir(parents=True)
    raw.write_bytes(archive.read_bytes()[:-1])
    text = tiny.run(folder, "snakemake", "all", status=1)
    assert "Put the archive into data/store/ under any name" in text
    assert not raw.exists()
    # It stays, in case it is of use for something else.
    assert (folder / "data/store/toys.tgz").exists()
