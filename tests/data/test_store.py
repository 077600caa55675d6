import hashlib
import os

import pytest

from crepe.config.catalog import Source
from crepe.data import store
from crepe.errors import CrepeError

CONTENT = b"an archive"
SOURCE = Source(url="https://example.org/x.tgz", sha256=hashlib.sha256(CONTENT).hexdigest(), bytes=len(CONTENT))
BY_MD5 = Source(url="https://example.org/x.tgz", md5=hashlib.md5(CONTENT).hexdigest())


@pytest.mark.parametrize("source", [SOURCE, BY_MD5])
def test_a_file_is_found_by_its_content_and_named_by_its_checksum(tmp_path, source):
    assert store.find(tmp_path / "none", [source]) is None
    (tmp_path / "a").write_bytes(b"other")
    (tmp_path / ".part").write_bytes(CONTENT)
    assert store.find(tmp_path, [source]) is None
    (tmp_path / "b").write_bytes(CONTENT)
    kept = tmp_path / source.checksum[1]
    assert store.find(tmp_path, [Source(url="local.tgz"), source]) == (kept, source)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".part", "a", kept.name])


def test_a_file_is_placed_by_a_link_or_a_copy(tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    kept.write_bytes(CONTENT)
    store.place(kept, tmp_path / "raw/x.tgz")
    assert kept.samefile(tmp_path / "raw/x.tgz")

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    store.place(kept, tmp_path / "raw/x.tgz")
    assert not kept.samefile(tmp_path / "raw/x.tgz")
    assert (tmp_path / "raw/x.tgz").read_bytes() == CONTENT


def test_what_snakemake_would_delete_is_adopted_once(tmp_path):
    folder, placed = tmp_path / "store", tmp_path / "x.tgz"
    store.adopt(placed, folder, [SOURCE])
    assert not folder.exists()
    for content in (b"the wrong one", CONTENT):
        placed.unlink(missing_ok=True)
        placed.write_bytes(content)
        for _ in range(2):
            store.adopt(placed, folder, [SOURCE])
            assert [path.name for path in folder.iterdir()] == ["x.tgz"]
            assert placed.samefile(folder / "x.tgz")
    found, _ = store.find(folder, [SOURCE])
    store.adopt(placed, folder, [SOURCE])
    assert list(folder.iterdir()) == [found]
    # A file on this machine without a checksum is copied anew.
    store.adopt(placed, tmp_path / "other", [Source(url="x.tgz")])
    assert not (tmp_path / "other").exists()


def test_a_file_and_its_copy_become_one_and_others_stay(tmp_path):
    path, kept = tmp_path / "x.tgz", tmp_path / "kept"
    path.write_bytes(CONTENT)
    for content, same in ((CONTENT[::-1], False), (CONTENT, True)):
        kept.write_bytes(content)
        inode = path.stat().st_ino
        for _ in range(2):
            store.join(path, kept)
            assert path.samefile(kept) == same
        assert (path.stat().st_ino, kept.read_bytes()) == (inode, content)


@pytest.mark.parametrize("link", ["x.tgz", "kept"])
def test_symbolic_links_stay(tmp_path, link):
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    for name in ("x.tgz", "kept"):
        if name == link:
            (tmp_path / name).symlink_to(tmp_path / "elsewhere")
        else:
            (tmp_path / name).write_bytes(CONTENT)
    store.join(tmp_path / "x.tgz", tmp_path / "kept")
    assert [name for name in ("x.tgz", "kept") if (tmp_path / name).is_symlink()] == [link]
    assert (tmp_path / "elsewhere").stat().st_nlink == 1


def test_a_store_that_cannot_be_written_stays(tmp_path, monkeypatch):
    def refuse(*_):
        raise CrepeError("kept", "cannot be written")

    path, kept = tmp_path / "x.tgz", tmp_path / "kept"
    path.write_bytes(CONTENT)
    kept.write_bytes(CONTENT)
    monkeypatch.setattr(store, "place", refuse)
    store.join(path, kept)
    assert not path.samefile(kept)
    assert kept.read_bytes() == CONTENT
