"""Trainings of scikit-learn and fastText beside ours: the same features, the same rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from crepe import layout
from crepe.cli import main
from crepe.data import shards
from crepe.data.shards import Manifest
from crepe.io.files import digest
from crepe.models.base import Inputs
from crepe.models.batch import Split
from crepe.models.linear import Settings
from crepe.training import peers
from tests.support.shards import ROWS, WORDS, Tiny, overlay

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def run(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    content = overlay()
    content["training"]["cg-counts"] = {"kind": "cg", "l2": 0.001, "tolerance": 0.001}
    content["catalog"]["models"]["bow"]["training"] = "cg-counts"
    words = ["bench", "--shards", str(folder), "--model", "bow", "--device", "cpu", "--rounds", "2"]
    assert main([*words, "--config", json.dumps(content), *options]) == 0
    return capsys.readouterr().out


def test_scikit_learn(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    figures = json.loads(run(tiny.folder / "words", capsys, "--json"))
    assert figures["train_seconds"].keys() == figures["test_error_pct"].keys() == {"crepe", "sgd", "saga", "lbfgs"}
    # Both are at the minimum of the same objective.
    low, high = figures["intervals"]["lbfgs"]
    assert low <= figures["test_error_pct"]["crepe"] <= high
    assert figures["matrix_seconds"]["crepe"] == 0
    assert figures["matrix_seconds"]["lbfgs"] <= figures["train_seconds"]["lbfgs"]
    fastest = min(seconds for name, seconds in figures["train_seconds"].items() if name != "crepe")
    assert figures["ratio"] == pytest.approx(fastest / figures["train_seconds"]["crepe"], abs=1e-3)


@pytest.mark.parametrize("normalize", ["none", "l2", "max-text"])
def test_the_matrix_has_the_features_of_the_network(tiny: Tiny, normalize: str) -> None:
    network = Settings(normalize=normalize).build(Inputs(vocab_size=WORDS, length=None, classes=3))
    with torch.no_grad():
        network.table.normal_()
        network.table[0] = network.bias[:] = 0
    split = Split(shards.read(tiny.folder / "words", "train"), torch.device("cpu"))
    rows = np.arange(len(split))
    logits = torch.empty(len(split), len(network.bias))
    for found, batch in split.by_length(len(rows)):
        logits[found] = network(batch, torch.float32).detach()
    product = peers.matrix(split, network) @ network.table[1:].detach().numpy()
    np.testing.assert_allclose(product, logits.numpy(), rtol=1e-4, atol=1e-4)


def test_fasttext(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fasttext")
    monkeypatch.chdir(tmp_path)
    clean, folder = layout.clean("tiny"), tmp_path / "words"
    clean.mkdir(parents=True)
    folder.mkdir()
    for path in (tiny.folder / "words").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = json.loads((folder / "manifest.json").read_text())
    for split, rows in ROWS.items():
        labels = np.arange(rows, dtype=np.int32) % 2
        texts = [f"good, {number} fine" if label else "bad poor" for number, label in enumerate(labels)]
        pq.write_table(pa.table({"label": labels, "text": texts}), clean / f"{split}.parquet")
        content["clean"][split] = digest(clean / f"{split}.parquet")
    (folder / "manifest.json").write_text(json.dumps(content))
    assert Manifest.read(folder).clean == content["clean"]
    text = run(folder, capsys, "--against", "fasttext")
    assert "fasttext" in text
    assert "fastest other : crepe" in text
    (clean / "train.parquet").unlink()
    words = ["bench", "--shards", str(folder), "--model", "bow", "--against", "fasttext", "--config"]
    content = overlay()
    content["catalog"]["models"]["bow"]["training"] = "cg-counts"
    assert main([*words, json.dumps(content)]) == 1
    assert "train.parquet: is not there; fastText reads texts: run `crepe clean`" in capsys.readouterr().err
