"""What `crepe bench` says, not how fast anything is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crepe.cli import main
from crepe.models import lstm
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Batch, Split
from crepe.models.convnet import Settings
from crepe.ragged import Ragged
from crepe.records.speeds import Speeds
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
    names = {"padded_float32", "padded_bfloat16", "engine_float32", "engine_bfloat16"}
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    for phase in ("train", "evaluate"):
        assert figures[phase].keys() == names
        for name, speed in figures[phase].items():
            assert (speed is None) == (name.endswith("bfloat16") and not native)
        ratio = figures[phase]["engine_float32"] / figures[phase]["padded_float32"]
        assert figures["ratios"][phase]["float32"] == pytest.approx(ratio, abs=1e-3)
    lengths = [min(length, 100) for length in _lengths(tiny)]
    assert figures["padding_share"] == pytest.approx(1 - np.mean(lengths) / 100, abs=1e-4)


def _lengths(tiny: Tiny) -> list[int]:
    from crepe.data import shards

    return shards.read(tiny.folder / "chars", "train").lengths.tolist()


def test_a_kind_that_is_not_measured(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(bench.PLAIN, "convnet")
    words = [
        "bench",
        "--shards",
        str(tiny.folder / "chars"),
        "--model",
        "conv-small",
        "--config",
        json.dumps(overlay()),
    ]
    assert main(words) == 1
    assert "--model conv-small: is of kind convnet, and lstm, linear are measured" in capsys.readouterr().err


def test_table(tiny: Tiny, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(tiny, capsys)
    assert "conv-small on tiny" in text
    assert "engine : fastest other, float32" in text
    assert "Padding is" in text


def test_saved_speeds_are_those_of_the_engine(
    tiny: Tiny, quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "SPEEDS", tmp_path / "speeds.csv")
    before = len(Speeds.read().all)
    figures = json.loads(run(tiny, capsys, "--json", "--save"))
    found = Speeds.read(tmp_path / "speeds.csv").all
    assert len(found) == before + 2
    for speed, phase in zip(found[-2:], bench.PHASES, strict=True):
        assert (speed.machine, speed.step, speed.kind) == (figures["device_name"], phase, "convnet-small")
        assert speed.rows_per_second in figures[phase].values()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "conv-small", "--against", "fasttext"],
            "--against fasttext: is nothing to compare conv-small with",
        ),
        (["--model", "bow", "--against", "padded"], "--against padded: is nothing to compare bow with; scikit-learn"),
        (["--model", "bow"], "--model bow: is trained by sgd, and trainings of cg are measured"),
        (["--model", "bow", "--save"], "--save: takes ConvNets and LSTMs"),
        (["--model", "conv-small", "--rounds", "0"], "--rounds 0: must be 1 or more"),
    ],
)
def test_what_cannot_be_compared(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    words = ["bench", "--shards", str(tiny.folder / "words"), "--config", json.dumps(overlay()), *options]
    assert main(words) == 1
    assert message in capsys.readouterr().err


SMALL = Inputs(vocab_size=9, length=22, classes=3)


def batch_of(lengths: list[int]) -> Batch:
    generator = np.random.default_rng(0)
    rows = Ragged.from_rows([generator.integers(1, 10, length) for length in lengths], dtype="int32")
    return Split(rows, torch.device("cpu")).batch(np.arange(len(lengths)))


def test_plain_forms_of_an_lstm_are_the_same_network() -> None:
    network = lstm.Settings(embedding_dim=5, hidden_size=4).build(SMALL)
    initialize(network, 0.3, seed=1)
    batch = batch_of([3, 22, 9, 1, 30])
    assert bench.plain(network, torch.float64).keys() == {"padded"}
    forms = bench.plain(network, torch.float64, {"packed"})
    assert forms.keys() == {"padded", "packed"}
    for form in forms.values():
        torch.testing.assert_close(form(batch), network(batch, torch.float64))


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_plain_forms_of_a_word_convnet_are_the_same_network() -> None:
    network = Settings(convolutions=((3, 2), (3, 2)), channels=4, fc=(5,), embedding_dim=6).build(SMALL).eval()
    initialize(network, 0.3, seed=1)
    batch = batch_of([3, 22, 9, 1, 30])
    forms = bench.plain(network, torch.float32)
    torch.testing.assert_close(forms["padded"](batch), network(batch, torch.float32))
    assert bench.plain(network, torch.float32, {"compiled"}).keys() == {"padded", "padded_compiled"}


def test_a_ratio_is_that_to_the_fastest_other_form() -> None:
    found = {"engine_float32": 9.0, "padded_float32": 2.0, "packed_float32": 3.0, "padded_bfloat16": None}
    assert bench._fastest(found, "float32") == 3.0
    assert bench._fastest(found, "bfloat16") is None


def test_operations_and_padding_of_an_lstm() -> None:
    network = lstm.Settings(embedding_dim=5, hidden_size=4).build(SMALL)
    assert bench.operations(network, np.array([2, 30])) == 2 * (16 * (5 + 4) * 12 + 4 * 3)
    assert bench._padding(network, np.array([]), [batch_of([2, 4]), batch_of([30, 22])]) == pytest.approx(2 / 52)


def test_operations_of_full_texts_are_those_of_the_layers() -> None:
    settings = Settings(convolutions=((3, 2), (3, 2)), channels=4, fc=(5,))
    module = settings.build(Inputs(vocab_size=9, length=22, classes=3))
    # 22 columns, 20 after the first convolution, 10 pooled; 8, pooled to 4.
    expected = 2 * (4 * 4 * 3 * 8 + 4 * 4 * 5 + 5 * 3)
    assert bench.operations(module, np.array([22, 30])) == expected
    assert bench.operations(module, np.array([1])) < expected / 2
