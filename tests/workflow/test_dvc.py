"""Snakemake and DVC together, on a tiny study: what is recorded, and what is made again."""

import re
from pathlib import Path

import pytest
import yaml

from crepe import layout
from crepe.workflow import pipeline
from tests.support import tiny
from tests.support.paths import ROOT

# Minutes, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# --- The pipeline files


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


# --- The real thing


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository in which `dvc repro` has run the tiny study from the archive to the report; pushed to a remote."""
    folder = tiny.project(tmp_path_factory.mktemp("dvc") / "origin")
    tiny.run(folder, "git", "init", "--quiet")
    tiny.run(folder, "dvc", "remote", "add", "--default", "store", str(folder.parent / "store"))
    tiny.commit(folder)
    tiny.run(folder, "dvc", "repro")
    tiny.commit(folder)
    tiny.run(folder, "dvc", "push")
    return folder


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
        for name in (
            *("history.csv", "metrics.json", "run.json"),
            *("model.safetensors.dvc", "predictions.parquet.dvc"),
        )
    }
    tables = {f"results/tiny/{name}" for name in ("table.csv", "table.md", "report.html.dvc", "metrics/toys.json")}
    data = {f"data/{name}.dvc" for name in ("raw/toys.tgz", "clean/toys", "shards/chars/toys", "shards/words/toys")}
    done = {f"data/done/{name}/toys" for name in ("download", "clean", "encode/chars", "encode/words")}
    assert files == runs | tables | data | done
    assert tiny.run(origin, "git", "status", "--short") == ""
    shown = tiny.run(origin, "dvc", "metrics", "show").splitlines()
    assert [line.split()[0] for line in shown] == ["Path", "results/tiny/metrics/toys.json"]
    assert shown[0].split()[1:] == ["bow", "conv-small"]


def test_after_clone_and_pull_there_is_nothing_to_do(clone):
    tiny.age(clone)
    assert tiny.planned(clone) == {}
    assert "up to date" in tiny.run(clone, "dvc", "status")
    assert tiny.run(clone, "git", "status", "--short") == ""


def test_a_clone_without_the_remote_trains_nothing(origin):
    folder = origin.parent / "bare"
    tiny.run(origin.parent, "git", "clone", "--quiet", str(origin), str(folder))
    assert set(tiny.planned(folder)) <= {"table", "report"}
    assert len(tiny.run(folder, "dvc", "status").splitlines()) <= 30


def test_another_recipe_trains_the_model_that_has_it(clone):
    tiny.update(clone / "config/config.yaml", {"training": {"counts": {"epochs": 3}}})
    assert tiny.planned(clone) == {"train": 1, "evaluate": 1, "table": 1, "report": 1}
    assert set(re.findall(r"^(\S+):$", tiny.run(clone, "dvc", "status"), flags=re.M)) == {"tiny"}
    tiny.run(clone, "git", "checkout", "--quiet", ".")


def test_another_title_trains_nothing(clone):
    tiny.update(clone / "config/datasets.yaml", {"catalog": {"datasets": {"toys": {"title": "Toys"}}}})
    assert tiny.planned(clone) == {"table": 1, "report": 1}
    tiny.run(clone, "git", "checkout", "--quiet", ".")


def test_another_dataset_is_a_chain_of_its_own(clone):
    tiny.update(clone / "config/datasets.yaml", {"catalog": {"datasets": {"more": tiny.dataset()}}})
    tiny.update(clone / "config/config.yaml", {"datasets": ["toys", "more"]})
    chain = {"download": 1, "clean": 1, "encode": 2, "train": 2, "evaluate": 2}
    assert tiny.planned(clone) == {**chain, "table": 1, "report": 1}
    tiny.run(clone, "git", "checkout", "--quiet", ".")


def test_a_comment_changes_nothing_for_both_tools(clone):
    for path in (clone / "crepe").rglob("*.py"):
        path.write_text(path.read_text() + "\n# A comment.\n")
    assert tiny.planned(clone) == {}
    text = tiny.run(clone, "dvc", "repro")
    assert "Running stage 'code'" in text
    assert "Stage 'tiny' didn't change, skipping" in text
    tiny.run(clone, "git", "checkout", "--quiet", ".")


def test_an_experiment_trains_what_it_changes_and_is_applied(clone):
    change = "config/config.yaml:training.counts.epochs=3"
    text = tiny.run(clone, "dvc", "exp", "run", "--temp", "--set-param", change, "--name", "longer")
    assert re.findall(r"^start (.*)$", text, flags=re.M) == [
        *("train toys bow 0", "evaluate toys bow 0", "table", "report", "all"),
    ]
    tiny.run(clone, "dvc", "exp", "apply", "longer")
    assert tiny.planned(clone) == {}
    assert "up to date" in tiny.run(clone, "dvc", "status")
    tiny.run(clone, "git", "checkout", "--quiet", ".")
    tiny.run(clone, "dvc", "checkout", "--quiet", "--force")


@pytest.fixture
def another(origin, tmp_path):
    """A clone of a test's own."""
    folder = tmp_path / "clone"
    tiny.run(origin.parent, "git", "clone", "--quiet", str(origin), str(folder))
    tiny.run(folder, "dvc", "pull", "--quiet")
    return folder


