import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from crepe.cli import main
from crepe.io.files import read_json, write_json
from crepe.records.metrics import Metrics
from crepe.records.quality import calibration_error, reliability
from crepe.records.run import RunRecord
from crepe.results.report import page
from tests.support.records import MACHINE
from tests.support.study import HISTORY, overlay, project, small, write_run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def parse(html):
    """The document as a tree; the page is XML, too, so that nothing unclosed or unescaped goes unseen."""
    assert html.startswith("<!DOCTYPE html>\n")
    return ET.fromstring(html.partition("\n")[2])


def words(element):
    return " ".join("".join(element.itertext()).split())


def grid_cell(tree, model, dataset):
    """The cell of a grid by the names of its line and column."""
    for table in tree.iterfind(".//table"):
        if "grid" not in table.get("class").split():
            continue
        columns = [words(head) for head in table.find("thead/tr")]
        for line in table.find("tbody"):
            if words(line[0]) == model and dataset in columns:
                return line[columns.index(dataset)]
    raise AssertionError(f"no {model} on {dataset}")


def full_study():
    config = small("ag_news", "pets", "ag_news-part", seeds=[0, 1])
    write_run(config, "ag_news", "bow", errors=12)
    write_run(config, "ag_news", "conv-small", errors=8)
    write_run(config, "ag_news", "conv-small", seed=1, errors=9)
    write_run(config, "ag_news-part", "bow", errors=30)
    write_run(config, "pets", "bow", errors=5, complete=False, batches=77)
    return config


def test_a_study_without_runs():
    assert main(["report"]) == 0
    tree = parse(Path("results/paper/report.html").read_text(encoding="utf-8"))
    table = tree.find(".//table[@class='grid full']")
    lines = list(table.find("tbody"))
    assert len([line for line in lines if line.get("data-family") != "references"]) == 22
    assert {len(line) for line in lines} == {9}
    assert words(grid_cell(tree, "BoW", "AG's News")) == "paper 11.19"
    assert words(grid_cell(tree, "Sm. w2v Conv. Th.", "Sogou News")) == ""
    assert "No runs yet." in words(tree)


def test_the_grid_compares():
    tree = parse(page(full_study()))
    cell = grid_cell(tree, "BoW", "AG's News")
    assert words(cell) == "12.00 ≈+0.81, as the paper: the interval contains its figure 6.00 to 19.00 paper 11.19"
    assert cell.get("class") == "same ran"
    assert (cell.get("data-ours"), cell.get("data-paper"), cell.get("data-delta")) == ("12.0", "11.19", "0.81")
    cell = grid_cell(tree, "Sm. Conv.", "AG's News")
    assert words(cell) == "8.50 ≈−7.15, as the paper: the interval contains its figure ± 0.71, 2 seeds paper 15.65"
    assert cell.get("class") == "same ran"
    cell = grid_cell(tree, "BoW", "AG's News, part")
    assert words(cell) == "30.00† (subset) +18.81, not comparable with the paper 24.00 to 37.00 paper 11.19"
    assert cell.get("class") == "other ran"
    assert words(grid_cell(tree, "BoW", "Pets")) == (
        "0.9568‡ (short) macro-F1, 0.8968 to 0.9837 error 5.00 %, 0.00 to 12.00"
    )
    assert words(tree.find(".//header/dl")) == "cells run4 of 6 as the paper2"


@pytest.mark.parametrize(("errors", "verdict", "delta"), [(40, "worse", "▲+28.81"), (4, "better", "▼−7.19")])
def test_a_difference_beyond_the_interval_has_a_colour_and_a_sign(errors, verdict, delta):
    config = small("ag_news")
    write_run(config, "ag_news", "bow", errors=errors)
    cell = grid_cell(parse(page(config)), "BoW", "AG's News")
    assert cell.get("class") == f"{verdict} ran"
    assert verdict in words(cell)
    assert words(cell.find("span[@class='delta']")) == delta


def test_every_run_has_its_section():
    html = page(full_study())
    tree = parse(html)
    sections = {section.get("id"): section for section in tree.iterfind(".//section[@class='run']")}
    assert list(sections) == [
        "run-ag_news-bow-0",
        "run-ag_news-conv-small-0",
        "run-ag_news-conv-small-1",
        "run-pets-bow-0",
        "run-ag_news-part-bow-0",
    ]
    opened = [button.get("data-opens") for button in tree.iterfind(".//td/button")]
    dialogs = {dialog.get("id"): dialog for dialog in tree.iterfind(".//dialog")}
    assert len(opened) == 4
    assert set(opened) == set(dialogs)
    two = [section.get("id") for section in dialogs["cell-ag_news-conv-small"].iterfind(".//section")]
    assert two == ["run-ag_news-conv-small-0", "run-ag_news-conv-small-1"]
    assert words(dialogs["cell-pets-bow"].find(".//h2")) == "BoW on Pets"
    pets = sections["run-pets-bow-0"]
    assert words(pets.find("h3")) == "Seed 0"
    assert "Test error 5.00 % (5 of 100 rows; 95 % interval 0.00 to 12.00)." in words(pets)
    assert "largest class gives 50.00 %." in words(pets)
    assert pets.find("pre/code").text == (
        "crepe train pets bow --seed 0 --steps 77\n"
        "crepe evaluate results/small/runs/pets/bow/0 --shards data/shards/words/pets"
    )
    assert "a" * 64 in words(pets)
    assert "Abacus (cpu, float32, 2 threads), Linux" in words(pets)


