import csv
import re
from pathlib import Path

import polars as pl
import pytest

from crepe.cli import main
from crepe.config import load
from crepe.results.table import COLUMNS, write
from tests.support.records import MACHINE
from tests.support.study import overlay, project, small, write_run

MACRO_F1 = (76 / 88 + 60 / 72 + 1) / 3
"""macro-F1 of a run with 12 errors."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def read(path):
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def lines(name="small"):
    return read(f"results/{name}/table.csv")


def line(dataset, model, name="small"):
    return [line for line in lines(name) if (line["dataset"], line["model"]) == (dataset, model)]


def text(name="small"):
    return Path(f"results/{name}/table.md").read_text(encoding="utf-8")


def row(title, name="small"):
    """The fields of the first table row of that title."""
    (fields, *_) = re.findall(rf"^\| {re.escape(title)} \| (.*) \|$", text(name), re.MULTILINE)
    return [field.strip() for field in fields.split("|")]


def test_a_study_without_runs():
    assert main(["table"]) == 0
    found = lines("paper")
    assert len(found) == 22 * 8
    assert list(found[0]) == list(COLUMNS)
    assert len({(line["dataset"], line["model"]) for line in found}) == 22 * 8
    assert {line["error_pct"] + line["ci_low"] + line["delta"] + line["rows"] + line["status"] for line in found} == {
        ""
    }
    assert [line["seed"] for line in line("ag_news", "bow", "paper")] == ["0"]
    assert [line["seed"] for line in line("sogou_news", "conv-small-th", "paper")] == [""]
    assert text("paper").endswith("\nRuns: none yet.\n")
    assert row("BoW", "paper")[:2] == ["/ 11.19 /", "/ 7.15 /"]
    assert row("Lg. w2v Conv. Th.", "paper")[1] == ""


def test_the_papers_figures_are_carried_along():
    main(["table"])
    paper = {(line["dataset"], line["model"]): line for line in read("config/paper/table4.csv")}
    for line in lines("paper"):
        figure = paper.pop((line["dataset"], line["model"]))
        assert line["paper_error_pct"] == figure["error_pct"] or float(line["paper_error_pct"]) == float(
            figure["error_pct"]
        )
    assert paper == {}


def test_runs_stand_beside_the_papers():
    config = small("ag_news", "pets", "ag_news-part")
    write_run(config, "ag_news", "bow", errors=12)
    write_run(config, "ag_news-part", "bow", errors=9, complete=False)
    write_run(config, "pets", "conv-small", errors=45)
    write(config)
    (whole,), (part,), (own,) = line("ag_news", "bow"), line("ag_news-part", "bow"), line("pets", "conv-small")
    assert whole == {
        **{"dataset": "ag_news", "model": "bow", "seed": "0", "error_pct": "12.0", "ci_low": "6.0", "ci_high": "19.0"},
        **{"paper_error_pct": "11.19", "delta": "0.81", "rows": "120000"},
        "epochs": "7",
        "status": "complete",
        **{"seeds": "1", "mean_pct": "12.0", "std_pct": ""},
        # The metrics.json of the run has its confusion matrix and its loss alone.
        **{"macro_f1": str(round(MACRO_F1, 6)), "balanced_accuracy": "0.92", "matthews": whole["matthews"]},
        **{"log_loss": "0.5", "brier": "", "calibration_error": ""},
    }
    assert part["status"] == "subset short"
    assert (part["rows"], part["delta"], part["paper_error_pct"]) == ("300", "-2.19", "11.19")
    assert own["status"] == "guessing"
    assert (own["delta"], own["paper_error_pct"]) == ("", "")
    assert len(lines()) == 22 * 8 + 2 * 2
    assert row("BoW")[0] == "12.00 / 11.19 / +0.81"
    part = text()[text().index("## The study's own datasets") :]
    assert "| Model | Pets | AG's News, part |\n" in part
    assert "| BoW |  | 9.00†‡ / 11.19 / -2.19 |\n| Sm. Conv. | 45.00§ | / 15.65 / |\n" in part
    assert "| (always the largest class) | 50.00 | 50.00 |\n" in part


def test_own_datasets_are_shown_first_unless_the_papers_were_run():
    config = small("ag_news", "pets")
    write_run(config, "pets", "bow")
    write(config)
    assert re.findall("^## .*", text(), re.MULTILINE) == ["## The study's own datasets", "## The paper's datasets"]
    write_run(config, "ag_news", "bow")
    write(config)
    assert re.findall("^## .*", text(), re.MULTILINE) == ["## The paper's datasets", "## The study's own datasets"]


def test_several_seeds():
    config = small("ag_news", seeds=[0, 1, 2])
    write_run(config, "ag_news", "bow", seed=0, errors=10)
    write_run(config, "ag_news", "bow", seed=2, errors=13, complete=False)
    write(config)
    assert [(line["seed"], line["error_pct"], line["status"]) for line in line("ag_news", "bow")] == [
        ("0", "10.0", "complete"),
        ("1", "", ""),
        ("2", "13.0", "short"),
    ]
    assert row("BoW")[0] == "11.50 ± 2.12 (2)‡ / 11.19 / +0.31"
    together = [(line["seeds"], line["mean_pct"], line["std_pct"]) for line in line("ag_news", "bow")]
    assert together == [("2", "11.5", "2.1213")] * 3
    assert [line["seeds"] + line["mean_pct"] + line["std_pct"] for line in line("dbpedia", "bow")] == [""]


def test_another_metric_is_printed_beside_no_figure_of_the_paper(folder, capsys):
    config = small("ag_news", "pets", seeds=[0, 1])
    write_run(config, "ag_news", "bow", errors=12)
    write_run(config, "pets", "bow", errors=12)
    write_run(config, "pets", "bow", seed=1, errors=0)
    write_run(config, "pets", "conv-small", errors=45)
    files = sorted((folder / "results").rglob("*"))
    assert main(["table", "--config", overlay(datasets=["ag_news", "pets"], seeds=[0, 1]), "--metric", "macro_f1"]) == 0
    said = capsys.readouterr().out
    assert f"| BoW | {MACRO_F1:.4f} |  |" in said
    assert f"| BoW | {(MACRO_F1 + 1) / 2:.4f} ± {(1 - MACRO_F1) / 2**0.5:.4f} (2) |\n" in said
    assert "11.19" not in said
    assert "largest class)" not in said
    assert "macro-F1 of the test rows; higher is better" in said
    assert sorted((folder / "results").rglob("*")) == files
    assert main(["table", "--config", overlay(datasets=["ag_news", "pets"]), "--metric", "brier"]) == 0
    assert "| BoW | not known |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["table", "--metric", "accuracy"])


def test_the_error_is_printed_as_it_is_written(capsys):
    config = small("ag_news")
    write_run(config, "ag_news", "bow")
    write(config)
    assert main(["table", "--config", overlay(datasets=["ag_news"]), "--metric", "error_pct"]) == 0
    assert capsys.readouterr().out == text()


def test_provenance_names_commits_and_devices_once():
    config = small("pets")
    write_run(config, "pets", "bow", machine=MACHINE | {"device_name": "Zephyr"})
    write_run(config, "pets", "conv-small", code={"commit": None, "dirty": None, "digest": ""})
    write(config)
    assert text().endswith(
        "\nRuns: 2. Code: 0123456789ab, unknown. Trained on: Abacus (cpu, float32), Zephyr (cpu, float32).\n"
    )
    write_run(config, "pets", "conv-small", code={"commit": "f" * 40, "dirty": True, "digest": ""})
    write(config)
    assert "Code: 0123456789ab, ffffffffffff with uncommitted changes." in text()


def test_same_runs_same_bytes(folder):
    config = small("pets", "ag_news")
    write_run(config, "pets", "bow")
    write(config)
    before = [(folder / "results" / "small" / name).read_bytes() for name in ("table.csv", "table.md")]
    write_run(config, "pets", "bow", seconds=99.0, samples_per_second=1.0)
    write(config)
    assert [(folder / "results" / "small" / name).read_bytes() for name in ("table.csv", "table.md")] == before


def test_the_table_can_be_read_back():
    config = small("pets")
    write_run(config, "pets", "bow")
    assert main(["table", "--config", overlay()]) == 0
    found = pl.read_csv("results/small/table.csv", schema_overrides=COLUMNS)
    assert dict(found.schema) == COLUMNS
    assert found["error_pct"].drop_nulls().to_list() == [10.0]


def test_titles_do_not_break_the_table():
    config = load(
        overlay(
            catalog={
                "datasets": {
                    "pets": {
                        "title": "A | B",
                        "fields": 1,
                        "classes": 3,
                        "train_rows": 300,
                        "test_rows": 100,
                        "sources": [{"url": "x"}],
                    }
                }
            }
        )
    )
    write(config)
    assert "| Model | A \\| B |" in text()


def test_a_damaged_run_leaves_the_old_table(folder, capsys):
    config = small("pets")
    run = write_run(config, "pets", "bow")
    write(config)
    before = text()
    (run / "metrics.json").write_text("{}")
    assert main(["table", "--config", overlay()]) == 1
    assert capsys.readouterr().err.startswith(f"crepe table: {run / 'metrics.json'}: rows: is missing; delete")
    assert text() == before


def test_what_a_killed_process_left_is_removed(folder):
    config = small("pets")
    write_run(config, "pets", "bow")
    write(config)
    results = folder / "results" / "small"
    before = sorted(results.rglob("*"))
    (results / ".table.md.abcdefgh.part").mkdir()
    (results / "metrics" / ".pets.json.abcdefgh.part").mkdir()
    write(config)
    assert sorted(results.rglob("*")) == before
