"""`crepe train` and `crepe evaluate` on tiny shards, and what they leave behind."""

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from crepe.cli import main
from crepe.data import shards
from crepe.errors import CrepeError
from crepe.evaluation.evaluate import evaluate
from crepe.inference.classifier import load
from crepe.io.files import digest, write_json
from crepe.models import saved
from crepe.records.history import COLUMNS
from crepe.training.train import train
from tests.support.shards import Tiny, overlay, sgd

MODELS = ("conv-small", "bow", "bow-tfidf")


@pytest.fixture(scope="module", params=MODELS)
def run(request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    feature = "chars" if request.param == "conv-small" else "words"
    train(tiny.config, "tiny", request.param, 0, tiny.folder / feature, folder, "cpu")
    evaluate(folder, tiny.folder / feature, "cpu")
    return folder


def test_files(run: Path) -> None:
    names = ["history.csv", "metrics.json", "model.safetensors", "predictions.parquet", "run.json"]
    if run.name.startswith("conv"):
        names.append("weights")
    assert sorted(path.name for path in run.iterdir()) == names


def test_provenance(run: Path, tiny: Tiny) -> None:
    facts = json.loads((run / "run.json").read_text())
    feature = facts["feature"]["kind"]
    folder = tiny.folder / ("chars" if feature == "characters" else "words")
    assert facts["dataset"] == "tiny"
    assert facts["rows"] == {"train": 120, "test": 50}
    assert facts["data"]["manifest"] == digest(folder / "manifest.json")
    assert facts["training"]["batches_per_epoch"] == 20
    assert (facts["epochs"], facts["batches"], facts["complete"]) == (3, 60, True)
    assert facts["machine"]["versions"]["torch"] == torch.__version__
    assert len(facts["code"]["digest"]) == 64
    assert facts["samples_per_second"] > 0


def test_history(run: Path) -> None:
    lines = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert tuple(lines[0]) == COLUMNS
    assert [line["samples"] for line in lines] == ["320", "640", "960"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert float(lines[-1]["test_error_pct"]) == metrics["error_pct"]
    assert float(lines[-1]["test_loss"]) == metrics["loss"]
    assert metrics["error_pct"] < 30


def test_metrics_follow_from_the_predictions(run: Path, tiny: Tiny) -> None:
    predictions = pq.read_table(run / "predictions.parquet")
    metrics = json.loads((run / "metrics.json").read_text())
    labels, predicted = (predictions[name].to_numpy() for name in ("label", "predicted"))
    facts = json.loads((run / "run.json").read_text())
    folder = tiny.folder / ("chars" if facts["feature"]["kind"] == "characters" else "words")
    assert labels.tolist() == shards.read(folder, "test").labels.tolist()
    assert metrics["rows"] == len(labels) == 50
    assert metrics["errors"] == int((labels != predicted).sum())
    assert metrics["error_pct"] == 100 * metrics["errors"] / 50
    assert metrics["ci_low"] < metrics["error_pct"] < metrics["ci_high"]
    assert np.array(metrics["confusion"]).sum() == 50
    assert np.trace(metrics["confusion"]) == 50 - metrics["errors"]
    probability, loss = (predictions[name].to_numpy() for name in ("probability", "loss"))
    right = labels == predicted
    np.testing.assert_allclose(np.exp(-loss[right]), probability[right], rtol=1e-5)


def test_the_same_bytes_again(run: Path, tiny: Tiny, tmp_path: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    folder = tiny.folder / ("chars" if facts["feature"]["kind"] == "characters" else "words")
    train(tiny.config, "tiny", facts["model"], 0, folder, tmp_path, "cpu")
    evaluate(tmp_path, folder, "cpu")
    for name in ("model.safetensors", "history.csv", "metrics.json", "predictions.parquet"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_the_model_is_enough_to_predict(run: Path) -> None:
    classifier = load(run, "cpu")
    assert classifier.classes == ["low", "high"]
    texts = ["aaaa bbbb cccc dddd aaaa", "{[(<>=+~`*&^%$#@_|/\\ ]}", "", ("title", "body")]
    if saved.load(run, torch.device("cpu")).vocabulary:
        texts[:2] = ["w01 w02 w03 w04 w01 w05 w06", "W39 w38 w37 w36 w35 w39"]
    probabilities = classifier.probabilities(texts)
    assert classifier.predict(texts)[:2] == ["low", "high"]
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert classifier.predict([]) == []


def test_shards_of_other_data_are_refused(run: Path, tiny: Tiny) -> None:
    facts = json.loads((run / "run.json").read_text())
    other = tiny.folder / ("words" if facts["feature"]["kind"] == "characters" else "chars")
    with pytest.raises(CrepeError, match=r"is not the data that .* was trained on"):
        evaluate(run, other, "cpu")


@pytest.mark.parametrize(("content", "message"), [(b"", "is damaged"), (None, "is missing; run `crepe train`")])
def test_a_damaged_or_missing_model(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CrepeError, match=message):
        saved.load(tmp_path, torch.device("cpu"))


@pytest.mark.parametrize("content", [{}, {"data": []}, {"data": {"manifest": "x"}, "precision": "float8"}])
def test_a_damaged_record(tiny: Tiny, tmp_path: Path, content: dict) -> None:
    write_json(tmp_path / "run.json", content)
    with pytest.raises(CrepeError, match=r"run.json: .*; delete it and run `crepe train`"):
        evaluate(tmp_path, tiny.folder / "chars", "cpu")


def test_refusals(tiny: Tiny, tmp_path: Path) -> None:
    chars = tiny.folder / "chars"
    with pytest.raises(CrepeError, match="model 'conv-tiny' is not in the catalog"):
        train(tiny.config, "tiny", "conv-tiny", 0, chars, tmp_path)
    with pytest.raises(CrepeError, match="has chars of tiny, not words of tiny"):
        train(tiny.config, "tiny", "bow", 0, chars, tmp_path)
    with pytest.raises(CrepeError, match="has chars of tiny, not chars of ag_news"):
        train(tiny.config, "ag_news", "conv-small", 0, chars, tmp_path)
    with pytest.raises(CrepeError, match="--seed -1: is not among 0 to 4294967295"):
        train(tiny.config, "tiny", "conv-small", -1, chars, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_short_run_says_so(tiny: Tiny, tmp_path: Path) -> None:
    train(tiny.config, "tiny", "conv-small", 0, tiny.folder / "chars", tmp_path, "cpu", steps=5)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["epochs"], facts["batches"], facts["complete"]) == (1, 5, False)


@pytest.mark.parametrize(
    ("max_grad_norm", "advice"),
    [(None, ", or `max_grad_norm: 1` in the recipe, another seed"), (1e9, ", another seed")],
)
def test_a_rate_that_is_too_high_ends_the_command(tiny: Tiny, tmp_path: Path, capsys, max_grad_norm, advice) -> None:
    """In a folder with a finished run: neither that nor the new one looks finished then."""
    folder = tmp_path / "run"
    train(tiny.config, "tiny", "conv-small", 0, tiny.folder / "chars", folder, "cpu", steps=5)
    evaluate(folder, tiny.folder / "chars", "cpu")
    config = overlay()
    config["training"]["convnet"] |= {"learning_rate": 1e6, "max_grad_norm": max_grad_norm}
    options = ["--device", "cpu", "--config", json.dumps(config), "--shards", str(tiny.folder / "chars")]
    assert main(["train", "tiny", "conv-small", *options, "--output", str(folder)]) == 1
    said = capsys.readouterr().err
    assert re.search(
        r"^crepe train: conv-small on tiny: the loss is (nan|inf) at batch \d+ \(epoch 1\); "
        rf"try a smaller learning_rate than 1e\+06{advice}, or --precision float32$",
        said,
        flags=re.M,
    )
    # What onlookers saw is left, and nothing else.
    assert {path.name for path in folder.iterdir()} == {"progress.json", "weights"}
    assert {path.name for path in (folder / "weights").iterdir()} == {"epoch-000.safetensors"}
    assert main(["evaluate", str(folder), "--shards", str(tiny.folder / "chars"), "--device", "cpu"]) == 1


def test_bfloat16_trains(tiny: Tiny, tmp_path: Path) -> None:
    train(tiny.config, "tiny", "conv-small", 0, tiny.folder / "chars", tmp_path, "cpu", "bfloat16", steps=20)
    evaluate(tmp_path, tiny.folder / "chars", "cpu")
    assert json.loads((tmp_path / "run.json").read_text())["precision"] == "bfloat16"
    assert all(
        tensor.dtype == torch.float32 for tensor in saved.load(tmp_path, torch.device("cpu")).network.parameters()
    )


def test_a_schedule_that_is_not_the_datasets(tiny: Tiny, tmp_path: Path) -> None:
    recipe = dataclasses.replace(sgd(tiny.config.training["convnet"]), epochs=1, batches_per_epoch=3)
    config = dataclasses.replace(tiny.config, training={**tiny.config.training, "convnet": recipe})
    train(config, "tiny", "conv-small", 0, tiny.folder / "chars", tmp_path, "cpu")
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["batches"], facts["complete"]) == (3, True)


def test_out_of_memory_is_a_fault_of_the_settings(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = iter(range(30))
    loss_of = torch.nn.functional.cross_entropy

    def fill(*arguments: Any) -> torch.Tensor:
        if next(losses, None) is None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss_of(*arguments)

    words = ["train", "tiny", "bow", "--config", json.dumps(overlay()), "--device", "cpu"]
    words += ["--shards", str(tiny.folder / "words"), "--output", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "cross_entropy", fill)
        assert main(words) == 1
    assert "GiB.; give the recipe a smaller `batch_size`, " in capsys.readouterr().err
    # Only what it goes on from is left, the end of the first epoch, and how far it had come.
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-0000000020.safetensors", "progress.json"}
    assert main(words) == 0
    assert "bow on tiny: continues after 20 of " in capsys.readouterr().err
    assert (tmp_path / "model.safetensors").exists()


def test_a_minibatch_that_no_memory_can_hold(tiny: Tiny, tmp_path: Path) -> None:
    recipe = dataclasses.replace(sgd(tiny.config.training["counts"]), batch_size=2**47)
    config = dataclasses.replace(tiny.config, training={**tiny.config.training, "counts": recipe})
    with pytest.raises(CrepeError, match=r"out of memory: .*; give the recipe a smaller `batch_size`"):
        train(config, "tiny", "bow", 0, tiny.folder / "words", tmp_path, "cpu")
    assert list(tmp_path.iterdir()) == []
