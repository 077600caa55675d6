import json

import pytest
import torch

from crepe.cli import main
from crepe.config import Config, load
from crepe.models.base import Inputs
from crepe.records.speeds import Speeds
from crepe.workflow import plan
from crepe.workflow.costs import Costs

GPU = "NVIDIA H200"


@pytest.fixture(scope="module")
def config() -> Config:
    return load()


@pytest.fixture(scope="module")
def costs(config: Config) -> Costs:
    return Costs(config, Speeds.read(), GPU)


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    assert main(["plan", "--machine", GPU, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_papers_study(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, "--price", "2")
    assert found["runs"] == 168
    assert found["download_bytes"] == pytest.approx(2.48e9 + 1.76e9, rel=0.01)
    assert 24 < found["training_hours"] < found["hours"] < 72
    assert found["price"] == pytest.approx(2 * found["hours"], abs=0.02)
    assert {line["step"] for line in found["steps"]} >= {"download", "clean", "encode", "vectors", "train", "evaluate"}


def test_two_gpus_halve_the_trainings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = planned(capsys), planned(capsys, "--gpus", "2")
    assert one["hours"] - two["hours"] == pytest.approx(one["training_hours"] / 2, abs=0.02)


def test_a_table_for_readers(capsys: pytest.CaptureFixture[str]) -> None:
    overlay = '{"datasets": ["ag_news"], "models": ["conv-small", "lstm"]}'
    assert main(["plan", "--machine", GPU, "--config", overlay]) == 0
    text = capsys.readouterr().out
    assert f"paper: 2 runs on {GPU}" in text
    assert "~ scaled from another machine" in text


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--machine", "abacus"], "--machine abacus: has no measured speeds; run `crepe bench --save` there, or take "),
        (["--gpus", "0"], "--gpus 0: must be 1 or more"),
        (["--price", "-1"], "--price -1.0: must be 0 or more"),
        (["--price", "nan"], "--price nan: must be 0 or more"),
        (["--bandwidth", "0"], "--bandwidth 0.0: must be 0.001 or more"),
    ],
)
def test_bad_options_are_refused(options: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *options]) == 1
    assert fault in capsys.readouterr().err


def test_an_unmeasured_machine_gets_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "describe", lambda _: "Abacus")
    name, note = plan.choose_machine(Speeds.read(), None)
    assert name in Speeds.read().machines
    assert note.startswith("nothing was measured on Abacus: the speeds are of")


def test_parameters_of_a_linear_network(costs: Costs) -> None:
    assert costs.parameters("dbpedia", "bow") == 14 * 50_001


@pytest.mark.parametrize("key", [key for key in load().models if load().model(key).network.kind != "linear"])
def test_parameters_are_those_of_the_network(config: Config, costs: Costs, key: str) -> None:
    spec = config.model(key)
    feature = spec.feature
    size = len(feature.characters or "") or getattr(feature, "vocab_size", getattr(feature, "clusters", 0))
    with torch.device("meta"):
        network = spec.network.build(Inputs(vocab_size=size, length=feature.max_length, classes=14))
    exact = sum(parameter.numel() for parameter in network.parameters())
    assert costs.parameters("dbpedia", key) == pytest.approx(exact, rel=0.001)


def test_sizes_come_from_published_csv_files_or_archives(config: Config, costs: Costs) -> None:
    assert costs.text_bytes("ag_news") == pytest.approx(250, abs=10)
    assert costs.text_bytes("dbpedia") == pytest.approx(310, abs=30)
    assert costs.codes("chars", "sogou_news") < 1014
    assert costs.encoded_bytes("chars-th", "dbpedia") > costs.encoded_bytes("chars", "dbpedia")
