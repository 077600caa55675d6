"""The committed pipelines; `test_promise.py` runs one."""

import yaml

from crepe import layout
from crepe.workflow import pipeline
from tests.support.paths import ROOT


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
