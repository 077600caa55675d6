"""The made-up archives are like genuine ones, and the rehearsal's study is the paper's."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crepe.config import load
from crepe.config.jobs import jobs
from crepe.data.clean import clean
from crepe.data.download import download
from crepe.text import thesaurus, word2vec
from tests.support import made_up, rehearsal

SCALE = 0.0005


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made_up.make(tmp_path_factory.mktemp("archives"), SCALE, datasets=("yahoo_answers", "sogou_news"))


@pytest.fixture
def study(files: dict[str, Path], tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(rehearsal.overlay(files, dict.fromkeys(files, "http://127.0.0.1/"), SCALE, 7)))
    return path


def test_an_archive_has_the_rows_fields_and_classes_of_the_real_one(
    files: dict[str, Path], study: Path, tmp_path: Path
) -> None:
    for key, fields, classes in (("yahoo_answers", 3, 10), ("sogou_news", 2, 5)):
        record = clean(key, load(str(study)).dataset(key), files[key], tmp_path / key)
        train = pl.read_parquet(tmp_path / key / "train.parquet")
        assert len(train) == record.rows["train"] == max(20 * classes, round(load().dataset(key).train_rows * SCALE))
        assert train.columns == ["label", *(f"field_{number}" for number in range(1, fields + 1))]
        assert train["label"].value_counts()["count"].to_list() == pytest.approx(
            classes * [len(train) / classes], abs=1
        )


def test_lengths_and_empty_fields_are_those_of_the_table(files: dict[str, Path]) -> None:
    texts = made_up.rows(files["yahoo_answers"])
    for name, field in zip(
        texts.columns, json.loads(made_up.TABLE.read_text())["yahoo_answers"]["fields"], strict=True
    ):
        counts = texts[name].str.split(" ").list.len().to_numpy()[(texts[name] != "").to_numpy()]
        assert np.median(counts) == pytest.approx(field["words"][made_up.QUANTILES.index(0.5)], rel=0.25)
        assert (texts[name] == "").mean() == pytest.approx(field["empty"], abs=0.06)


def test_the_same_seed_makes_the_same_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    dataset = load().dataset("yahoo_answers")
    for seed, same in ((0, True), (1, False)):
        made_up.archive(tmp_path / "again.tgz", "yahoo_answers", dataset, SCALE, seed)
        assert ((tmp_path / "again.tgz").read_bytes() == files["yahoo_answers"].read_bytes()) == same


def test_words_differ_and_a_longer_list_begins_with_the_shorter() -> None:
    found = made_up.words(100_000).to_pylist()
    assert len(set(found)) == len(found)
    assert made_up.words(5_000).to_pylist() == found[:5_000]


def test_vectors_and_thesaurus_know_the_words(files: dict[str, Path]) -> None:
    words = set(made_up.words(1_000).to_pylist())
    known = {word for word, _ in word2vec.published(files["google-news"])}
    assert words & known
    # Of Sogou's words, too: a vocabulary without any vector ends in an error.
    assert known & set(made_up.words(100, pinyin=True).to_pylist())
    assert len(words & thesaurus.read(files["th_en_US_v2"]).keys()) > 400


def test_a_served_file_is_downloaded_whole(files: dict[str, Path], tmp_path: Path) -> None:
    with rehearsal.served(files) as urls:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(rehearsal.overlay(files, urls, SCALE, 7)))
        download("sogou_news", load(str(path)).dataset("sogou_news"), tmp_path / "sogou.tgz")
    assert (tmp_path / "sogou.tgz").read_bytes() == files["sogou_news"].read_bytes()


def test_the_study_has_all_models_and_few_batches(study: Path) -> None:
    config = load(str(study))
    assert config.models == load().models
    # Sogou's texts are no English, so that eight rows with synonyms leave it out.
    assert len(config.cells) == 2 * len(config.models) - 8
    assert config.model("conv-large").recipe.schedule(5_000) == 7 * 128


def test_costs_are_those_that_snakemake_measured(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study.parent
    job = next(job for job in jobs(load(str(study))) if job.rule == "clean")
    for path, content in (
        (folder / job.log.with_suffix(".tsv"), "s\tmax_rss\tcpu_time\n12.5\t250.25\t11.0\n"),
        (folder / job.output, "x" * 7),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    (cost,) = rehearsal.costs(folder)
    assert (cost.rule, cost.seconds, cost.memory_mb, cost.bytes) == ("clean", 12.5, 250.25, 7)
    assert cost.planned_seconds > 1
    assert cost.planned_memory_mb == 200
    rehearsal.show([cost], folder)
    assert "clean" in capsys.readouterr().out
    assert (folder / "costs.csv").read_text().splitlines()[1].startswith("clean,yahoo_answers,")
