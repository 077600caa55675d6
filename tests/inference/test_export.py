"""`crepe export`: the folder, and ONNX against torch."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml

import crepe
from crepe import features
from crepe.cli import main
from crepe.errors import CrepeError
from crepe.inference.export import write_onnx
from crepe.io.files import write_json
from tests.support import study
from tests.support.classifiers import CLASSES, classifier, model, texts, write

TEXTS = texts(1000)


def padded(content, rows):
    """int64 [rows, columns]: codes of texts as the model card says."""
    read = features.kind(content.feature.kind).reader(content.feature, content.vocabulary)
    codes = [read(text) for text in rows]
    columns = content.feature.length or max(map(len, codes))
    return np.stack([np.pad(text, (0, columns - len(text))) for text in codes]).astype(np.int64)


@pytest.mark.parametrize("kind", ["characters", "word columns", "bag", "tf-idf", "lstm"])
def test_onnx_says_what_torch_says(tmp_path, kind):
    content = model(kind)
    write_onnx(content, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    codes = padded(content, TEXTS)
    parts = [session.run(None, {"codes": part})[0] for part in np.split(codes, [1, 8, 200])]
    expected = classifier(kind).probabilities(TEXTS)
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.01
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == CLASSES
    if content.feature.length is None:
        short = session.run(None, {"codes": codes[:1, :1]})[0]
        np.testing.assert_allclose(short, expected[:1], atol=1e-4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run, and the folder that it is exported to."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study.project(folder))
        run = folder / study.write_run(study.small(), "pets", "bow", errors=20)
    write(run, "bag")
    assert main(["export", str(run), "--to", str(folder / "to/pets")]) == 0
    return run, folder / "to/pets"


def test_the_folder_is_whole_and_moves(exported, tmp_path):
    run, folder = exported
    names = ["README.md", "config.json", "metrics.json", "model.onnx", "model.safetensors", "run.json"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "vocabulary.txt"]
    assert [path.name for path in folder.parent.iterdir()] == ["pets"]
    assert (folder / "vocabulary.txt").read_text().split() == model("bag").vocabulary
    config = json.loads((folder / "config.json").read_text())
    assert (config["classes"], config["feature"]["kind"], config["network"]["kind"]) == (CLASSES, "words", "linear")
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    rows = TEXTS[:50]
    assert crepe.load(moved, "cpu").predict(rows) == crepe.load(run, "cpu").predict(rows)


def test_the_card(exported):
    _, folder = exported
    front, text = (folder / "README.md").read_text().removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(front)["pipeline_tag"] == "text-classification"
    for fact in (
        "# bow on Pets",
        r"cats, dogs & \<b\>wolves\</b\>, birds",
        "300 rows to train on, 100 to test on",
        "| 100 | 20 | 20.00 | 14.00 to 27.00 | 50.00 |",
        "0123456789abcdef",
        "a" * 64,
    ):
        assert fact in text, fact
    assert "None" not in text
    assert "no better than" not in text


def test_a_model_without_a_record_says_so(tmp_path):
    source = write(tmp_path / "bare", "bag")
    assert main(["export", str(source / "model.safetensors"), "--to", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out/README.md").read_text()
    assert card.count("Not known: ") == 2
    assert not (tmp_path / "out/run.json").exists()


def test_refusals_leave_nothing_behind(exported, tmp_path, capsys):
    run, folder = exported
    assert main(["export", str(run), "--to", str(folder)]) == 1
    assert f"{folder}: is there already" in capsys.readouterr().err
    damaged = shutil.copytree(run, tmp_path / "damaged")
    (damaged / "metrics.json").write_text("{}")
    assert main(["export", str(damaged), "--to", str(tmp_path / "out")]) == 1
    assert "metrics.json: is damaged, or of another version" in capsys.readouterr().err
    other = shutil.copytree(run, tmp_path / "other")
    record = json.loads((other / "run.json").read_text()) | {"classes": ["a", "b", "c"]}
    write_json(other / "run.json", record)
    assert main(["export", str(other), "--to", str(tmp_path / "out")]) == 1
    assert "run.json: is of another model, with other classes" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "other"]


def test_a_network_without_a_plain_form_is_refused(tmp_path):
    content = model("bag")
    object.__setattr__(content, "network", torch.nn.Linear(2, 2))
    with pytest.raises(CrepeError, match="linear: cannot be exported as ONNX: there is no plain form of Linear"):
        write_onnx(content, tmp_path / "model.onnx")
