"""Classify texts with a trained model: `crepe.load`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import whitespace
from typing import Any

import numpy as np
import torch

from crepe.errors import CrepeError
from crepe.evaluation import prediction
from crepe.features import Text
from crepe.inference.explain import Piece, explain
from crepe.models import saved
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, be_exact, choose_device, choose_precision, enough_memory
from crepe.ragged import Ragged

REMEDY = "give fewer texts at a time, take another device, or end what else runs on it"
"""Advice when there is not enough memory."""


class Classifier:
    """Classify texts with a trained model.

    White space at the ends of a text, or of its fields, is removed, as `crepe clean` does.

    Args:
        model: the network and what it reads.
        device: where the network's parameters are.
        dtype: the network computes in this.
    """

    def __init__(self, model: saved.Saved, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model
        self._device, self._dtype = device, dtype
        self._read = model.feature.reader(model.vocabulary)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the probabilities."""
        return self.model.classes

    def predict(self, texts: Iterable[Text]) -> list[str]:
        """Return the most probable class of each text."""
        return [self.classes[index] for index in self.probabilities(texts).argmax(1)]

    @enough_memory(REMEDY)
    def probabilities(self, texts: Iterable[Text]) -> np.ndarray:
        """Return the probability of each class for each text: float32 [texts, classes].

        Raises:
            CrepeError: one of `texts` is not a text, or there is not enough memory for them.
        """
        if isinstance(texts, str):
            raise CrepeError("texts", "is a single text", "put it into a list")
        rows = [self._read(_fields(text, number)) for number, text in enumerate(texts)]
        if not rows:
            return np.empty((0, len(self.classes)), np.float32)
        split = Split(Ragged.from_rows(rows, dtype="int32"), self._device)
        return prediction.predict(self.model.network, split, self._dtype).probabilities

    @enough_memory(REMEDY)
    def explain(self, text: Text, index: int) -> list[Piece]:
        """Explain which parts of a text speak for a class and which against it: see `crepe.inference.explain`.

        The network computes in float32: differences of bfloat16 are too rough.

        Args:
            text: a text, or its fields.
            index: the class, counted from 0.
        """

        @torch.inference_mode()
        def log_odds(texts: list[list[str]]) -> np.ndarray:
            split = Split(Ragged.from_rows(map(self._read, texts), dtype="int32"), self._device)
            odds = np.empty(len(split))
            for rows, batch in split.by_length(prediction.rows_at_once(split.device)):
                # From logits, since a probability is 1 to the last bit where the network is sure.
                others = self.model.network(batch, torch.float32).double()
                own = others[:, index].clone()
                others[:, index] = -torch.inf
                odds[rows] = (own - others.logsumexp(1)).cpu().numpy()
            return odds

        return explain(_fields(text, 0), self.model.feature.units, log_odds)

    def answers(self, texts: Sequence[Text], explained: bool = False) -> list[dict[str, Any]]:
        """Classify texts, and return plain values that can be written as JSON.

        Args:
            texts: the texts.
            explained: whether to explain the class.

        Returns:
            For each text its `class`, the `probability` of it, `probabilities` in the order of the classes and, if
            `explained`, `explanation`, pairs of a piece and its weight.
        """
        answers = []
        for text, row in zip(texts, self.probabilities(texts), strict=True):
            best = int(row.argmax())
            answer: dict[str, Any] = {
                "class": self.classes[best],
                "probability": round(float(row[best]), 6),
                "probabilities": [round(float(value), 6) for value in row],
            }
            if explained:
                answer["explanation"] = [(piece, round(weight, 4)) for piece, weight in self.explain(text, best)]
            answers.append(answer)
        return answers


def load(path: Path | str, device: str = "auto", precision: str = "auto") -> Classifier:
    """Load a trained model.

    Args:
        path: a model.safetensors, or a folder that has one: of a run, or exported.
        device: see `crepe.models.device.choose_device`.
        precision: see `crepe.models.device.choose_precision`.

    Raises:
        CrepeError: the file is missing or damaged, the device is not there, or the precision is unknown.
    """
    be_exact()
    place = choose_device(device)
    model = saved.load(path, place)
    return Classifier(model, place, PRECISIONS[choose_precision(place, precision, model.network)])


def _fields(text: Text, number: int) -> list[str]:
    """Return the fields of a text; `number`, counted from 0, names it in an error."""
    if not isinstance(text, Sequence) or not all(isinstance(field, str) for field in text):
        raise CrepeError(f"texts[{number}]", f"is {text!r}, not a text or the fields of one")
    return [field.strip(whitespace) for field in ([text] if isinstance(text, str) else text)]
