"""The promises of Snakemake and DVC together, in a clone of the repository, on a small study: docs/versioning.md."""

import os
import re
from pathlib import Path

import pytest

from crepe import layout
from tests.support import tiny

# Minutes, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

OLD = (10**9, 10**9)
MODELS = ("bow", "bow-tfidf")
OVERLAY = layout.overlay("tiny")
PIPELINE = str(layout.pipeline("tiny"))
SNAKEMAKE = ("--configfile", str(OVERLAY))
ROW = ["train toys bow 0", "evaluate toys bow 0", "table", "report", "all"]
"""The steps of a row whose recipe has changed."""


def test_from_a_clone_of_the_repository(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    first_run(origin)
    what_is_small_is_in_git(origin)
    tiny.run(origin, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    tiny.commit(origin)
    tiny.run(origin, "dvc", "push", "--quiet")
    a_clone_without_the_remote_trains_nothing(origin, tmp_path / "bare")
    tiny.run(tmp_path, "git", "clone", "--quiet", str(origin), str(clone))
    tiny.run(clone, "dvc", "pull", "--quiet")
    nothing_to_do_in_a_clone(clone)
    comments_change_nothing(clone)
    changes_make_what_depends_on_them(clone)
    an_experiment_is_applied(clone)
    another_study_takes_the_data(clone)
    what_fails_is_not_hidden(clone)


def started(text: str) -> list[str]:
    """The steps that Snakemake has started."""
    return re.findall(r"^start (.*)$", text, flags=re.M)


def restore(folder: Path) -> None:
    """Bring back the files of the last commit."""
    tiny.run(folder, "git", "checkout", "--quiet", ".")
    tiny.run(folder, "git", "clean", "--quiet", "--force", "config", "results")
    tiny.run(folder, "dvc", "checkout", "--quiet", "--force")


def first_run(folder: Path) -> None:
    """Without any network: the archive has been placed by hand, has an old time, and its source answers nothing."""
    tiny.clone(folder)
    raw = folder / layout.archive("toys")
    tiny.archive(raw)
    os.utime(raw, OLD)
    # For other datasets.
    tiny.archive(folder / "archives/toys.tgz")
    source = {"url": "http://127.0.0.1:9/toys.tgz", "sha256": tiny.sha256(raw)}
    study = tiny.study(("toys",), MODELS)
    catalog = {"datasets": {"toys": tiny.dataset() | {"sources": [source]}}, "models": {"bow": {"training": "counts"}}}
    tiny.write(folder / OVERLAY, study | {"catalog": catalog})
    tiny.run(folder, "crepe", "pipeline", "--config", str(OVERLAY))
    before = set((folder / "data").rglob("*"))
    assert tiny.planned(folder, *SNAKEMAKE)["train"] == 2
    assert set((folder / "data").rglob("*")) == before
    text = tiny.run(folder, "dvc", "repro", PIPELINE)
    assert len([step for step in started(text) if step.startswith("train ")]) == 2
    # Old times, changed code, and the will to make it again: it is there, and right.
    os.utime(raw, OLD)
    code = folder / "crepe/data/download.py"
    code.write_text(code.read_text() + "\nCHANGED = 1\n")
    assert tiny.planned(folder, *SNAKEMAKE) == {}
    tiny.run(folder, "snakemake", "--forcerun", "download", *SNAKEMAKE, "--", str(raw.relative_to(folder)))
    kept = folder / layout.store(tiny.sha256(raw))
    assert tiny.sha256(kept) == source["sha256"] == kept.name
    tiny.run(folder, "git", "checkout", "--quiet", "crepe")
    tiny.commit(folder)


def what_is_small_is_in_git(folder: Path) -> None:
    """And what is not is with DVC."""
    files = set(tiny.run(folder, "git", "ls-files", "results/tiny", "data", "logs", ".snakemake").split())
    runs = {
        f"results/tiny/runs/toys/{model}/0/{name}"
        for model in MODELS
        for name in ("history.csv", "metrics.json", "run.json", "model.safetensors.dvc", "predictions.parquet.dvc")
    }
    tables = {f"results/tiny/{name}" for name in ("table.csv", "table.md", "report.html.dvc", "metrics/toys.json")}
    data = {f"data/{name}.dvc" for name in ("raw/toys.tgz", "clean/toys", "shards/words/toys")}
    done = {f"data/done/{name}/toys" for name in ("download", "clean", "encode/words")}
    assert files == runs | tables | data | done | {PIPELINE, "results/tiny/dvc.lock"}
    assert tiny.run(folder, "git", "status", "--short") == ""
    shown = tiny.run(folder, "dvc", "metrics", "show").splitlines()
    assert "results/tiny/metrics/toys.json" in [line.split()[0] for line in shown]


def a_clone_without_the_remote_trains_nothing(origin: Path, folder: Path) -> None:
    tiny.run(origin.parent, "git", "clone", "--quiet", str(origin), str(folder))
    assert set(tiny.planned(folder, *SNAKEMAKE)) <= {"table", "report"}
    assert "not in cache:       data/raw/toys.tgz" in tiny.run(folder, "dvc", "status")


def nothing_to_do_in_a_clone(folder: Path) -> None:
    tiny.age(folder)
    assert tiny.planned(folder, *SNAKEMAKE) == {}
    assert "up to date" in tiny.run(folder, "dvc", "status", PIPELINE)
    # The paper's study has never been run.
    changed = re.findall(r"^(\S+):$", tiny.run(folder, "dvc", "status"), flags=re.M)
    assert "paper" in changed
    assert f"{PIPELINE}:tiny" not in changed
    assert tiny.run(folder, "git", "status", "--short") == ""


def comments_change_nothing(folder: Path) -> None:
    for path in (folder / "crepe").rglob("*.py"):
        path.write_text(path.read_text() + "\n# A comment.\n")
    assert tiny.planned(folder, *SNAKEMAKE) == {}
    text = tiny.run(folder, "dvc", "repro", PIPELINE)
    assert "Running stage 'code'" in text
    assert f"Stage '{PIPELINE}:tiny' didn't change, skipping" in text
    restore(folder)


def changes_make_what_depends_on_them(folder: Path) -> None:
    """A rate makes its rows again, a title the table, another dataset a chain of its own."""
    path, tables = folder / OVERLAY, {"table": 1, "report": 1}
    tiny.update(path, {"training": {"counts": {"learning_rate": 0.02}}})
    assert tiny.planned(folder, *SNAKEMAKE) == {"train": 1, "evaluate": 1, **tables}
    assert set(re.findall(r"^(\S+):$", tiny.run(folder, "dvc", "status", PIPELINE), flags=re.M)) == {PIPELINE + ":tiny"}
    restore(folder)
    tiny.update(path, {"catalog": {"datasets": {"toys": {"title": "Toys"}}}})
    assert tiny.planned(folder, *SNAKEMAKE) == tables
    tiny.update(path, {"datasets": ["toys", "more"], "catalog": {"datasets": {"more": tiny.dataset()}}})
    assert tiny.planned(folder, *SNAKEMAKE) == {
        "download": 1,
        "clean": 1,
        "encode": 1,
        "train": 2,
        "evaluate": 2,
        **tables,
    }
    restore(folder)


def an_experiment_is_applied(folder: Path) -> None:
    change = f"{OVERLAY}:training.counts.learning_rate=2e-02"
    text = tiny.run(folder, "dvc", "exp", "run", "--temp", "-S", change, "--name", "faster", PIPELINE)
    assert started(text) == ROW
    tiny.run(folder, "dvc", "exp", "apply", "faster")
    assert tiny.planned(folder, *SNAKEMAKE) == {}
    assert "up to date" in tiny.run(folder, "dvc", "status", PIPELINE)
    restore(folder)


def another_study_takes_the_data(folder: Path) -> None:
    """A study of your own, whose pipeline a command writes, leaves the first one alone."""
    study = tiny.read(folder / OVERLAY)
    study |= {"name": "mine", "models": ["bow"]}
    study["training"]["counts"]["epochs"] = 3
    tiny.write(folder / "config/mine.yaml", study)
    tiny.run(folder, "crepe", "pipeline", "--config", "config/mine.yaml")
    assert started(tiny.run(folder, "dvc", "repro", "results/mine/dvc.yaml")) == ROW
    tiny.commit(folder)
    for path in (PIPELINE, "results/mine/dvc.yaml"):
        assert "up to date" in tiny.run(folder, "dvc", "status", path)
    assert "results/mine/metrics/toys.json" in tiny.run(folder, "dvc", "metrics", "show")


def what_fails_is_not_hidden(folder: Path) -> None:
    """A dataset that is not what it should be, and a learning rate that no training survives.

    What can be done is done and recorded, the table is partial, and no old figure passes for a new one, however often
    it is tried.
    """
    bad = tiny.dataset() | {"train_rows": tiny.ROWS["train"] + 1}
    changes = {"datasets": ["toys", "more"], "catalog": {"datasets": {"more": bad}}}
    tiny.update(folder / OVERLAY, changes | {"training": {"counts": {"learning_rate": 1e30, "epochs": 3}}})
    for _ in range(2):
        text = tiny.run(folder, "dvc", "repro", PIPELINE, status=255)
        assert {"clean", "train"} == set(re.findall(r"^Error in rule (\w+):", text, flags=re.M))
        assert not (folder / layout.run("tiny", "toys", "bow", "0") / layout.METRICS).exists()
        assert not (folder / layout.table("tiny")).exists()
    (partial,) = tiny.lines(folder / layout.partial_results("tiny"), "error_pct")
    assert (partial["dataset"], partial["model"]) == ("toys", "bow-tfidf")
    assert "**Partial: 1 of 4 runs.**" in (folder / layout.partial_results("tiny", "md")).read_text()
    assert "Study tiny, partial<" in (folder / layout.partial_results("tiny", "html")).read_text()
    # The archive was good, and is recorded.
    assert (folder / "data/raw/more.tgz.dvc").exists()
    # Not all is lost: the other model needs no training.
    tiny.run(folder, "git", "checkout", "--quiet", "config")
    assert tiny.planned(folder, *SNAKEMAKE) == {"train": 1, "evaluate": 1, "table": 1, "report": 1}
