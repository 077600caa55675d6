import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from crepe.cli import main
from crepe.files import write_json, write_text
from crepe.report import page
from tests.study import HISTORY, overlay, project, small, write_run

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
    for table in tree.iterfind(".//table[@class='grid']"):
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
    write_run(config, "pets", "bow", errors=5, complete=False, minibatches=77)
    return config


def test_a_study_without_runs():
    assert main(["report"]) == 0
    tree = parse(Path("results/paper/report.html").read_text(encoding="utf-8"))
    (table,) = tree.iterfind(".//table")
    assert len(table.find("tbody")) == 22
    assert {len(line) for line in table.find("tbody")} == {9}
    assert words(grid_cell(tree, "BoW", "AG's News")) == "paper 11.19"
    assert words(grid_cell(tree, "Sm. w2v Conv. Th.", "Sogou News")) == ""
    assert "No runs yet." in words(tree)


def test_the_grid_compares():
    tree = parse(page(full_study()))
    cell = grid_cell(tree, "BoW", "AG's News")
    assert words(cell) == "12.00 +0.81 6.00 to 19.00 paper 11.19"
    assert cell.get("class") == "same"
    cell = grid_cell(tree, "Sm. Conv.", "AG's News")
    assert words(cell) == "8.50 −7.15 ± 0.71 over 2 seeds paper 15.65"
    assert cell.get("class") == "same"
    cell = grid_cell(tree, "BoW", "AG's News, part")
    assert words(cell) == "30.00† +18.81 24.00 to 37.00 paper 11.19"
    assert cell.get("class") == "other"
    assert words(grid_cell(tree, "BoW", "Pets")) == "5.00‡ 0.00 to 12.00"


@pytest.mark.parametrize(("errors", "verdict", "delta"), [(40, "worse", "+28.81"), (4, "better", "−7.19")])
def test_a_difference_beyond_the_interval_has_a_colour_and_a_sign(errors, verdict, delta):
    config = small("ag_news")
    write_run(config, "ag_news", "bow", errors=errors)
    cell = grid_cell(parse(page(config)), "BoW", "AG's News")
    assert cell.get("class") == verdict
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
    links = [link.get("href") for link in tree.iterfind(".//a")]
    assert {link.removeprefix("#") for link in links} == set(sections) - {"run-ag_news-conv-small-1"}
    pets = sections["run-pets-bow-0"]
    assert words(pets.find("h3")) == "bow on Pets, seed 0"
    assert "Test error 5.00 % (5 of 100 rows; 95 % interval 0.00 to 12.00)." in words(pets)
    assert "largest class would get 50.00 %." in words(pets)
    assert pets.find("pre/code").text == (
        "crepe train pets bow --seed 0 --steps 77\n"
        "crepe evaluate results/small/runs/pets/bow/0 --shards data/shards/words/pets"
    )
    assert "a" * 64 in words(pets)
    assert "Abacus (cpu, float32, 2 threads), Linux" in words(pets)


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
    assert [cell.get("style") for cell in table.find("tbody")[0][1:4]] == ["--share:90", "--share:10", "--share:0"]
    assert "<b>" not in html


def test_curves_are_drawn_in_the_page():
    config = small("pets")
    write_run(config, "pets", "bow")
    figures = parse(page(config)).findall(".//figure")
    assert [figure.get("aria-label") for figure in figures] == [
        "error, % by epoch; after epoch 10: train 6, test 11",
        "loss by epoch; after epoch 10: train 0.1, test 0.2",
    ]
    for figure, label in zip(figures, ("error, %", "loss"), strict=True):
        (drawing,) = figure.findall(f"{SVG}svg")
        assert drawing.get("viewBox")
        assert drawing.get("width") is None
        assert {"train", "test", "epoch", label} <= {words(text) for text in drawing.iter(f"{SVG}text")}
        for colour in ("var(--train)", "var(--test)"):
            (line,) = (
                path
                for path in drawing.iter(f"{SVG}path")
                if f"stroke: {colour}" in path.get("style", "") and path.get("d", "").count("L") == 9
            )
            assert line is not None


def test_one_epoch_makes_a_curve_too():
    config = small("pets")
    (write_run(config, "pets", "bow") / "history.csv").write_text(HISTORY + "1,5,640,0.01,1.5,70.0,1.25,60.0\n")
    assert "error, % by epoch; after epoch 1: train 70, test 60" in page(config)


def test_nothing_outside_the_page_is_needed():
    html = page(full_study())
    tree = parse(html)
    policy = tree.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    for element in tree.iter():
        assert element.tag not in {"script", "link", "img", "iframe", "object"}
        for name, value in element.attrib.items():
            if name.endswith(("href", "src")):
                assert value.startswith("#"), (element.tag, name, value)
    assert set(re.findall(r"https?://[^\s\"'<)]*", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []


def test_ids_are_unique_and_references_lead_somewhere():
    html = page(full_study())
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(set(ids)) == len(ids)
    references = re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]*)', html)
    assert len(references) > 10
    assert set(references) <= set(ids)


def test_same_runs_same_bytes():
    config = full_study()
    assert page(config) == page(config)


def test_titles_are_escaped():
    entry = {"title": "<script>alert(1)</script>", "fields": 1, "classes": 3, "train_rows": 300, "test_rows": 100}
    catalog = {"datasets": {"pets": entry | {"sources": [{"url": "x.tgz"}]}}}
    config = small("pets", catalog=catalog)
    write_run(config, "pets", "bow", device_name='"><img src="http://example.com/x">')
    html = page(config)
    assert parse(html).find(".//img") is None
    assert "<script" not in html


def test_the_whole_grid_stays_small():
    """168 runs, were each of fourteen classes and thirty epochs, must fit in 5 MB."""
    curve = "".join(f"{n},1,1,1,{1 / n},{90 / n},{1 / n},{90 / n}\n" for n in range(1, 31))
    metrics = {"rows": 196_000, "errors": 182_000, "error_pct": 92.8571, "ci_low": 92.0, "ci_high": 93.0, "loss": 1.0}
    sizes = []
    for seed in (0, 1):
        config = small("pets", seeds=[0, 1])
        rows = {"train": 1, "test": metrics["rows"]}
        run = write_run(config, "pets", "bow", seed=seed, classes=[f"class number {n}" for n in range(14)], rows=rows)
        write_json(run / "metrics.json", metrics | {"confusion": [[1000] * 14] * 14})
        write_text(run / "history.csv", HISTORY + curve)
        sizes.append(len(page(config).encode()))
    assert sizes[1] - sizes[0] > 10_000
    assert sizes[0] + 167 * (sizes[1] - sizes[0]) < 5_000_000


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param(HISTORY, id="no lines"),
        pytest.param("epoch,train_loss\n1,0.5\n", id="columns missing"),
        pytest.param(HISTORY + "1,5,640,0.01,a,b,c,d\n", id="no numbers"),
        pytest.param(HISTORY + "1,5,640,0.01,1.5,70.0,,\n", id="values missing"),
        pytest.param(None, id="no file"),
    ],
)
def test_a_damaged_history(content, capsys):
    path = write_run(small("pets"), "pets", "bow") / "history.csv"
    path.unlink() if content is None else path.write_text(content)
    assert main(["report", "--config", overlay()]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"crepe report: {path}: ")
    assert "run `crepe train pets bow --seed 0` again" in message
    assert not Path("results/small/report.html").exists()
