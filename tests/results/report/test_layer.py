import base64
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from crepe.cli import main
from crepe.io import tensors
from crepe.results.grid import grids
from crepe.results.report.layer import layer
from tests.support import whole
from tests.support.study import project


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A configuration, and its run of a ConvNet over characters."""
    monkeypatch.chdir(project(tmp_path))
    config = whole.write(datasets=["ag_news"], models=["conv-small"])
    return config, next(run for grid in grids(config) for run in grid.runs)


def test_kernels_with_pictures_and_answers(study):
    shown = layer(study[0], study[1], texts=True)
    assert shown["epochs"] == [0, 6, 12, 18, 24, 30]
    assert shown["lacking"] == ""
    assert len({kernel["number"] for kernel in shown["kernels"]}) == 6
    words = " ".join(whole.WORDS)
    for kernel in shown["kernels"]:
        with Image.open(io.BytesIO(base64.b64decode(kernel["picture"]))) as image:
            assert image.size == (69, 6 * 8 - 1)
        assert len(kernel["answers"]) == 8
        assert all(len(answer.text) == 7 for answer in kernel["answers"])
        values = [answer.value for answer in kernel["answers"]]
        assert values == sorted(values, reverse=True)
        # Pieces of the texts: what is before a blank ends a word, or is within one.
        assert all(answer.text.partition("·")[0] in words for answer in kernel["answers"])


def test_a_copy_to_pass_on(study):
    shown = layer(study[0], study[1], texts=False)
    assert "no texts" in shown["lacking"]
    assert all(kernel["picture"] and not kernel["answers"] for kernel in shown["kernels"])


def test_without_the_shards_or_the_pictures(study):
    config, run = study
    shutil.rmtree("data/shards")
    shutil.rmtree(run.folder / "weights")
    shown = layer(config, run, texts=True)
    assert "not on this machine (data/shards/chars/ag_news)" in shown["lacking"]
    assert shown["epochs"] == [30]


def test_shards_of_other_data_are_not_searched(study):
    config, run = study
    manifest = Path("data/shards/chars/ag_news/manifest.json")
    manifest.write_text(manifest.read_text() + "\n")
    assert "is not the data that the run was trained on" in layer(config, run, texts=True)["lacking"]


def test_without_the_model_or_such_a_layer(study):
    config, run = study
    model = run.folder / "model.safetensors"
    about = {"feature": {"kind": "words"}, "network": {"kind": "linear"}}
    tensors.write(model, about, {})
    assert layer(config, run, texts=True) is None
    model.unlink()
    assert layer(config, run, texts=True) is None


def test_a_damaged_snapshot_ends_it(study, capsys):
    _, run = study
    (run.folder / "weights/epoch-006.safetensors").write_bytes(b"x")
    part = json.dumps({"datasets": ["ag_news"], "models": ["conv-small"]})
    assert main(["report", "--config", part]) == 1
    assert "epoch-006.safetensors: is damaged" in capsys.readouterr().err
    assert not Path("results/paper/report.html").exists()