def test_a_study_of_its_own_takes_the_data_that_is_there(another):
    mine = {"name": "mine", "models": ["bow"], "training": {"counts": {"epochs": 3}}}
    tiny.write(another / "config/mine.yaml", mine)
    tiny.run(another, "crepe", "pipeline", "--config", "config/mine.yaml")
    text = tiny.run(another, "dvc", "repro", "results/mine/dvc.yaml")
    assert re.findall(r"^start (.*)$", text, flags=re.M) == [
        *("train toys bow 0", "evaluate toys bow 0", "table", "report", "all"),
    ]
    tiny.commit(another)
    assert "up to date" in tiny.run(another, "dvc", "status")
    assert "results/mine/metrics/toys.json" in tiny.run(another, "dvc", "metrics", "show")


def test_a_bad_dataset_leaves_a_partial_table(another):
    bad = tiny.dataset() | {"train_rows": tiny.ROWS["train"] + 1}
    tiny.update(another / "config/datasets.yaml", {"catalog": {"datasets": {"more": bad}}})
    tiny.update(another / "config/config.yaml", {"datasets": ["toys", "more"]})
    text = tiny.run(another, "dvc", "repro", status=255)
    assert "Error in rule clean:" in text
    partial = tiny.lines(another / layout.partial_results("tiny"), "error_pct")
    assert [(line["dataset"], line["model"]) for line in partial] == [("toys", "bow"), ("toys", "conv-small")]
    assert "**Partial: 2 of 4 runs.**" in (another / layout.partial_results("tiny", "md")).read_text()
    # The archive was good, and is recorded.
    assert (another / "data/raw/more.tgz.dvc").exists()


def test_a_failed_cell_leaves_the_others_recorded_and_fails_again(clone):
    """A learning rate that no training survives: no old figure passes for a new one, however often it is tried."""
    tiny.update(clone / "config/config.yaml", {"training": {"counts": {"learning_rate": 1e30, "epochs": 3}}})
    run = Path("results/tiny/runs/toys/bow/0")
    for _ in range(2):
        text = tiny.run(clone, "dvc", "repro", status=255)
        assert "Error in rule train:" in text
        assert not (clone / run / layout.METRICS).exists()
        assert not (clone / layout.table("tiny")).exists()
    (partial,) = tiny.lines(clone / layout.partial_results("tiny"), "error_pct")
    assert partial["model"] == "conv-small"
    assert "**Partial: 1 of 2 runs.**" in (clone / layout.partial_results("tiny", "md")).read_text()
    assert "Study tiny, partial<" in (clone / layout.partial_results("tiny", "html")).read_text()
    # Not all is lost: the other model needs no training.
    tiny.run(clone, "git", "checkout", "--quiet", "config")
    assert tiny.planned(clone) == {"train": 1, "evaluate": 1, "table": 1, "report": 1}
