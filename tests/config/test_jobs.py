from pathlib import Path

import pytest

from crepe.config import load
from crepe.config.jobs import jobs
from tests.support.study import overlay, project


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))


def by_place(models, **changes):
    return {(job.rule, *job.keys): job for job in jobs(load(overlay(datasets=["pets"], models=models, **changes)))}


def test_each_job_comes_once_and_behind_those_that_it_needs():
    found = list(by_place(["w2v-conv-small", "conv-small-th", "full-conv-small-th", "bow"], seeds=[0, 1]))
    assert found[:10] == [
        ("download", "pets"),
        ("thesaurus", "th_en_US_v2"),
        ("published", "google-news"),
        ("clean", "pets"),
        ("encode", "word-columns", "pets"),
        ("encode", "chars-th", "pets"),
        ("encode", "full-chars-th", "pets"),
        ("encode", "words", "pets"),
        ("vectors", "google-news", "word-columns", "pets"),
        ("train", "pets", "w2v-conv-small", "0"),
    ]
    assert found[-3:] == [("evaluate", "pets", "bow", "1"), ("table",), ("report",)]
    assert len(found) == len(set(found)) == 9 + 2 * 4 * 2 + 2


def test_dvc_keeps_data_and_weights():
    found = by_place(["bow"])
    kept = {place[0]: job.kept for place, job in found.items()}
    assert kept == {
        "download": (Path("data/raw/pets.tgz"),),
        "clean": (Path("data/clean/pets"),),
        "encode": (Path("data/shards/words/pets"),),
        "train": (Path("results/small/runs/pets/bow/0/model.safetensors"),),
        "evaluate": (Path("results/small/runs/pets/bow/0/predictions.parquet"),),
        "table": (),
        "report": (Path("results/small/report.html"),),
    }


def test_a_local_archive_without_a_checksum_is_kept_with_its_copy():
    entry = {"fields": 2, "classes": 3, "train_rows": 300, "test_rows": 100}
    source = {"sources": [{"url": "data/demo/docstrings.tgz"}, {"url": "elsewhere/pets.tgz"}]}
    found = by_place(["bow"], catalog={"datasets": {"pets": {**entry, **source}}})
    assert found["demo_data",].kept == (Path("data/demo/docstrings.tgz"),)
    assert found["download", "pets"].kept == (Path("data/raw/pets.tgz"), Path("data/demo/docstrings.tgz"))


def test_logs_of_shared_jobs_are_apart_from_those_of_the_study():
    found = by_place(["bow"])
    assert found["encode", "words", "pets"].log == Path("logs/encode/words/pets.log")
    assert found["train", "pets", "bow", "0"].log == Path("logs/small/train/pets/bow/0.log")
    assert found["table",].log == Path("logs/small/table.log")
