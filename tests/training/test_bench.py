"""What `crepe bench` says, not how fast anything is."""

import json

import numpy as np
import pytest
import torch

from crepe.cli import main
from crepe.models.base import Inputs
from crepe.models.convnet import Settings
from crepe.training import bench
from tests.support.shards import Tiny, overlay

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.01)
    monkeypatch.setattr(bench, "BATCHES", 2)
    monkeypatch.setattr(bench, "_peak", lambda *_: 1e9)


def run(tiny: Tiny, capsys: pytest.CaptureFixture[str], *options: str, model: str = "conv-small") -> str:
    words = ["bench", "--shards", str(tiny.folder / "chars"), "--model", model, "--device", "cpu", "--rounds", "1"]
    assert main([*words, "--config", json.dumps(overlay()), *options]) == 0
    return capsys.readouterr().out


def test_json(tiny: Tiny, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    figures = json.loads(run(tiny, capsys, "--json"))
    names = {"dense_float32", "dense_bfloat16", "engine_float32", "engine_bfloat16"}
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    for phase in ("train", "evaluate"):
        assert figures[phase].keys() == names
        for name, speed in figures[phase].items():
            assert (speed is None) == (name.endswith("bfloat16") and not native)
        ratio = figures[phase]["engine_float32"] / figures[phase]["dense_float32"]
        assert figures["ratios"][phase]["float32"] == pytest.approx(ratio, abs=1e-3)
    lengths = [min(length, 100) for length in _lengths(tiny)]
    assert figures["padding_share"] == pytest.approx(1 - np.mean(lengths) / 100, abs=1e-4)


def _lengths(tiny: Tiny) -> list[int]:
    from crepe.data import shards

    return shards.read(tiny.folder / "chars", "train").lengths.tolist()


def test_table(tiny: Tiny, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(tiny, capsys)
    assert "conv-small on tiny" in text
    assert "engine : dense, float32" in text
    assert "Padding is" in text


def test_a_model_that_is_no_convnet_is_refused(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--shards", str(tiny.folder / "words"), "--model", "bow", "--config", json.dumps(overlay())]
    assert main(words) == 1
    assert "--model bow: needs to be a ConvNet" in capsys.readouterr().err


def test_operations_of_full_texts_are_those_of_the_layers() -> None:
    settings = Settings(convolutions=((3, 2), (3, 2)), channels=4, fc=(5,))
    module = settings.build(Inputs(vocab_size=9, length=22, classes=3))
    # 22 columns, 20 after the first convolution, 10 pooled; 8, pooled to 4.
    expected = 2 * (4 * 4 * 3 * 8 + 4 * 4 * 5 + 5 * 3)
    assert bench.operations(module, np.array([22, 30])) == expected
    assert bench.operations(module, np.array([1])) < expected / 2