def test_uneven_classes_of_an_own_dataset_are_led_by_macro_f1():
    config = small("ag_news", "pets", seeds=[0, 1])
    write_run(config, "pets", "bow", errors=5)
    write_run(config, "pets", "bow", seed=1, errors=0)
    tree = parse(page(config))
    cell = grid_cell(tree, "BoW", "Pets")
    assert words(cell) == "0.9784 macro-F1 ± 0.0305, 2 seeds error 2.50 ± 3.54 %"
    assert (cell.get("data-macro"), cell.get("data-ours")) == ("0.978408", "2.5")
    assert words(tree.find(".//section[@class='run']/p")).startswith("Macro-F1 0.9568 (95 % interval 0.8968 to 0.9837)")
    (first, *_) = tree.find(".//select[@id='sort-by']")
    assert (first.get("value"), first.get("selected")) == ("macro", "selected")
    write_run(config, "ag_news", "bow", errors=5)
    tree = parse(page(config))
    # There the paper's errors are compared with.
    assert words(grid_cell(tree, "BoW", "AG's News")).startswith("5.00 ")
    assert tree.find(".//select[@id='sort-by']/option").get("selected") is None


def test_even_classes_are_led_by_the_error():
    config = small("pets")
    run = write_run(config, "pets", "bow")
    content = read_json(run / "metrics.json", "")
    write_json(run / "metrics.json", content | {"confusion": [[25, 10, 0], [0, 33, 0], [0, 0, 32]]})
    tree = parse(page(config))
    assert words(grid_cell(tree, "BoW", "Pets")) == "10.00 4.00 to 17.00"
    assert "acro-F1" not in words(tree.find(".//header"))
    assert tree.find(".//select[@id='sort-by']/option").get("value") == "ours"


def test_metrics_of_the_whole_and_of_each_class():
    config = small("pets")
    write_run(config, "pets", "bow", errors=50)
    tree = parse(page(config))
    whole, classes = (tree.find(f".//table[@class='plain {name}']/tbody") for name in ("metrics", "classes"))
    rows = {words(line[0]): words(line[1]) for line in whole}
    truth = np.repeat([0, 1, 2], [50, 30, 20])
    predicted = np.repeat([1, 2], [80, 20])
    macro = f1_score(truth, predicted, average="macro")
    assert list(rows) == ["macro-F1", "balanced accuracy", "Matthews' coefficient"]
    assert rows["macro-F1"] == f"{macro:.4f}"
    assert "Not known: log loss, Brier score, calibration error. The run was tested" in words(tree)
    cats, wolves, _ = ([words(cell) for cell in line] for line in classes)
    # No row is put into this class.
    assert cats == ["cats", "50", "–", "0.0000 0.0000 to 0.0713", "0.0000 0.0000 to 0.1332"]
    assert [wolves[0], wolves[1], wolves[2][:6]] == ["dogs & <b>wolves</b>", "30", "0.3750"]
    assert tree.find(".//table[@class='plain reliability']") is None


def test_reliability_is_a_picture_and_a_table():
    config = small("pets")
    run = write_run(config, "pets", "bow", errors=10)
    record = RunRecord.read(run)
    metrics = Metrics.read(run, record)
    right = np.repeat([True, False], [90, 10])
    bins = reliability(np.repeat([0.95, 0.55, 0.95], [80, 15, 5]), right)
    replace(metrics, reliability=bins, calibration_error=calibration_error(bins)).write(run)
    tree = parse(page(config))
    (figure,) = [found for found in tree.iterfind(".//figure") if found.find(f"{SVG}svg[@class='chart reliability']")]
    assert figure.get("role") == "img"
    assert figure.get("aria-label").startswith("Share of right rows by probability")
    lines = [[words(cell) for cell in line] for line in tree.find(".//table[@class='plain reliability']/tbody")]
    assert lines == [["0.533 to 0.600", "0.5500", "66.67", "15"], ["0.933 to 1.000", "0.9500", "94.12", "85"]]
    assert "calibration error" in words(tree.find(".//table[@class='plain metrics']"))


