from pathlib import Path

import pytest

from crepe.config import load
from crepe.data.clean_record import CleanRecord
from crepe.results import paper
from crepe.results.grid import grids
from crepe.results.report.comparisons import FAMILIES, family, figure3, references, statistics
from tests.support.study import project, small, write_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def test_every_row_of_the_table_has_a_family():
    config = load()
    families = {model: family(config, model) for model in config.models}
    assert set(families.values()) == FAMILIES.keys() - {"references"}
    assert families["bow-tfidf"] == "words"
    assert families["ngrams"] == "n-grams"
    assert families["lk-conv-small-th"] == "word-convnets"
    assert families["full-conv-large"] == "character-convnets"


def test_a_row_of_ones_own_has_the_family_of_its_parts():
    entry = {"fields": 2, "classes": 3, "train_rows": 300, "test_rows": 100, "sources": [{"url": "x.tgz"}]}
    models = {"mine": {"feature": "chars", "network": "lstm", "training": "lstm"}}
    config = small("pets", models=["mine"], catalog={"datasets": {"pets": entry}, "models": models})
    assert family(config, "mine") == "lstm"


def test_later_work_has_a_title_and_a_source():
    config = load()
    (grid,) = grids(config)
    lines = references(grid, config)
    figures = paper.later_results()
    assert sum(len(line.errors) for line in lines) == len(figures) == 66
    assert all(line.later and line.title and "20" in line.source for line in lines)
    assert next(line for line in lines if line.title == "VDCNN 29").errors["dbpedia"] == 1.29


def test_beside_ones_own_data_stands_the_largest_class_alone():
    config = small("pets")
    write_run(config, "pets", "bow")
    own, _ = grids(config)
    (line,) = references(own, config)
    assert (line.title, line.errors, line.later) == ("Largest class", {"pets": 50.0}, False)


def test_table_3_is_what_the_runs_or_the_clean_data_say():
    config = small("ag_news", "pets", seeds=[0, 1])
    write_run(config, "ag_news", "conv-small")
    recipe = config.training["convnet"].as_dict() | {"batches_per_epoch": 7}
    write_run(config, "ag_news", "conv-small", seed=1, training=recipe)
    digests, rows = {"train": "b" * 64, "test": "c" * 64}, {"train": 11, "test": 12}
    clean = CleanRecord(dataset="pets", archive="a" * 64, rows=rows, classes=["a", "b"], sha256=digests)
    clean.write(Path("data/clean/pets/clean.json"))
    lines = {line.title: line for line in statistics(grids(config), config)}
    news, pets = lines["AG's News"], lines["Pets"]
    assert news.paper == {"classes": 4, "train_rows": 120000, "test_rows": 7600, "batches_per_epoch": 5000}
    assert news.ours == {
        "classes": [3],
        "train_rows": [120000],
        "test_rows": [100],
        "batches_per_epoch": [7, 5000],
    }
    assert pets.paper == {}
    assert pets.ours == {"classes": [2], "train_rows": [11], "test_rows": [12]}
    assert lines["DBPedia"].ours == {}


def test_the_papers_figure_3():
    panels = {panel.title: panel for panel in figure3(grids(load()))}
    assert len(panels) == 6
    lstm = panels["LSTM"]
    assert len(lstm.datasets) == 8
    assert lstm.ours == [None] * 8
    # The paper's figure has the others.
    assert [name for name in lstm.datasets if name.endswith("*")] == ["Sogou News*"]
    # Both with a thesaurus, (13.94 - 13.39) / 13.94; in Chinese, where there is none, (4.82 - 4.88) / 4.82.
    assert lstm.paper[0] == pytest.approx(100 * 0.55 / 13.94)
    assert lstm.paper[1] == pytest.approx(-100 * 0.06 / 4.82)
    # Of ConvNets both have one: (9.91 - 13.39) / 9.91.
    assert panels["word2vec ConvNet"].paper[0] == pytest.approx(100 * (9.91 - 13.39) / 9.91)


def test_figure_3_of_a_study():
    config = small("ag_news", "pets", "ag_news-part", models=["bow", "lstm", "conv-large"])
    for dataset in ("ag_news", "pets"):
        write_run(config, dataset, "lstm", errors=20)
        write_run(config, dataset, "conv-large", errors=5)
    write_run(config, "ag_news-part", "lstm")
    panel = next(panel for panel in figure3(grids(config)) if panel.title == "LSTM")
    ours = dict(zip(panel.datasets, panel.ours, strict=True))
    assert ours["AG's News"] == ours["Pets"] == 75.0
    assert ours["DBPedia"] is None
    assert "AG's News, part" not in ours
    assert panel.paper[panel.datasets.index("Pets")] is None


@pytest.mark.parametrize("guessing", ["lstm", "conv-large"])
def test_guessing_is_compared_with_nothing(guessing):
    config = small("pets", models=["lstm", "conv-large"])
    for model in ("lstm", "conv-large"):
        write_run(config, "pets", model, errors=50 if model == guessing else 5)
    panel = next(panel for panel in figure3(grids(config)) if panel.title == "LSTM")
    assert "Pets" not in panel.datasets


def test_no_errors_at_all_are_not_divided_by():
    config = small("pets", models=["lstm", "conv-large"])
    write_run(config, "pets", "lstm", errors=0)
    write_run(config, "pets", "conv-large", errors=5)
    panel = next(panel for panel in figure3(grids(config)) if panel.title == "LSTM")
    assert "Pets" not in panel.datasets
