"""Archives that are there once are never lost and never fetched again."""

import os
import shutil

import polars as pl
import pytest

from crepe.data.archive import extracted
from tests.support import tiny
from tests.support.texts import archive, csv

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


def test_an_archive_placed_in_the_store_needs_no_network(offline):
    """One placed at data/raw is in `test_promise.py`."""
    folder, archive = offline
    placed = folder / "data/store/any name"
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


def test_a_study_of_parts_says_where_its_archive_is(tmp_path, monkeypatch):
    """The sample study, where neither the network nor an archive beside the checkout is to be had."""
    tiny.copy(tmp_path / "project")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    words = ("snakemake", "--configfile", "config/sample.yaml", "--", "data/clean/ag_news-62176/clean.json")
    text = tiny.run(tmp_path / "project", *words, status=1)
    assert "ag_news-62176: no source has the archive:" in text
    assert "../shared/data2/ag_news_csv.tgz: there is no such file" in text
    assert "fast.ai, https://s3.amazonaws.com/fast-ai-nlp/ag_news_csv.tgz: " in text
    assert "Put the archive into data/store/ under any name, or name another source in the configuration" in text
    assert not list((tmp_path / "project/data").rglob("*.tgz"))


def test_the_rows_of_a_part_come_out_of_another_archive(tmp_path):
    """They come out of the whole archive as the same files."""
    folder = tiny.project(tmp_path / "project", models=("bow",))
    tiny.run(folder, "snakemake", CLEAN)
    tables = [folder / f"data/clean/toys/{split}.parquet" for split in ("train", "test")]
    before = [path.read_bytes() for path in tables]
    tiny.run(folder, "crepe", "subset", "toys", "--output", "rows.parquet")
    with extracted(folder / "archives/toys.tgz") as files:
        rows = [*files["test.csv"].read_bytes().splitlines(True), *files["train.csv"].read_bytes().splitlines(True)]
    others = csv((1 + number % 3, f"other {number}", "") for number in range(50))
    whole = archive(folder / "archives/whole.tgz", b"".join([*rows[100:], others]), b"".join(rows[:100]))
    sources = [
        {"url": "archives/elsewhere.tgz", "sha256": tiny.sha256(folder / "archives/toys.tgz")},
        {"url": "archives/whole.tgz", "sha256": tiny.sha256(whole)},
    ]
    change = {"catalog": {"datasets": {"toys": {"subset": "rows.parquet", "sources": sources}}}}
    tiny.update(folder / "config/datasets.yaml", change)
    shutil.rmtree(folder / "data")
    tiny.run(folder, "snakemake", CLEAN)
    assert tiny.sha256(folder / "data/raw/toys.tgz") == sources[1]["sha256"]
    assert [path.read_bytes() for path in tables] == before
    # Other rows, another table.
    pl.read_parquet(folder / "rows.parquet").reverse().write_parquet(folder / "rows.parquet")
    tiny.run(folder, "snakemake", CLEAN)
    assert [path.read_bytes() for path in tables] != before


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