def test_confusion_is_a_table_with_the_names_of_the_classes():
    config = small("pets")
    write_run(config, "pets", "bow", errors=5)
    html = page(config)
    table = parse(html).find(".//table[@class='confusion']")
    names = ["cats", "dogs & <b>wolves</b>", "birds"]
    assert [words(head) for head in table.find("thead/tr")] == ["", *names, "error, %"]
    assert [[words(cell) for cell in line] for line in table.find("tbody")] == [
        ["cats", "45", "5", "0", "10.0"],
        ["dogs & <b>wolves</b>", "0", "30", "0", "0.0"],
        ["birds", "0", "0", "20", "0.0"],
    ]
    assert [cell.get("style") for cell in table.find("tbody")[0][1:4]] == ["--share:90", "--share:10", None]
    assert "<b>wolves" not in html


def test_curves_are_drawn_in_the_page():
    config = small("pets")
    write_run(config, "pets", "bow")
    figures = parse(page(config)).findall(".//dialog//figure")
    assert [figure.get("aria-label") for figure in figures] == [
        "error, % by epoch; after epoch 10: train 6, test 11",
        "loss by epoch; after epoch 10: train 0.1, test 0.2",
    ]
    for figure, label in zip(figures, ("error, %", "loss"), strict=True):
        (drawing,) = figure.findall(f"{SVG}svg")
        assert drawing.get("viewBox")
        assert drawing.get("width") is None
        assert {"train", "test", "epoch", label} <= {words(text) for text in drawing.iter(f"{SVG}text")}
        for split in ("train", "test"):
            (line,) = (
                path
                for path in drawing.iter(f"{SVG}path")
                if path.get("class") == split and path.get("d", "").count("L") == 9
            )
            assert line is not None


def test_one_epoch_makes_a_curve_too():
    config = small("pets")
    write_run(config, "pets", "bow", history=HISTORY + "1,5,640,0.01,1.5,70.0,1.25,60.0\n")
    assert "error, % by epoch; after epoch 1: train 70, test 60" in page(config)


def test_levels_stand_beside_the_error():
    config = small("ag_news")
    write_run(config, "ag_news", "conv-small")
    error, loss = parse(page(config)).findall(".//dialog//figure")
    assert {"paper 15.65", "XLNet large 4.49"} <= {words(text) for text in error.iter(f"{SVG}text")}
    assert "paper" not in words(loss)


def test_nothing_outside_the_page_is_needed():
    html = page(full_study())
    tree = parse(html)
    policy = tree.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    allowed, script = re.fullmatch(r"(.*); script-src 'sha256-(.*)'", policy).groups()
    assert allowed == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    (content,) = re.findall(r"<script>(.*?)</script>", html, flags=re.S)
    assert base64.b64decode(script) == hashlib.sha256(content.encode()).digest()
    for element in tree.iter():
        assert element.tag not in {"link", "img", "iframe", "object", "a"}
        for name, value in element.attrib.items():
            assert not name.startswith("on"), (element.tag, name, value)
            if name.endswith(("href", "src")):
                assert value.startswith("#"), (element.tag, name, value)
    assert set(re.findall(r"https?://[^\s\"'<)]*", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in html
    assert re.findall(r"url\((?!#|data:image/png;base64,)", html) == []


def test_ids_are_unique_and_references_lead_somewhere():
    html = page(full_study())
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(set(ids)) == len(ids)
    references = re.findall(r'(?:href="#|url\(#|aria-labelledby="|data-opens=")([^")]*)', html)
    assert len(references) > 10
    assert set(references) <= set(ids)


def test_same_runs_same_bytes():
    config = full_study()
    assert page(config) == page(config)


def test_titles_are_escaped():
    entry = {"title": "<script>alert(1)</script>", "fields": 1, "classes": 3, "train_rows": 300, "test_rows": 100}
    catalog = {"datasets": {"pets": entry | {"sources": [{"url": "x.tgz"}]}}}
    config = small("pets", catalog=catalog)
    write_run(config, "pets", "bow", machine=MACHINE | {"device_name": '"><img src="http://example.com/x">'})
    html = page(config)
    assert parse(html).find(".//img") is None
    assert html.count("<script") == 1


def test_a_copy_goes_where_it_is_asked_for():
    write_run(small("pets"), "pets", "bow")
    assert main(["report", "--config", overlay(), "--without-texts", "--output", "copies/pets.html"]) == 0
    assert "This copy has no texts." in Path("copies/pets.html").read_text(encoding="utf-8")
    assert not Path("results/small/report.html").exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param(HISTORY, id="no lines"),
        pytest.param("epoch,train_loss\n1,0.5\n", id="columns missing"),
        pytest.param(HISTORY + "1,5,640,0.01,a,b,c,d\n", id="no numbers"),
        pytest.param(HISTORY + "1,5,640,0.01,1.5,70.0,,\n", id="values missing"),
    ],
)
def test_a_damaged_history(content, capsys):
    path = write_run(small("pets"), "pets", "bow", history=content) / "history.csv"
    assert main(["report", "--config", overlay()]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"crepe report: {path}: ")
    assert "run `crepe train pets bow --seed 0` again" in message
    assert not Path("results/small/report.html").exists()
