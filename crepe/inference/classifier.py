"""A trained model that takes texts: `crepe.load`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import whitespace
from typing import Any

import numpy as np
import torch

from crepe.errors import CrepeError
from crepe.evaluation import metrics as scores
from crepe.features import Text
from crepe.inference.explain import Piece, explain
from crepe.models import saved
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, be_exact, choose_device, choose_precision, enough_memory
from crepe.ragged import Ragged

REMEDY = "give fewer texts at a time, take another device, or end what else runs on it"


class Classifier:
    """A trained model that takes texts.

    White space at the ends of a text, or of its fields, is left out, as `crepe clean` does.
    """

    def __init__(self, model: saved.Saved, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model
        self._device, self._dtype = device, dtype
        self._read = model.feature.reader(model.vocabulary)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the probabilities."""
        return self.model.classes

    def predict(self, texts: Iterable[Text]) -> list[str]:
        """The likeliest class of each text."""
        return [self.classes[index] for index in self.probabilities(texts).argmax(1)]

    @enough_memory(REMEDY)
    def probabilities(self, texts: Iterable[Text]) -> np.ndarray:
        """float32 [texts, classes].

        Raises:
            CrepeError: one of `texts` is no text, or there is not enough memory for them.
        """
        if isinstance(texts, str):
            raise CrepeError("texts: is a single text; put it into a list")
        rows = [self._read(_fields(text, number)) for number, text in enumerate(texts)]
        if not rows:
            return np.empty((0, len(self.classes)), np.float32)
        split = Split(Ragged.from_rows(rows, dtype="int32"), self._device)
        return scores.predict(self.model.network, split, self._dtype).probabilities

    @enough_memory(REMEDY)
    def explain(self, text: Text, index: int) -> list[Piece]:
        """What in a text speaks for the class of an index, and what against it: see `crepe.inference.explain`.

        It is computed in float32, since differences of bfloat16 are rough.
        """

        @torch.inference_mode()
        def log_odds(texts: list[list[str]]) -> np.ndarray:
            split = Split(Ragged.from_rows(map(self._read, texts), dtype="int32"), self._device)
            odds = np.empty(len(split))
            for rows, batch in split.by_length(scores.rows_at_once(split.device)):
                # Of scores, not of probabilities, which are 1 to the last bit where the network is sure.
                others = self.model.network(batch, torch.float32).double()
                own = others[:, index].clone()
                others[:, index] = -torch.inf
                odds[rows] = (own - others.logsumexp(1)).cpu().numpy()
            return odds

        return explain(_fields(text, 0), self.model.feature.units, log_odds)

    def answers(self, texts: Sequence[Text], explained: bool = False) -> list[dict[str, Any]]:
        """What there is to say of each text, as plain values.

        Args:
            texts: the texts.
            explained: whether to say what decided for the class.

        Returns:
            For each text its `class`, the `probability` of it, `probabilities` in the order of the classes and, if
            asked for, `explanation`, pairs of a piece and its weight.
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
    """The fields of the text of a number, from 0."""
    if not isinstance(text, Sequence) or not all(isinstance(field, str) for field in text):
        raise CrepeError(f"texts[{number}]: is {text!r}, not a text or the fields of one")
    return [field.strip(whitespace) for field in ([text] if isinstance(text, str) else text)]
