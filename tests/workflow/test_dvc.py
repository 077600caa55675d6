import itertools
import os
import re
from pathlib import Path

import pytest
import yaml

from crepe import config, layout
from crepe.config import catalog
from tests.support import tiny
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PIPELINES = [ROOT / "dvc.yaml", ROOT / "results/demo/dvc.yaml"]


def stages(path):
    return yaml.safe_load(path.read_text())["stages"]


def outputs(stage):
    """Outs, metrics and plots of a stage with their settings."""
    return {
        path: settings
        for kind in ("outs", "metrics", "plots")
        for entry in stage.get(kind, [])
        for path, settings in entry.items()
    }


# --- The pipeline files


def test_the_demos_pipeline_is_the_papers_but_for_its_variables():
    paper, demo = (yaml.safe_load(path.read_text()) for path in PIPELINES)
    assert demo["stages"] == paper["stages"]
    for pipeline, places in (
        (paper, {"root": ".", "study": "config/config.yaml", "entries": "config/datasets.yaml"}),
        (demo, {"root": "../..", "study": "config/demo.yaml", "entries": "config/demo.yaml"}),
    ):
        first, second = pipeline["vars"]
        assert {key: first[key] for key in places} == places
        assert second == f"{places['root']}/{places['study']}".removeprefix("./")


@pytest.mark.parametrize("path", PIPELINES)
def test_a_pipeline_has_all_that_its_study_needs(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    lists, _ = yaml.safe_load(path.read_text())["vars"]
    study, plain, augmented = config.load(lists["study"]), lists["plain"], lists["augmented"]
    cells = itertools.product(augmented["datasets"], augmented["models"])
    found = [*cells, *itertools.product(study.datasets, plain["models"])]
    assert sorted(found) == sorted(
        cell for cell in itertools.product(study.datasets, study.models) if study.chosen(*cell)
    )
    for part in (plain, augmented):
        models = [study.catalog.models[model] for model in part["models"]]
        assert {model.feature for model in models} == set(part["features"])
        started = [model for model in models if model.weights not in catalog.WEIGHTS]
        assert {model.feature for model in started} == set(part["embedded"])
        assert {model.weights for model in started} <= set(lists["vectors"])
    needed = {str(layout.thesaurus(study.feature(feature).thesaurus)) for feature in augmented["features"]}
    needed |= {f"data/raw/{key}.bin.gz" for key in lists["vectors"] if study.vectors(key).sources}
    assert {f"data/raw/{file}" for file in lists["files"]} == needed


def test_outputs_persist_and_the_small_ones_live_in_git():
    for stage in stages(PIPELINES[0]).values():
        assert all(settings["persist"] is True for settings in outputs(stage).values())
    cached = {
        Path(path).name
        for stage in stages(PIPELINES[0]).values()
        for path, how in outputs(stage).items()
        if how.get("cache", True)
    }
    assert cached == {
        "${item.dataset}.tgz",
        "${item.file}",
        "${item.dataset}",
        "${item.dataset}.safetensors",
        "model.safetensors",
        "predictions.parquet",
        "report.html",
    }


def test_a_stage_asks_snakemake_for_all_that_it_puts_out():
    for stage in stages(PIPELINES[0]).values():
        asked = stage["cmd"].split()
        for path in outputs(stage):
            assert any(word == path or word.startswith(f"{path}/") for word in asked)


# --- The real thing


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository in which `dvc repro` has run the tiny study from the archive to the report; pushed to a remote."""
    folder = tiny.project(tmp_path_factory.mktemp("dvc") / "origin")
    tiny.run(folder, "git", "init", "--quiet")
    tiny.run(folder, "dvc", "remote", "add", "--default", "store", str(folder.parent / "store"))
    commit(folder)
    tiny.run(folder, "dvc", "repro")
    commit(folder)
    tiny.run(folder, "dvc", "push")
    return folder


def commit(folder):
    tiny.run(folder, "git", "add", "--all")
    tiny.run(folder, "git", "commit", "--quiet", "--message", "state")


@pytest.fixture(scope="module")
def clone(origin):
    folder = origin.parent / "clone"
    tiny.run(origin.parent, "git", "clone", "--quiet", str(origin), str(folder))
    tiny.run(folder, "dvc", "pull")
    return folder


def test_what_is_small_is_in_git_and_what_is_not_is_with_dvc(origin):
    files = set(tiny.run(origin, "git", "ls-files", "results", "data", "logs", ".snakemake").split())
    runs = {
        f"results/tiny/runs/toys/{model}/0/{name}"
        for model in ("bow", "conv-small")
        for name in ("history.csv", "metrics.json", "run.json")
    }
    tables = {"results/tiny/table.csv", "results/tiny/table.md"}
    assert {file for file in files if not file.startswith(".snakemake/")} == runs | tables
    assert all(file.startswith((".snakemake/metadata/", "results/")) for file in files)
    assert tiny.run(origin, "git", "status", "--short") == ""
    assert "results/tiny/runs/toys/bow/0/metrics.json" in tiny.run(origin, "dvc", "metrics", "show")


def test_after_clone_and_pull_there_is_nothing_to_do(clone):
    # As unlucky as can be: everything made is older than what it was made from.
    for path in clone.rglob("*"):
        old = path.relative_to(clone).parts[0] in ("data", "results")
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (0, 10**9) if old else None)
    assert tiny.planned(clone) == {}
    assert "up to date" in tiny.run(clone, "dvc", "status")
    assert tiny.run(clone, "git", "status", "--short") == ""


def test_another_recipe_trains_the_model_that_has_it(clone):
    tiny.update(clone / "config/config.yaml", {"training": {"counts": {"epochs": 3}}})
    assert tiny.planned(clone) == {"train": 1, "evaluate": 1, "table": 1, "report": 1}
    tiny.run(clone, "git", "checkout", "--quiet", ".")


def test_another_dataset_is_a_chain_of_its_own(clone):
    tiny.update(clone / "config/datasets.yaml", {"catalog": {"datasets": {"more": tiny.dataset()}}})
    tiny.update(clone / "config/config.yaml", {"datasets": ["toys", "more"]})
    changed = set(re.findall(r"^(\S+):$", tiny.run(clone, "dvc", "status"), flags=re.M))
    # Entries of datasets may change features; Snakemake says whether these do.
    encoded = {f"encode@{key}-{feature}" for key in ("toys", "more") for feature in ("chars", "words")}
    assert changed == {"data@more", *encoded, "train@more-bow-0", "train@more-conv-small-0", "table"}
    chain = {"download": 1, "clean": 1, "encode": 2, "train": 2, "evaluate": 2}
    assert tiny.planned(clone) == {**chain, "table": 1, "report": 1}
    tiny.run(clone, "git", "checkout", "--quiet", ".")


def test_changed_code_runs_again_and_what_comes_out_the_same_stops_there(clone):
    path = clone / "crepe/data/encode.py"
    path.write_text(path.read_text() + "\n# Changed.\n")
    assert tiny.planned(clone) == {"encode": 2, "train": 2, "evaluate": 2, "table": 1, "report": 1}
    text = tiny.run(clone, "dvc", "repro", "encode")
    assert len(re.findall(r"^start encode ", text, flags=re.M)) == 2
    assert "start train" not in text
    assert tiny.planned(clone) == {}
