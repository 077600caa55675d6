"""Classify texts with a trained model.

    crepe predict results/demo/runs/docstrings/conv-small/0 "A tensor of zeros."

`crepe.load(path).predict(texts)` is the same from Python.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from crepe import features, saved
from crepe.batches import Split
from crepe.device import PRECISIONS, be_exact, choose_device, choose_precision
from crepe.features import Reader, Text
from crepe.scores import predict
from crepe.shards import ragged


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors, or the folder of its run")
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="a text to classify")
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, mps or cpu; default: the first that is there")


def main(options: argparse.Namespace) -> None:
    """Run the command: a line a text, with the likeliest class and its probability."""
    classifier = load(options.model, options.device)
    for text, probabilities in zip(options.texts, classifier.probabilities(options.texts), strict=True):
        best = int(probabilities.argmax())
        print(f"{classifier.classes[best]}\t{probabilities[best]:.3f}\t{text}")


class Classifier:
    """A trained model that takes texts."""

    def __init__(self, model: saved.Saved, device: torch.device, dtype: torch.dtype) -> None:
        self._model, self._device, self._dtype = model, device, dtype
        self._read: Reader = features.kind(model.feature.kind).reader(model.feature, model.vocabulary)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the probabilities."""
        return self._model.classes

    def predict(self, texts: Iterable[Text]) -> list[str]:
        """The likeliest class of each text."""
        return [self.classes[index] for index in self.probabilities(texts).argmax(1)]

    def probabilities(self, texts: Iterable[Text]) -> np.ndarray:
        """float32 [texts, classes]."""
        rows = [self._read(text) for text in texts]
        if not rows:
            return np.empty((0, len(self.classes)), np.float32)
        split = Split(ragged(rows, dtype="int32"), self._device)
        return predict(self._model.network, split, self._dtype).probabilities


def load(path: Path | str, device: str = "auto") -> Classifier:
    """The classifier in `path`, a model.safetensors or the folder of its run.

    Raises:
        CrepeError: the file is missing or damaged, or the device is not there.
    """
    be_exact()
    place = choose_device(device)
    return Classifier(saved.load(path, place), place, PRECISIONS[choose_precision(place)])
