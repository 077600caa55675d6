"""The training loop: what it computes, and that stopping it anywhere changes nothing."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from crepe.data.shards import Manifest, read
from crepe.errors import CrepeError
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.training import checkpoints, heartbeat
from crepe.training.loop import Training, fit
from tests.support.shards import Tiny, overlay, sgd
from tests.support.trainings import assert_a_cut_changes_nothing

CPU = torch.device("cpu")


def make(tiny: Tiny, model: str = "conv-small", seed: int = 0) -> Training:
    spec = tiny.config.model(model)
    network = spec.network
    folder = tiny.folder / spec.model.feature
    manifest = Manifest.read(folder)
    net = network.build(Inputs(vocab_size=manifest.symbols, length=spec.feature.max_length, classes=2))
    initialize(net, network.init_std, seed)
    splits = {split: Split(read(folder, split), CPU) for split in ("train", "test")}
    recipe = replace(sgd(spec.recipe), batches_per_epoch=20)
    return Training(
        title="t",
        network=net,
        dtype=torch.float32,
        recipe=recipe,
        seed=seed,
        classes=2,
        train=splits["train"],
        test=splits["test"],
    )


def parameters(run: Training) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.network.parameters()])


def test_history_has_a_line_an_epoch_and_the_network_learns(tiny: Tiny, tmp_path: Path) -> None:
    run = make(tiny)
    fit(run, tmp_path, "x")
    assert [line["epoch"] for line in run.history] == [1, 2, 3]
    assert [line["batches"] for line in run.history] == [20, 40, 60]
    assert [line["learning_rate"] for line in run.history] == [0.1, 0.1, 0.05]
    assert run.history[-1]["test_loss"] < run.history[0]["test_loss"]
    assert run.history[-1]["test_error_pct"] < 30
    assert run.seconds > 0


@pytest.mark.parametrize("cut", [1, 20, 33])
def test_a_run_in_two_parts_is_the_run_in_one(tiny: Tiny, tmp_path: Path, cut: int) -> None:
    # Other parameters, which the checkpoint must replace.
    assert_a_cut_changes_nothing(lambda: make(tiny), tmp_path, cut, lambda run: initialize(run.network, 9.0, 9))


def test_steps_end_a_run_within_an_epoch(tiny: Tiny, tmp_path: Path) -> None:
    run = make(tiny)
    fit(run, tmp_path, "x", steps=31)
    assert run.done == 31
    assert [(line["epoch"], line["batches"]) for line in run.history] == [(1, 20), (2, 31)]


def test_seed_decides(tiny: Tiny, tmp_path: Path) -> None:
    runs = [make(tiny, seed=seed) for seed in (0, 0, 1)]
    for number, run in enumerate(runs):
        fit(run, tmp_path / str(number), "x", steps=3)
    assert torch.equal(parameters(runs[0]), parameters(runs[1]))
    assert not torch.equal(parameters(runs[0]), parameters(runs[2]))


def test_checkpoints_of_another_run_are_not_used(tiny: Tiny, tmp_path: Path, capfd) -> None:
    fit(make(tiny), tmp_path, "one", steps=4)
    other = make(tiny)
    fit(other, tmp_path, "two", steps=2)
    assert other.done == 2
    assert "not used" in capfd.readouterr().err


def test_a_loss_that_is_no_number_stops_the_run(tiny: Tiny, tmp_path: Path) -> None:
    run = make(tiny)
    with torch.no_grad():
        next(run.network.parameters()).fill_(float("nan"))
    with pytest.raises(CrepeError, match=r"the loss is nan at batch 1 .* smaller learning_rate"):
        fit(run, tmp_path, "x")
    assert not list(tmp_path.iterdir())


def test_a_test_loss_that_is_no_number_stops_the_run(tiny: Tiny, tmp_path: Path) -> None:
    """The last step of an epoch may spoil the network after its own loss was fine."""
    run = make(tiny)
    run.recipe = replace(sgd(run.recipe), batches_per_epoch=1, learning_rate=1e38)
    with pytest.raises(CrepeError, match=r"the loss on the test rows is nan at batch 1 \(epoch 1\); try a smaller"):
        fit(run, tmp_path, "x")
    assert not list(tmp_path.glob("checkpoint*"))


@pytest.mark.parametrize("seconds", [0.0, 600.0])
def test_checkpoints_are_some_time_apart_at_the_most(tiny: Tiny, tmp_path: Path, seconds: float, monkeypatch) -> None:
    numbers = []
    save = checkpoints.save
    monkeypatch.setattr(
        checkpoints, "save", lambda folder, number, *rest: numbers.append(number) or save(folder, number, *rest)
    )
    monkeypatch.setattr("crepe.training.loop.CHECKPOINT_SECONDS", seconds)
    run = make(tiny)
    fit(run, tmp_path, "x", steps=23)
    assert numbers == (list(range(1, 24)) if seconds == 0 else [20, 23])
    whole = make(tiny)
    monkeypatch.undo()
    fit(whole, tmp_path / "whole", "x", steps=23)
    assert torch.equal(parameters(whole), parameters(run))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signalled_and_started_again(tiny: Tiny, tmp_path: Path, number: signal.Signals) -> None:
    """The command itself, stopped by a signal in the middle of an epoch: the model is the same bytes in the end."""
    config = overlay()
    config["training"]["convnet"] |= {"epochs": 2, "batches_per_epoch": 120}
    command = [sys.executable, "-m", "crepe", "train", "tiny", "conv-small", "--device", "cpu"]
    command += ["--config", json.dumps(config), "--shards", str(tiny.folder / "chars"), "--output"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    parts = tmp_path / "parts"
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([*command, str(parts)], stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    assert process.poll() is None
    while not (parts / "checkpoint-0000000120.safetensors").exists():
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGTERM), errors
    assert "Traceback" not in errors
    assert not heartbeat.read(parts).alive
    done = sorted(path.name for path in parts.glob("checkpoint-*"))
    assert len(done) == 2
    assert "checkpoint-0000000120" < done[-1].removesuffix(".safetensors") < "checkpoint-0000000240"
    assert not (parts / "model.safetensors").exists()
    subprocess.run([*command, str(parts)], check=True)
    assert (parts / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert (parts / "history.csv").read_bytes() == (tmp_path / "whole/history.csv").read_bytes()
    assert not list(parts.glob("checkpoint*"))
