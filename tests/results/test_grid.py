import json
import re

import pytest

from crepe.config import load
from crepe.errors import CrepeError
from crepe.io.files import write_json
from crepe.records.run import LEARNT
from crepe.results.grid import commands, grids
from tests.support.study import overlay, project, small, write_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def cell(config, dataset, model):
    return next(grid.cells[dataset, model] for grid in grids(config) if dataset in grid.datasets)


def test_the_papers_grid_is_whole():
    (grid,) = grids(load())
    assert len(grid.models) == 22
    assert len(grid.datasets) == 8
    assert len(list(grid)) == 176
    assert list(grid.models.values())[:2] == ["BoW", "BoW TFIDF"]
    assert grid.datasets["ag_news"] == "AG's News"
    paper = grid.cells["ag_news", "conv-small"].paper
    assert (paper.error, paper.rows, paper.samples) == (15.65, 120000, 30 * 5000 * 128)
    assert grid.cells["sogou_news", "conv-small-th"].paper.error is None
    assert grid.runs == []


def test_own_datasets_come_first_unless_the_papers_were_run():
    config = small("ag_news", "pets", "ag_news-part")
    write_run(config, "pets", "bow")
    own, paper = grids(config)
    assert list(own.datasets) == ["pets", "ag_news-part"]
    assert list(own.models) == ["bow", "conv-small"]
    assert len(list(paper)) == 176
    write_run(config, "ag_news", "bow")
    assert [len(grid.datasets) for grid in grids(config)] == [8, 2]


def test_only_the_configurations_cells_are_read():
    config = small("pets")
    write_run(config, "pets", "bow", seed=1)
    write_run(config, "pets", "bow-tfidf")
    write_run(config, "ag_news", "bow")
    assert [run for grid in grids(config) for run in grid.runs] == []


def test_a_run_that_is_not_tested_yet_is_blank():
    config = small("pets")
    (write_run(config, "pets", "bow") / "metrics.json").unlink()
    assert cell(config, "pets", "bow").runs == ()


def test_the_whole_run_has_no_mark():
    config = small("ag_news")
    write_run(config, "ag_news", "conv-small")
    found = cell(config, "ag_news", "conv-small")
    assert found.marks == []
    assert found.delta == pytest.approx(10 - 15.65)


@pytest.mark.parametrize(
    ("dataset", "changes", "marks"),
    [
        ("ag_news-part", {}, ["subset"]),
        ("ag_news", {"rows": {"train": 119999, "test": 100}}, ["subset"]),
        ("ag_news-part", {"rows": {"train": 120000, "test": 100}}, ["subset"]),
        ("ag_news", {"batches": 30 * 5000 - 1}, ["short"]),
        ("ag_news", {"complete": False}, ["short"]),
        ("ag_news", {"errors": 43}, ["guessing"]),
        ("ag_news", {"vectors": "learnt", "vectors_origin": LEARNT}, ["learnt"]),
        ("ag_news", {"vectors": "published", "vectors_origin": "vectors.bin, sha256 0123"}, []),
        ("ag_news", {"errors": 42}, []),
        ("ag_news-part", {"errors": 50, "batches": 1}, ["subset", "short", "guessing"]),
        ("pets", {"batches": 1}, []),
        ("pets", {"complete": False}, ["short"]),
    ],
)
def test_marks(dataset, changes, marks):
    config = small(dataset)
    write_run(config, dataset, "conv-small", **changes)
    assert cell(config, dataset, "conv-small").marks == marks


def test_a_shorter_recipe_is_short_whatever_the_study_calls_whole():
    recipe = {"training": {"convnet": {"epochs": 29}}}
    config = small("ag_news", **recipe)
    write_run(config, "ag_news", "conv-small")
    assert cell(config, "ag_news", "conv-small").marks == ["short"]
    write_run(config, "ag_news", "bow")
    assert cell(config, "ag_news", "bow").marks == []


def test_seeds_are_averaged():
    config = small("ag_news-part", seeds=[2, 0, 1])
    for seed, errors in enumerate((8, 10, 12)):
        write_run(config, "ag_news-part", "bow", seed=seed, errors=errors)
    found = cell(config, "ag_news-part", "bow")
    assert [run.record.seed for run in found.runs] == [0, 1, 2]
    assert found.error == pytest.approx(10)
    assert found.spread == pytest.approx(2)
    assert found.delta == pytest.approx(10 - 11.19)


def test_guessing_is_of_the_largest_class():
    config = small("pets")
    write_run(config, "pets", "bow", errors=7)
    assert cell(config, "pets", "bow").runs[0].metrics.guess == pytest.approx(50)


def test_a_model_of_the_studys_own():
    models = {"mine": {"feature": "chars", "network": "convnet-small", "training": "convnet"}}
    changes = json.loads(overlay())["catalog"] | {"models": models}
    config = small("ag_news", models=["mine"], catalog=changes)
    write_run(config, "ag_news", "mine", batches=1)
    found = cell(config, "ag_news", "mine")
    assert found.paper.error is None
    assert found.marks == []
    assert len(list(grids(config)[0])) == 23 * 8


