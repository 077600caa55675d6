"""Snapshots of a first layer: what comes back, and that stopping a training anywhere changes none."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crepe.errors import CrepeError
from crepe.io import tensors
from crepe.training import checkpoints, snapshots
from crepe.training.train import train
from tests.support.shards import Tiny

pytestmark = pytest.mark.slow


def drawn(count=5, symbols=69, places=7, scale=0.05, seed=0):
    return np.random.default_rng(seed).normal(0, scale, (count, symbols, places)).astype(np.float32)


@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 8), st.sampled_from([0.0, 1e-9, 0.05, 3e4]))
def test_weights_come_back_in_half_precision(tmp_path_factory, count, symbols, places, scale):
    folder, layer = tmp_path_factory.mktemp("run"), drawn(count, symbols, places, scale)
    snapshots.save(folder, 0, layer)
    (found,) = snapshots.read(folder).values()
    assert found.shape == layer.shape
    inside = np.abs(layer) <= np.finfo(np.float16).max
    np.testing.assert_allclose(found[inside], layer[inside], rtol=2**-11, atol=2**-25)
    assert np.isfinite(found).all()


def test_of_a_large_layer_the_first_kernels_are_kept(tmp_path):
    snapshots.save(tmp_path, 0, drawn(300))
    assert len(snapshots.read(tmp_path)[0]) == snapshots.MOST


def test_a_training_that_begins_removes_what_another_left(tmp_path):
    for epoch in (0, 1, 2):
        snapshots.save(tmp_path, epoch, drawn(seed=epoch))
    snapshots.save(tmp_path, 0, drawn(seed=9))
    assert list(snapshots.read(tmp_path)) == [0]


def test_no_snapshots(tmp_path):
    assert snapshots.read(tmp_path) == {}


@pytest.mark.parametrize("damage", ["empty", "cut", "other tensors"])
def test_a_damaged_file_is_named(tmp_path, damage):
    snapshots.save(tmp_path, 0, drawn())
    path = tmp_path / "weights/epoch-000.safetensors"
    if damage == "other tensors":
        tensors.write(path, {}, {"bias": torch.zeros(2)})
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-2000])
    with pytest.raises(CrepeError, match=r"epoch-000.safetensors: .*; delete it, or train"):
        snapshots.read(tmp_path)


def test_only_networks_over_characters_are_shown(tiny: Tiny, tmp_path):
    train(tiny.config, "tiny", "bow", 0, tiny.folder / "words", tmp_path, "cpu", steps=2)
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("cut", [1, 19, 20, 40])
def test_a_training_in_two_parts_leaves_the_same_snapshots(tiny: Tiny, tmp_path, monkeypatch, cut):
    """Killed right before a checkpoint (epochs have 20 batches): the last snapshot is of an epoch to be redone."""
    chars = tiny.folder / "chars"
    train(tiny.config, "tiny", "conv-small", 0, chars, tmp_path / "whole", "cpu")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole/weights").iterdir()}
    assert sorted(whole) == [f"epoch-{epoch:03d}.safetensors" for epoch in range(4)]
    assert len(set(whole.values())) == 4

    class CutError(Exception):
        pass

    save = checkpoints.save

    def stop_before_saving(folder, number, *rest):
        if number >= cut:
            raise CutError
        save(folder, number, *rest)

    monkeypatch.setattr(checkpoints, "save", stop_before_saving)
    with pytest.raises(CutError):
        train(tiny.config, "tiny", "conv-small", 0, chars, tmp_path / "parts", "cpu")
    monkeypatch.undo()
    train(tiny.config, "tiny", "conv-small", 0, chars, tmp_path / "parts", "cpu")
    assert {path.name: path.read_bytes() for path in (tmp_path / "parts/weights").iterdir()} == whole


def test_the_last_snapshot_is_the_trained_layer(tiny: Tiny, tmp_path):
    from safetensors.numpy import load_file

    train(tiny.config, "tiny", "conv-small", 0, tiny.folder / "chars", tmp_path, "cpu")
    weight = load_file(tmp_path / "model.safetensors")["convolutions.0.weight"][:, :, 0, ::-1]
    last = snapshots.read(tmp_path)[json.loads((tmp_path / "run.json").read_text())["epochs"]]
    np.testing.assert_array_equal(last, snapshots.rounded(weight))
