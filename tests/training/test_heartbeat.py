"""crepe.training.heartbeat: what onlookers see of a training, and that it leaves nothing behind."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from crepe.errors import CrepeError
from crepe.layout import PROGRESS
from crepe.training import heartbeat
from crepe.training.heartbeat import Heartbeat, Writer, read, remove, writing
from crepe.training.train import train

BEAT = Heartbeat(epoch=2, epochs=30, speed=512.5, error=15.2)


def test_the_last_one_is_read_back(tmp_path):
    Writer(tmp_path / "run").write(BEAT)
    found = read(tmp_path / "run")
    assert (found.epoch, found.epochs, found.speed, found.error, found.fault) == (2, 30, 512.5, 15.2, "")
    assert found.process == os.getpid()
    assert found.alive
    assert [path.name for path in (tmp_path / "run").iterdir()] == [PROGRESS]
    remove(tmp_path / "run")
    assert read(tmp_path / "run") is None


def test_it_is_due_now_and_then(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("crepe.training.heartbeat.time.monotonic", lambda: now)
    writer = Writer(tmp_path)
    assert writer.due
    writer.write(BEAT)
    now += heartbeat.SECONDS - 0.01
    assert not writer.due
    now += 0.02
    assert writer.due


def test_a_process_that_is_gone_is_not_alive(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    Writer(tmp_path).write(BEAT)
    found = replace(read(tmp_path), process=int(gone.stdout))
    assert not found.alive
    assert replace(found, host="another").alive


def test_a_fault_is_told_and_goes_with_the_next_start(tmp_path):
    def fail():
        with writing(tmp_path) as writer:
            writer.write(BEAT)
            raise CrepeError("t", "the loss is nan")

    with pytest.raises(CrepeError):
        fail()
    assert read(tmp_path).fault == "t: the loss is nan"
    assert not read(tmp_path).alive
    with writing(tmp_path):
        assert read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epoch": 1}', '{"surprise": 1}'])
def test_what_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / PROGRESS).write_text(content)
    assert read(tmp_path) is None


def test_a_disk_that_does_not_take_it_ends_no_training(tmp_path):
    (tmp_path / "file").write_text("")
    Writer(tmp_path / "file").write(BEAT)
    assert read(tmp_path / "file") is None


def test_a_training_shows_how_far_it_is_and_takes_the_file_away(tiny, tmp_path, monkeypatch):
    seen = []
    write = Writer.write

    def spy(self, beat):
        write(self, beat)
        seen.append(read(tmp_path))

    monkeypatch.setattr(Writer, "write", spy)
    train(tiny.config, "tiny", "bow", 0, tiny.folder / "words", tmp_path)
    # One at the end of each epoch at the least, before its test.
    ends = [beat for beat in seen if beat.testing]
    assert [(beat.epoch, beat.epochs) for beat in ends] == [(1, 3), (2, 3), (3, 3)]
    assert ends[0].error is None
    assert 0 <= ends[2].error <= 100
    assert all(0 < beat.speed < 1e7 for beat in seen)
    assert read(tmp_path) is None
    assert {path.name for path in tmp_path.iterdir()} == {"history.csv", "model.safetensors", "run.json"}


def test_a_training_that_fails_says_why(tiny, tmp_path):
    recipe = replace(tiny.config.training["convnet"], learning_rate=1e30)
    config = replace(tiny.config, training=dict.fromkeys(tiny.config.training, recipe))
    with pytest.raises(CrepeError):
        train(config, "tiny", "conv-small", 0, tiny.folder / "chars", tmp_path)
    assert "the loss is" in read(tmp_path).fault
