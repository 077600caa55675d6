import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crepe.errors import CrepeError
from crepe.io.files import (
    alone,
    check,
    digest,
    read_json,
    replacing,
    write_json,
    write_text,
)

AGAIN = "make it again"


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


def test_what_a_library_leaves_beside_the_file_goes_with_it(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("whole")
        temporary.with_name(".tmpAbCdEf").write_text("half")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


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
    assert read_json(path, AGAIN) == {"é": [1, None]}
    assert path.read_bytes().endswith(b"}\n")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path, AGAIN) == {"é": [1, None]}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, bytes(9), b'{"a": 1}}'])
def test_what_is_no_json_mapping_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(CrepeError, match=r"a\.json: is damaged.*; make it again$"):
        read_json(path, AGAIN)


def test_the_checksum_of_crepe_0_1_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"seal": "sha256:0", "a": 1}')
    assert read_json(tmp_path / "a.json", AGAIN) == {"a": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrepeError, match=r"gone: cannot be read: No such file"):
        digest(tmp_path / "gone")
    with pytest.raises(CrepeError, match=r"gone: is missing; make it again"):
        read_json(tmp_path / "gone", AGAIN)
    with pytest.raises(CrepeError, match=r": cannot be read: Is a directory; make it again"):
        read_json(tmp_path, AGAIN)


def test_a_file_is_compared_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("abc")
    check(path, digest(path), "list.json", AGAIN)
    with pytest.raises(CrepeError, match=r"file: is damaged, or not the file that list.json speaks of .*; make it"):
        check(path, "0" * 64, "list.json", AGAIN)
    path.unlink()
    with pytest.raises(CrepeError, match="file: is missing; make it again"):
        check(path, "0" * 64, "list.json", AGAIN)


def test_digest(tmp_path: Path) -> None:
    content = b"abc" * 1_000_000
    (tmp_path / "file").write_bytes(content)
    assert digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert digest(tmp_path / "file", "md5") == hashlib.md5(content).hexdigest()


WRITER = """
import sys, time
from pathlib import Path
from crepe.io.files import alone, replacing
folder, name = sys.argv[1:]
with alone(folder, name), replacing(Path(folder) / "file") as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def writer(folder: Path, name: str = "") -> "subprocess.Popen[str]":
    """A process that holds a folder, or a file in it, and is in the middle of writing until it gets a line."""
    command = [sys.executable, "-c", WRITER, str(folder), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", ["", "file"])
def test_what_a_killed_process_left_is_taken_over_and_cleared(tmp_path: Path, name: str) -> None:
    process = writer(tmp_path, name)
    assert process.stdout.readline() == "writing\n"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    kept = tmp_path / f".file.{'0' * 64}.part"
    kept.touch()
    with alone(tmp_path, name):
        assert {path.name for path in tmp_path.iterdir()} == {kept.name, f".{name}.lock" if name else ".lock"}
    assert list(tmp_path.iterdir()) == [kept]


def test_only_leftovers_of_the_file_are_cleared(tmp_path: Path) -> None:
    for left in (".file.abcdefgh.part", ".other.abcdefgh.part"):
        (tmp_path / left).touch()
    (tmp_path / ".archive.abcdefgh.part").mkdir()
    (tmp_path / ".archive.abcdefgh.part/train.csv").touch()
    with alone(tmp_path, "file"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".other.abcdefgh.part", ".archive.abcdefgh.part"}
    with alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = writer(tmp_path)
    assert first.stdout.readline() == "writing\n"
    second = writer(tmp_path)
    assert second.stderr.readline() == (
        f"{tmp_path}: another process writes it (see {tmp_path}/.lock); waiting for that\n"
    )
    assert (tmp_path / ".lock").read_text().startswith(f"process {first.pid} on ")
    for process, said in ((first, ""), (second, "writing\n")):
        assert process.communicate("\n", timeout=60)[0] == said
        assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CrepeError, match=r"file/below: cannot be written: Not a directory"),
        alone(tmp_path / "file/below"),
    ):
        pass
