"""A small project in which every step of the workflow was run, from an archive to a report."""

import contextlib
import gzip
import io
import json
from hashlib import sha256
from pathlib import Path

from crepe.cli import main
from tests.support import study, tiny
from tests.support.paths import inside
from tests.support.texts import binary
from tests.support.tiny import WORDS

FEATURE, MODEL = "words-th", "mixed"
CLEAN, SHARDS, RUN = "data/clean/toys", f"data/shards/{FEATURE}/toys", f"results/made/runs/toys/{MODEL}/0"
VECTORS = f"data/vectors/pub/{FEATURE}/toys.safetensors"
THESAURUS = ("UTF-8\n" + "".join(f"{words[0]}|1\n(noun)|{words[1]}|{words[2]}\n" for words in WORDS)).encode()
PUBLISHED = gzip.compress(
    binary([(word, [number, 1.0, -number]) for number, word in enumerate(sum(WORDS, ()))]), mtime=0
)


def project(folder: Path) -> Path:
    """Write the configuration and all that is downloaded, and run all steps."""
    study.project(folder)
    tiny.archive(folder / "data/raw/toys.tgz")
    (folder / "data/raw/synonyms.dat").write_bytes(THESAURUS)
    (folder / "data/raw/pub.bin.gz").write_bytes(PUBLISHED)
    with inside(folder):
        for step in STEPS:
            status, text = run(step)
            assert status == 0, text
    return folder


def _source(name: str, content: bytes) -> dict:
    return {"sources": [{"url": f"https://example.org/{name}", "sha256": sha256(content).hexdigest()}]}


CONFIG = json.dumps(
    {
        "name": "made",
        "datasets": ["toys"],
        "models": [MODEL],
        "seeds": [0],
        "training": {
            "brief": {
                **{"epochs": 2, "batch_size": 16, "batches_per_epoch": 10, "learning_rate": 0.05, "halve_every": 3},
                **{"max_halvings": 10, "momentum": 0.9, "weight_decay": 1e-5},
            }
        },
        "catalog": {
            "datasets": {"toys": tiny.dataset()},
            "thesauri": {"synonyms": _source("synonyms.dat", THESAURUS)},
            "features": {FEATURE: {"kind": "words", "vocab_size": 40, "max_length": 30, "thesaurus": "synonyms"}},
            "vectors": {"pub": {"vector_size": 3, **_source("pub.bin.gz", PUBLISHED)}},
            "networks": {"lstm-tiny": {"kind": "lstm", "embedding_dim": 3, "hidden_size": 4, "init_std": 0.1}},
            "models": {MODEL: {"feature": FEATURE, "network": "lstm-tiny", "training": "brief", "vectors": "pub"}},
        },
    }
)
"""One model that has it all: words, synonyms, and vectors that it starts from."""

STEPS = {
    "clean": ["toys"],
    "encode": ["toys", FEATURE],
    "vectors": ["toys", FEATURE, "pub"],
    "train": ["toys", MODEL, "--device", "cpu", "--precision", "float32"],
    "evaluate": [RUN, "--shards", SHARDS, "--device", "cpu"],
    "predict": [RUN, "goal match team", "--device", "cpu"],
    "table": [],
    "report": [],
}
"""The commands with their arguments, in the order of the workflow."""


def run(step: str) -> tuple[int, str]:
    """Run a step; returns its status and what it says on the standard error."""
    options = [] if step in ("evaluate", "predict") else ["--config", CONFIG]
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        status = main([step, *STEPS[step], *options])
    return status, error.getvalue()
