"""Conversion of run.json and history.csv of format 1, which crepe 0.1 wrote before its keys were renamed."""

from pathlib import Path
from typing import Any

_TRAINING = {
    "minibatch": "batch_size",
    "rate": "learning_rate",
    "halvings": "max_halvings",
    "decay": "weight_decay",
    "clip": "max_grad_norm",
    "epoch_minibatches": "batches_per_epoch",
}
_FEATURE = {
    "length": "max_length",
    "vocabulary": "vocab_size",
    "longest": "max_n",
    "means": "clusters",
    "size": "vector_size",
    "least": "min_count",
}
_NETWORK = {"embedding": "embedding_dim", "hidden": "fc", "deviation": "init_std"}
_OUTPUTS = {"convnet": "channels", "lstm": "hidden_size"}
"""New name of a network's `features`."""
_MACHINE = ("device", "device_name", "threads", "memory_bytes", "platform", "versions")
COLUMNS = {"minibatches": "batches", "rate": "learning_rate"}
"""Columns of history.csv: the old name and the new one."""


def converted(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a run.json of format 1, without `format`, with the keys of format 2.

    What is not as format 1 has it stays as it is, for `RunRecord.parse` to name.
    """
    new = dict(content)
    if "minibatches" in new:
        new["batches"] = new.pop("minibatches")
    if "device" in new:
        new["machine"] = {name: new.pop(name) for name in _MACHINE if name in new}
    weights, origin = new.pop("weights", None), new.pop("vectors", None)
    if origin is not None:
        new |= {"vectors": weights, "vectors_origin": origin}
    for name, section in (("training", _training), ("feature", _feature), ("network", _network)):
        if isinstance(new.get(name), dict):
            new[name] = section(new[name])
    if isinstance(new.get("network"), dict) and weights in ("counts", "tfidf"):
        new["network"]["weighting"] = weights
    return new


def _training(section: dict[str, Any]) -> dict[str, Any]:
    return _renamed(section, _TRAINING)


def _feature(section: dict[str, Any]) -> dict[str, Any]:
    """Keys of other kinds were there, with None; the thesaurus was the path of its file."""
    new = {key: value for key, value in _renamed(section, _FEATURE).items() if value is not None}
    if isinstance(new.get("thesaurus"), str):
        new["thesaurus"] = Path(new["thesaurus"]).stem
    return new


def _network(section: dict[str, Any]) -> dict[str, Any]:
    """Keys of other kinds were there, with 0 or an empty list."""
    kind = section.get("kind")
    outputs = {"features": _OUTPUTS[kind]} if kind in _OUTPUTS else {}
    return {key: value for key, value in _renamed(section, _NETWORK | outputs).items() if value not in (0, [])}


def _renamed(section: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in section.items()}
