"""The committed pipelines; `test_promise.py` runs one."""

import shutil

import yaml

from crepe import layout
from crepe.cli import main
from crepe.config import load
from crepe.workflow import pipeline
from tests.support.paths import ROOT, inside


def test_the_demos_pipeline_is_as_crepe_pipeline_writes_it():
    path = layout.pipeline("demo")
    assert (ROOT / path).read_text() == pipeline.text(path, layout.overlay("demo"))


def test_the_papers_pipeline_differs_from_a_studys_in_its_names_only():
    paper, path = yaml.safe_load((ROOT / "dvc.yaml").read_text()), layout.pipeline("paper")
    written = yaml.safe_load(pipeline.text(path, layout.overlay("paper")))
    stage = written["stages"]["paper"]
    assert stage.pop("wdir") == "../.."
    stage["cmd"] = "crepe record"
    stage["params"].pop()
    assert paper["stages"]["paper"] == stage
    assert paper["metrics"] == [str(layout.study("paper") / layout.DVC_METRICS)]


def test_a_pipeline_depends_on_the_files_that_name_its_rows(tmp_path):
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/linear.yaml", tmp_path / "config")
    with inside(tmp_path):
        assert main(["pipeline", "--config", "config/linear.yaml"]) == 0
    written = yaml.safe_load((tmp_path / layout.pipeline("linear")).read_text())
    code, *subsets = written["stages"]["linear"]["deps"]
    assert code == str(layout.CODE)
    assert subsets == [f"config/subsets/{key}.parquet" for key in load("config/linear.yaml").datasets]
