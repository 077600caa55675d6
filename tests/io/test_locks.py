"""crepe.io.locks: real processes and real locks."""

import subprocess
import sys
from contextlib import suppress

import pytest

from crepe.errors import CrepeError
from crepe.io.locks import first_free
from tests.support.paths import ROOT

HOLD = """
import sys
from pathlib import Path
from crepe.io.locks import first_free
with first_free([Path(word) for word in sys.argv[1:]], "all are taken") as number:
    print(number, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold():
    """Starts a process that holds the first free of some files until it is told to end."""
    processes = []

    def start(*paths):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", HOLD, *map(str, paths)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_each_process_gets_its_own(tmp_path, hold):
    paths = [tmp_path / name for name in "abcd"]
    holders = [hold(*paths) for _ in range(4)]
    said = [holder.stdout.readline() for holder in holders]
    assert sorted(said) == [f"{number}\n" for number in range(4)]


@pytest.mark.parametrize("end", ["kill", "communicate"])
def test_who_finds_none_waits_until_one_ends_however_it_ends(tmp_path, hold, end):
    paths = [tmp_path / "a", tmp_path / "b"]
    holders = [hold(*paths)]
    assert holders[0].stdout.readline() == "0\n"
    holders.append(hold(*paths))
    assert holders[1].stdout.readline() == "1\n"
    waiting = hold(*paths)
    assert waiting.stderr.readline() == "all are taken\n"
    getattr(holders[1], end)()
    assert waiting.stdout.readline() == "1\n"


def test_a_file_has_one_name_in_lists_that_differ(tmp_path, hold):
    assert hold(tmp_path / "b").stdout.readline() == "0\n"
    with first_free([tmp_path / "b", tmp_path / "a"], "") as number:
        assert number == 1


def test_it_is_free_after_the_block_even_one_that_fails(tmp_path):
    for _ in range(2):
        with suppress(ValueError), first_free([tmp_path / "a"], ""):
            raise ValueError


def test_files_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CrepeError, match=r"file/a: cannot be locked: "),
        first_free([tmp_path / "file/a"], ""),
    ):
        pass
