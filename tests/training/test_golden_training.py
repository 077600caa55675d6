"""Twenty steps of every kind of training, or all that conjugate gradients take, give the losses and parameters that
they have always given.

`golden/training.json` was made before the training loop was rebuilt: `python -m tests.training.test_golden_training`
makes it anew, which only a deliberate change of results may ask for. On the machine and the torch that made it the
figures are equal to the bit; others round otherwise, and are near.
"""

import csv
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.support import tiny
from tests.support.paths import GOLDEN as GOLDENS

pytestmark = pytest.mark.slow

GOLDEN = GOLDENS / "training.json"
STEPS = 20
RECIPE = {
    **{
        "epochs": STEPS,
        "batch_size": 16,
        "batches_per_epoch": 1,
        "learning_rate": 0.05,
        "halve_every": 8,
        "max_halvings": 2,
    },
    **{"momentum": 0.9, "weight_decay": 1e-3},
}
CONVNET = {"kind": "convnet", "convolutions": [[7, 3], [3, 1], [3, 3]], "channels": 24, "fc": [32, 32]}
CONVNET |= {"dropout": 0.3, "init_std": 0.1}
THESAURUS = "UTF-8\n" + "".join(f"{words[0]}|1\n(noun)|{words[1]}|{words[2]} {words[3]}\n" for words in tiny.WORDS)
CONFIG: dict[str, Any] = {
    "name": "golden",
    "datasets": ["toys"],
    "models": ["chars"],
    "seeds": [0],
    "training": {
        **{"brief": RECIPE, "clipped": RECIPE | {"max_grad_norm": 0.5}},
        "cg": {"kind": "cg", "l2": 0.0001, "tolerance": 0.001},
    },
    "catalog": {
        "datasets": {"toys": tiny.dataset()},
        "thesauri": {"synonyms": {"sources": [{"url": "archives/synonyms.dat"}]}},
        "features": {
            "chars": {"kind": "characters", "alphabet": "crepe", "max_length": 120},
            "chars-th": {
                **{"kind": "characters", "alphabet": "full", "max_length": 90},
                "thesaurus": "synonyms",
            },
            "columns": {"kind": "words", "vocab_size": 200, "max_length": 60},
            "ngrams": {"kind": "ngrams", "vocab_size": 500, "max_n": 3},
        },
        "vectors": {"learnt": {"vector_size": 12, "min_count": 2, "epochs": 1}},
        "networks": {
            "chars": CONVNET,
            "words": CONVNET | {"embedding_dim": 12},
            "lstm": {"kind": "lstm", "embedding_dim": 12, "hidden_size": 10, "init_std": 0.1},
            "linear-counts": {"kind": "linear", "normalize": "none", "init_std": 0.0},
            "linear-tfidf": {"kind": "linear", "weighting": "tfidf", "normalize": "l2", "init_std": 0.0},
            "linear-largest": {"kind": "linear", "weighting": "tfidf", "normalize": "max-matrix", "init_std": 0.0},
        },
        "models": {
            "chars": {"feature": "chars", "network": "chars", "training": "brief"},
            "thesaurus": {"feature": "chars-th", "network": "chars", "training": "brief"},
            "words": {"feature": "columns", "network": "words", "training": "brief", "vectors": "learnt"},
            "lstm": {"feature": "columns", "network": "lstm", "training": "clipped", "vectors": "learnt"},
            "tfidf": {"feature": "ngrams", "network": "linear-tfidf", "training": "brief"},
            "counts": {"feature": "ngrams", "network": "linear-counts", "training": "brief"},
            "cg": {"feature": "ngrams", "network": "linear-largest", "training": "cg"},
        },
    },
}
FEATURES = {model: entry["feature"] for model, entry in CONFIG["catalog"]["models"].items()}
CG = [model for model, entry in CONFIG["catalog"]["models"].items() if entry["training"] == "cg"]
CASES = [
    (model, precision) for model in FEATURES for precision in ("float32", "float64" if model in CG else "bfloat16")
]


def machine() -> list[str]:
    """What decides on the last bits: the processor, torch and NumPy."""
    lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0] if sys.platform == "linux" else ""
    told = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
    kept = sorted(line for line in lines.splitlines() if line.partition(":")[0].strip() in told)
    processor = hashlib.sha256("\n".join([platform.machine(), *kept]).encode()).hexdigest()
    return [processor, torch.__version__, np.__version__]


def crepe(folder: Path, *words: str) -> None:
    """Run a command with one thread."""
    command = [sys.executable, "-m", "crepe.cli", *words, "--config", json.dumps(CONFIG)]
    command[1:3] = ["-c", "import sys; from crepe.cli import main; sys.exit(main())"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def prepare(folder: Path) -> Path:
    """Everything that the trainings read."""
    tiny.archive(folder / "data/raw/toys.tgz")
    (folder / "data/raw/synonyms.dat").write_text(THESAURUS)
    crepe(folder, "clean", "toys")
    for feature in sorted(set(FEATURES.values())):
        crepe(folder, "encode", "toys", feature)
    crepe(folder, "vectors", "toys", "columns", "learnt")
    return folder


def trained(folder: Path, model: str, precision: str) -> dict[str, Any]:
    """Losses of the steps, on the minibatch and on the test rows after it, and a digest of the last parameters.

    A step of conjugate gradients is an iteration, and its minibatch the train set.
    """
    run = f"runs/{model}/{precision}"
    crepe(folder, "train", "toys", model, "--device", "cpu", "--precision", precision, "--output", run)
    lines = list(csv.DictReader((folder / run / "history.csv").read_text().splitlines()))
    tensors = load_file(folder / run / "model.safetensors")
    hasher = hashlib.sha256()
    for name in sorted(tensors.keys() - {"vocabulary"}):
        hasher.update(name.encode() + tensors[name].tobytes())
    return {
        "train": [float(line["train_loss"]) for line in lines],
        "test": [float(line["test_loss"]) for line in lines],
        "parameters": hasher.hexdigest(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize(("model", "precision"), CASES)
def test_the_steps_are_what_they_were(folder: Path, model: str, precision: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    expected, found = golden["trainings"][f"{model} {precision}"], trained(folder, model, precision)
    assert len(found["train"]) == len(expected["train"])
    assert model in CG or len(found["train"]) == STEPS
    if golden["machine"] == machine():
        assert found == expected
    else:
        tolerance = 0.05 if precision == "bfloat16" else 1e-3
        for name in ("train", "test"):
            assert found[name] == pytest.approx(expected[name], abs=tolerance)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        place = prepare(Path(temporary))
        trainings = {" ".join(case): trained(place, *case) for case in CASES}
    GOLDEN.write_text(json.dumps({"machine": machine(), "trainings": trainings}, indent=1) + "\n")
