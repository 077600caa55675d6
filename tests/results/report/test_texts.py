from dataclasses import replace

import polars as pl
import pytest

from crepe.cli import main
from crepe.errors import CrepeError
from crepe.io.files import digest
from crepe.results.grid import grids
from crepe.results.report.texts import LONGEST, Texts
from tests.support.study import overlay, project, reseal, small, write_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def made(folder, errors=7, clean=None):
    """A run with texts, whose errors are in the rows 40, 41 and so on, the later the surer but for the last two."""
    config = small("pets")
    path = folder / "data/clean/pets/test.parquet"
    path.parent.mkdir(parents=True)
    texts = [f"About {row} <i>&" for row in range(99)] + ["x" * 300 + " " + "y" * 300]
    pl.DataFrame({"label": [0] * 50 + [1] * 30 + [2] * 20, "field_1": texts, "field_2": ["end"] * 100}).write_parquet(
        path
    )
    data = {"archive": "a" * 64, "clean": {"test": clean or digest(path)}, "manifest": "b" * 64}
    run = write_run(config, "pets", "bow", errors=7, data=data)
    labels, predicted = [0] * 50 + [1] * 30 + [2] * 20, [0] * 50 + [1] * 30 + [2] * 20
    probabilities = [0.999] * 100
    for number in range(errors):
        predicted[40 + number] = 1
        probabilities[40 + number] = min(0.5 + number / 10, 0.9)
    table = {"label": labels, "predicted": predicted, "probability": probabilities}
    pl.DataFrame(table).write_parquet(run / "predictions.parquet")
    reseal(run)
    return next(run for grid in grids(config) for run in grid.runs)


def test_the_surest_errors_come_first_and_equals_by_row(folder):
    found = Texts().surest_errors(made(folder))
    assert [wrong.row for wrong in found] == [45, 46, 47, 44, 43]
    assert [round(wrong.probability, 2) for wrong in found] == [0.9, 0.9, 0.9, 0.8, 0.7]
    assert {(wrong.label, wrong.predicted) for wrong in found} == {("cats", "dogs & <b>wolves</b>")}
    assert found[0].text == "About 44 <i>& — end"


def test_they_stand_in_the_page_unless_it_is_for_others(folder):
    made(folder)
    assert main(["report", "--config", overlay()]) == 0
    page = (folder / "results/small/report.html").read_text(encoding="utf-8")
    assert page.count("<blockquote>") == 5
    assert "<blockquote>About 44 &lt;i&gt;&amp; — end</blockquote>" in page
    assert main(["report", "--config", overlay(), "--without-texts"]) == 0
    assert "About 44" not in (folder / "results/small/report.html").read_text(encoding="utf-8")


def test_a_long_text_is_cut_at_a_word(folder):
    run = made(folder)
    table = pl.read_parquet(run.folder / "predictions.parquet").with_row_index("row")
    last = pl.col("row") == 99
    table.with_columns(
        predicted=pl.when(last).then(1).when(pl.col("row") == 40).then(0).otherwise(pl.col("predicted")),
        probability=pl.when(last).then(1.0).otherwise(pl.col("probability")),
    ).write_parquet(run.folder / "predictions.parquet")
    run.metrics.sha256.update(reseal(run.folder)["sha256"])
    text = Texts().surest_errors(run)[0].text
    assert text == "x" * 300 + " …"
    assert len(text) <= LONGEST


@pytest.mark.parametrize("name", ["predictions", "texts"])
def test_what_is_not_here_is_said(folder, name):
    run = made(folder)
    path = run.folder / "predictions.parquet" if name == "predictions" else folder / "data/clean/pets/test.parquet"
    path.unlink()
    reason = Texts().surest_errors(run)
    assert name in reason
    assert "not on this machine" in reason


def test_other_texts_are_not_shown(folder):
    assert "not those that the run was tested on" in Texts().surest_errors(made(folder, clean="f" * 64))


def test_nothing_is_wrong(folder):
    run = made(folder, errors=0)
    assert Texts().surest_errors(replace(run, metrics=replace(run.metrics, errors=0))) == []


def test_predictions_that_are_damaged_are_named(folder):
    run = made(folder)
    path = run.folder / "predictions.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CrepeError, match=r"predictions.parquet: is damaged, .*; run `crepe evaluate .*` again"):
        Texts().surest_errors(run)


@pytest.mark.parametrize("damage", ["no table", "other rows", "other errors", "other classes", "columns missing"])
def test_damaged_predictions_are_named(folder, damage, capsys):
    run = made(folder)
    path = run.folder / "predictions.parquet"
    table = pl.read_parquet(path)
    if damage == "no table":
        path.write_bytes(b"nothing")
    elif damage == "other rows":
        table.head(99).write_parquet(path)
    elif damage == "other errors":
        table.with_columns(predicted="label").write_parquet(path)
    elif damage == "other classes":
        table.with_columns(pl.col("label", "predicted").replace(1, 9)).write_parquet(path)
    else:
        table.drop("probability").write_parquet(path)
    run.metrics.sha256.update(reseal(run.folder)["sha256"])
    with pytest.raises(CrepeError, match=r"predictions.parquet: (is no|has).*; run `crepe evaluate .*` again"):
        Texts().surest_errors(run)
    assert main(["report", "--config", overlay()]) == 1
    assert "Traceback" not in capsys.readouterr().err