def test_a_title_takes_the_place_of_the_papers_name_and_of_the_key():
    models = {
        "mine": {"feature": "chars", "network": "convnet-small", "training": "convnet"},
        "yours": {"title": "Yours", "feature": "chars", "network": "convnet-small", "training": "convnet"},
        "bow": {"title": "Bag of words"},
    }
    changes = json.loads(overlay())["catalog"] | {"models": models}
    names = grids(small("ag_news", models=["mine", "yours", "bow", "ngrams"], catalog=changes))[0].models
    assert [names[key] for key in ("mine", "yours", "bow", "ngrams")] == ["mine", "Yours", "Bag of words", "ngrams"]
    assert list(names)[:2] == ["bow", "bow-tfidf"]


def test_the_papers_names_of_a_model_must_agree(folder):
    path = folder / "config/paper/table4.csv"
    path.write_text(path.read_text().replace("bow,BoW,dbpedia", "bow,Bag,dbpedia"))
    with pytest.raises(CrepeError, match=r"^config/paper/table4.csv: line 4: paper_name of bow is 'Bag', and 'BoW'"):
        grids(load())


def test_what_a_dataset_is_compared_with_must_be_the_papers():
    entry = json.loads(overlay())["catalog"]["datasets"]["pets"] | {"paper": "imdb"}
    with pytest.raises(CrepeError, match=r"^configuration: catalog.datasets.pets.paper: 'imdb' is none of the paper's"):
        grids(small("pets", catalog={"datasets": {"pets": entry}}))


def change(path, **changes):
    write_json(path, json.loads(path.read_text()) | changes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"rows": 99}, "rows: 99 were tested, but the test set of run.json has 100"),
        ({"errors": 11}, "confusion: does not add up to 100 rows with 11 errors"),
        ({"error_pct": 10.1}, "error_pct: is 10.1, but 10 errors in 100 rows are 10.0000"),
        ({"error_pct": "10"}, "error_pct: expected float, found '10'"),
        ({"ci_low": 10.5}, "ci_low, ci_high: 10.5 to 17.0 does not hold error_pct"),
        ({"confusion": [[90, 10], [0, 0]]}, "confusion: is not a matrix of 3 x 3 counts"),
        (
            {"confusion": [[40, 10, 0], [0, 30, 0], [0, 0, None]]},
            "confusion[2",
        ),
        ({"confusion": [[40, 10, 0], [0, 31, -1], [0, 0, 20]]}, "confusion: is not a matrix of 3 x 3 counts"),
        ({"confusion": [1, 2, 3]}, "confusion[0]: "),
        ({"loss": None}, "loss: expected float"),
        ({"rows": True}, "rows: expected int"),
        ({"sha256": {"model.safetensors": "0" * 64}}, "sha256: is of weights of another training"),
    ],
)
def test_metrics_that_cannot_be(changes, fault):
    config = small("pets")
    path = write_run(config, "pets", "bow") / "metrics.json"
    change(path, **changes)
    again = "delete it and run `crepe evaluate results/small/runs/pets/bow/0 --shards data/shards/words/pets`"
    with pytest.raises(CrepeError, match=f"^{re.escape(f'{path}: {fault}')}.*{re.escape(again)}$"):
        grids(config)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"seed": 1}, "is of bow on pets with seed 1"),
        ({"dataset": "ag_news"}, "is of bow on ag_news with seed 0"),
        ({"code": {"commit": None, "dirty": None}}, "code.digest: is missing"),
        ({"code": None}, "code: expected keys and values, found None"),
        ({"rows": {"train": 1.5, "test": 100}}, "rows.train: expected int, found 1.5"),
        ({"complete": 1}, "complete: expected bool, found 1"),
    ],
)
def test_runs_that_cannot_be(changes, fault):
    config = small("pets")
    path = write_run(config, "pets", "bow") / "run.json"
    change(path, **changes)
    again = "delete it and run `crepe train pets bow --seed 0`"
    with pytest.raises(CrepeError, match=f"^{re.escape(f'{path}: {fault}; {again}')}$"):
        grids(config)


@pytest.mark.parametrize("name", ["run.json", "metrics.json"])
@pytest.mark.parametrize("content", ["", '{"rows": 10', "[]", "null"])
def test_files_that_are_damaged(name, content):
    config = small("pets")
    path = write_run(config, "pets", "bow") / name
    path.write_text(content)
    with pytest.raises(CrepeError, match=f"^{re.escape(str(path))}: .*delete it"):
        grids(config)


def test_a_tested_run_without_its_record():
    config = small("pets")
    path = write_run(config, "pets", "bow") / "run.json"
    path.unlink()
    with pytest.raises(CrepeError, match=f"^{re.escape(str(path))}: is missing; run `crepe train pets bow"):
        grids(config)


def test_a_folder_without_the_papers_tables_has_those_of_the_package(folder):
    before = grids(load())
    (folder / "config" / "paper" / "table4.csv").unlink()
    assert grids(load()) == before


def test_the_papers_tables_are_named_if_unreadable(folder):
    path = folder / "config/paper/table4.csv"
    path.unlink()
    path.mkdir()
    with pytest.raises(CrepeError, match=r"^config/paper/table4.csv: cannot be read.*in the project's folder"):
        grids(load())


def test_commands_name_the_studys_file_if_there_is_one(folder):
    config = small("pets")
    assert commands(config, "pets", "conv-small", 3) == (
        "crepe train pets conv-small --seed 3",
        "crepe evaluate results/small/runs/pets/conv-small/3 --shards data/shards/chars/pets",
    )
    (folder / "config" / "small.yaml").write_text("name: small")
    assert commands(config, "pets", "bow", 0)[0] == "crepe train pets bow --seed 0 --config config/small.yaml"
