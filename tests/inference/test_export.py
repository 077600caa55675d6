"""`crepe export`: the folder, and ONNX against torch."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

import crepe
from crepe.cli import main
from crepe.errors import CrepeError
from crepe.inference.export import write_onnx
from crepe.io.files import write_json
from crepe.models.base import Network
from tests.support import study
from tests.support.classifiers import CLASSES, KINDS, classifier, model, texts, write

pytestmark = pytest.mark.slow

TEXTS = texts(1000)


ODD = {
    "empty": "",
    "unknown": "quux corge, grault",
    "unknown at the end": "purr meow quux corge",
    "one word": "bark",
    "longest": " ".join(["howl sing fly purr new york quux"] * 50),
}


def codes_of(content, rows):
    """Codes of each text, as the snippet in docs/using-a-model.md makes them: int64 [1, columns]."""
    read = content.feature.reader(content.vocabulary)
    return [read(text)[None].astype(np.int64) for text in rows]


def stacked(codes):
    """Texts of unlike lengths as one batch, padded with 0: int64 [rows, columns]."""
    columns = max(row.shape[1] for row in codes)
    return np.concatenate([np.pad(row, ((0, 0), (0, columns - row.shape[1]))) for row in codes])


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_gives_the_probabilities_of_predict(tmp_path, kind):
    content = model(kind)
    write_onnx(content, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == CLASSES

    def run(codes):
        return session.run(None, {"codes": codes})[0]

    expected = classifier(kind).probabilities(TEXTS)
    assert np.ptp(expected, axis=0).min() > 0.01
    codes = codes_of(content, TEXTS)
    for rows in (slice(0, 1), slice(1, 8), slice(8, 200)):
        np.testing.assert_allclose(run(stacked(codes[rows])), expected[rows], atol=1e-5)
    odd = list(ODD.values())
    expected = classifier(kind).probabilities(odd)
    alone = np.concatenate([run(row) for row in codes_of(content, odd)])
    for name, ours, exact in zip(ODD, alone, expected, strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(run(stacked(codes_of(content, odd))), expected, atol=1e-5)


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
    assert "metrics.json: rows: is missing; delete it and run `crepe evaluate`" in capsys.readouterr().err
    other = shutil.copytree(run, tmp_path / "other")
    record = json.loads((other / "run.json").read_text()) | {"classes": ["a", "b", "c"]}
    write_json(other / "run.json", record)
    assert main(["export", str(other), "--to", str(tmp_path / "out")]) == 1
    assert "run.json: is of another model, with other classes" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "other"]


def test_a_network_without_a_padded_form_is_refused(tmp_path):
    content = model("bag")
    object.__setattr__(content, "network", Network())
    with pytest.raises(CrepeError, match="Network: has no padded form, which ONNX needs; define `padded`"):
        write_onnx(content, tmp_path / "model.onnx")
