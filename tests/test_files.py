import hashlib
import os
from pathlib import Path

import pytest

from crepe.errors import CrepeError
from crepe.files import digest, read_json, replacing, write_json, write_text


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/file"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_fault_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    write_text(tmp_path / "file", "x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CrepeError, match=r"file/below: cannot be written: "):
        write_text(tmp_path / "file/below", "x")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, None]})
    assert read_json(path) == {"é": [1, None]}
    assert path.read_bytes().endswith(b"}\n")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
    assert read_json(path) == {"é": [1, None]}


@pytest.mark.parametrize(("content", "reason"), [(b"{", "is not valid JSON"), (b"\xff", "is not valid JSON")])
def test_bad_json_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CrepeError, match=rf"a\.json: {reason}"):
        read_json(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_json, digest):
        with pytest.raises(CrepeError, match=r"gone: cannot be read: No such file"):
            read(tmp_path / "gone")


def test_digest(tmp_path: Path) -> None:
    content = b"abc" * 1_000_000
    (tmp_path / "file").write_bytes(content)
    assert digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert digest(tmp_path / "file", "md5") == hashlib.md5(content).hexdigest()
