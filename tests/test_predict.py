"""`crepe predict`, on a model trained for the purpose."""

from pathlib import Path

import numpy as np
import pytest

import crepe
from crepe.cli import main
from crepe.train import train
from tests.conftest import Tiny


@pytest.fixture(scope="module")
def run(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(tiny.config, "tiny", "bow", 0, tiny.folder / "words", folder, "cpu")
    return folder


def test_a_line_a_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["w01 w02 w03 w04 w05 w06 w07 w08 w09", "w39 w38 w37 w36 w35 w34 w33 w32 w31"]
    assert main(["predict", str(run), *texts, "--device", "cpu"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("low", texts[0]), ("high", texts[1])]
    assert all(0.5 < float(line[1]) <= 1 for line in lines)


def test_order_and_company_do_not_matter(run: Path) -> None:
    classifier = crepe.load(run, "cpu")
    texts = [f"w{number:02d} w{(7 * number) % 40:02d}" for number in range(40)]
    together = classifier.probabilities(texts)
    alone = np.concatenate([classifier.probabilities([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_a_missing_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path), "text"]) == 1
    assert "model.safetensors: is not there" in capsys.readouterr().err
