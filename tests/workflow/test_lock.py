import fcntl
import platform

import pytest

from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("machine", "alive", "unlocked"), [("", False, True), ("", True, False), ("x", False, False)])
def test_a_lock_is_removed_if_its_snakemake_was_killed_here(tmp_path, machine, alive, unlocked):
    tiny.project(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("data/raw/toys.tgz\n")
    with (tmp_path / ".snakemake/alive").open("w") as stream:
        stream.write(machine or platform.node())
        stream.flush()
        if alive:
            fcntl.flock(stream, fcntl.LOCK_SH)
        command = ["snakemake", "--cores", "1", "data/raw/toys.tgz"]
        text = tiny.run(tmp_path, *command, status=0 if unlocked else 1)
        assert ("Removed the lock of a Snakemake that was killed." in text) == unlocked
        assert ("It can be removed with the --unlock argument" in text) == (not unlocked)
    if machine:
        tiny.run(tmp_path, "snakemake", "--unlock", "data/raw/toys.tgz")
        tiny.run(tmp_path, *command)


def test_what_only_looks_changes_nothing_on_disk(tmp_path):
    tiny.project(tmp_path)
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("data/raw/toys.tgz\n")
    for options in (["-n"], ["--lint"], ["--dag"], ["--rulegraph"], ["--summary"], ["--list-rules"]):
        tiny.run(tmp_path, "snakemake", *options)
        assert lock.exists()
        assert not (tmp_path / ".snakemake/alive").exists()
