"""crepe.records.run: written and read by the same class; records of format 1 stay readable."""

import json
from pathlib import Path

import pytest

from crepe.errors import CrepeError
from crepe.records.history import Epoch, History
from crepe.records.metrics import Metrics
from crepe.records.run import LEARNT, RunRecord
from tests.support.paths import GOLDEN, ROOT
from tests.support.records import record, write_record

FORMAT_1 = GOLDEN / "format1"
COMMITTED = sorted(
    path.parent for path in [*ROOT.glob("results/*/runs/*/*/*/run.json"), *FORMAT_1.glob("*/*/*/run.json")]
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = record(vectors="learnt", vectors_origin=LEARNT, network={"kind": "convnet", "fc": [5, 5]})
    written.write(tmp_path)
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["format"] == 2
    assert content["machine"]["device"] == "cpu"
    assert RunRecord.read(tmp_path) == written


@pytest.mark.parametrize("folder", COMMITTED, ids=[str(folder.relative_to(ROOT)) for folder in COMMITTED])
def test_committed_records_are_read(folder: Path) -> None:
    found = RunRecord.read(folder)
    assert (found.dataset, found.model, found.seed) == (*folder.parts[-3:-1], int(folder.name))
    assert Metrics.read(folder, found).error_pct > 0
    assert History.read(folder, found).lines
    old = json.loads((folder / "run.json").read_text())
    assert found.code.digest == old["code"]["digest"]
    assert found.data.manifest == old["data"]["manifest"]
    if "format" in old:
        return
    assert found.machine.device_name == old["device_name"]
    assert found.samples == old["minibatches"] * old["training"]["minibatch"]
    last = History.read(folder, found).lines[-1]
    assert isinstance(last, Epoch)
    assert last.samples == found.samples
    assert last.learning_rate <= old["training"]["rate"]


def test_there_are_committed_records() -> None:
    assert len(COMMITTED) >= 15


def committed(model: str) -> RunRecord:
    return RunRecord.read(FORMAT_1 / "ag_news-sample" / model / "0")


def test_settings_of_format_1_get_their_new_names() -> None:
    convnet = committed("conv-large-th")
    assert convnet.feature == {
        "kind": "characters",
        "alphabet": "crepe",
        "max_length": 1014,
        "thesaurus": "th_en_US_v2",
    }
    assert convnet.network.keys() == {"kind", "convolutions", "channels", "fc", "dropout", "init_std"}
    assert (convnet.network["channels"], convnet.network["fc"]) == (1024, [2048, 2048])
    assert committed("lstm").network.keys() >= {"hidden_size", "embedding_dim"}
    assert committed("bow-tfidf").network["weighting"] == "tfidf"
    assert committed("bow-tfidf").vectors is None
    assert committed("bag-of-means").feature.keys() >= {"clusters", "vector_size", "min_count"}
    learnt = committed("w2v-conv-small")
    assert (learnt.vectors, learnt.vectors_origin) == ("learnt", LEARNT)


def test_a_later_format_is_not_guessed_at(tmp_path: Path) -> None:
    write_record(tmp_path, format=3)
    with pytest.raises(CrepeError, match=r"run.json: has format 3, and this version reads up to 2; update crepe"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"precision": "float8"}, ": precision is 'float8'; known: float32, bfloat16, float64"),
        ({"rows": {"train": 0, "test": 1}}, ": rows: train must be more than 0"),
        ({"sha256": {}}, ": sha256 lacks history.csv"),
        ({"seeds": 1}, ": seeds: unknown key"),
        ({"machine": None}, ": machine: expected keys and values, found None"),
        ({"training": []}, ": training: expected keys and values"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_what_a_record_cannot_say(tmp_path: Path, version: int, changes: dict, fault: str) -> None:
    write_record(tmp_path, format=version, **changes)
    with pytest.raises(CrepeError) as caught:
        RunRecord.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/run.json{fault}")
    assert caught.value.remedy == "delete it and run `crepe train` again"


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(CrepeError, match=r"run.json: is missing; run `crepe train`$"):
        RunRecord.read(tmp_path)
