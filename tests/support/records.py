"""Records of a run that was never made."""

from pathlib import Path
from typing import Any

from crepe.config.sgd import Settings
from crepe.io.files import write_json
from crepe.records.run import RunRecord

RECIPE = Settings(
    epochs=5, batch_size=128, learning_rate=0.01, halve_every=3, max_halvings=10, momentum=0.9, weight_decay=1e-5
)
MACHINE: dict[str, Any] = {
    "device": "cpu",
    "device_name": "Abacus",
    "threads": 2,
    "platform": "Linux",
    "versions": {"python": "3.11", "torch": "2.13"},
}
CONTENT: dict[str, Any] = {
    "dataset": "pets",
    "model": "bow",
    "seed": 0,
    "title": "Pets",
    "paper": None,
    "rows": {"train": 300, "test": 100},
    "classes": ["cats", "dogs & <b>wolves</b>", "birds"],
    "feature": {"kind": "words", "vocab_size": 5000},
    "network": {"kind": "linear"},
    "training": RECIPE.as_dict() | {"batches_per_epoch": 10},
    "precision": "float32",
    "data": {"archive": "a" * 64, "clean": {}, "manifest": "b" * 64},
    "epochs": 5,
    "batches": 50,
    "complete": True,
    "code": {"commit": "0123456789abcdef", "dirty": False, "digest": "d" * 64},
    "machine": MACHINE,
    "seconds": 12.5,
    "samples_per_second": 1000.0,
    "sha256": {"model.safetensors": "e" * 64, "history.csv": "c" * 64},
}
"""Content of a run.json without its `format`."""


def record(**changes: Any) -> RunRecord:
    """The record with other values of some of its keys."""
    return RunRecord.parse(CONTENT | changes)


def write_record(folder: Path, **changes: Any) -> None:
    """Write the record to the run.json of a folder, whatever the changes make of it."""
    write_json(folder / "run.json", {"format": 2, **CONTENT, **changes})
