"""Small models of every kind that need no training, written as `crepe train` does."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from crepe.features import FeatureSettings
from crepe.inference.classifier import Classifier
from crepe.models import NetworkSettings, saved
from crepe.models.base import Inputs, initialize

CLASSES = ["cats", "dogs & <b>wolves</b>", "birds"]
WORDS = ["purr", "meow", "bark", "howl", "sing", "fly", "new", "york"]

_CONVNET: dict[str, Any] = {
    "kind": "convnet",
    "convolutions": ((7, 3), (3, 3)),
    "channels": 8,
    "fc": (16,),
    "dropout": 0.5,
}
_WORDS: dict[str, Any] = {"kind": "words", "vocab_size": 8}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "characters": ({"kind": "characters", "alphabet": "crepe", "max_length": 100}, _CONVNET),
    "word columns": (_WORDS | {"max_length": 40}, _CONVNET | {"embedding_dim": 5}),
    "bag": (_WORDS, {"kind": "linear"}),
    "tf-idf": (_WORDS, {"kind": "linear", "weighting": "tfidf"}),
    "n-grams": ({"kind": "ngrams", "vocab_size": 9, "max_n": 2}, {"kind": "linear"}),
    "means": ({"kind": "means", "clusters": 3, "vector_size": 2, "min_count": 1, "epochs": 1}, {"kind": "linear"}),
    "lstm": (_WORDS | {"max_length": 40}, {"kind": "lstm", "embedding_dim": 5, "hidden_size": 4}),
}
_LINES = {"n-grams": [*WORDS, "new york"], "means": ["purr meow", "bark howl", "sing fly"]}


def model(kind: str, classes: list[str] = CLASSES) -> saved.Saved:
    """A model with drawn parameters, so large that texts get different classes."""
    feature, settings = FeatureSettings.parse(KINDS[kind][0]), NetworkSettings.parse(KINDS[kind][1])
    vocabulary = None if kind == "characters" else _LINES.get(kind, WORDS)
    symbols = 69 if vocabulary is None else len(vocabulary)
    idf = torch.linspace(0.5, 3, symbols) if kind == "tf-idf" else None
    network = settings.build(Inputs(vocab_size=symbols, length=feature.max_length, classes=len(classes), idf=idf))
    initialize(network, 0.3 if settings.kind == "convnet" else 1.0, seed=5)
    return saved.Saved(
        network=network.eval(),
        feature=feature,
        settings=settings,
        vocab_size=symbols,
        classes=classes,
        vocabulary=vocabulary,
    )


def classifier(kind: str, classes: list[str] = CLASSES) -> Classifier:
    """It in float32, whatever this machine is fast at."""
    return Classifier(model(kind, classes), torch.device("cpu"), torch.float32)


def write(folder: Path, kind: str) -> Path:
    """Write one; returns the folder."""
    saved.save(folder / saved.FILE, model(kind))
    return folder


def texts(rows: int, seed: int = 0) -> list[str]:
    """Texts of up to 60 words, some of them in no vocabulary; the first is empty."""
    generator = np.random.default_rng(seed)
    words = [*WORDS, "unknown", "Ünïcödé,", "(;)"]
    lengths = [0, *generator.integers(1, 60, rows - 1)]
    return [" ".join(words[index] for index in generator.integers(0, len(words), length)) for length in lengths]
