"""Words: the most frequent of the train rows, in the order of the text (paper, section 3)."""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe import shards, tokens
from crepe.config import Feature
from crepe.features import Coder, Reader

if TYPE_CHECKING:
    import polars as pl

NEEDS = ("vocabulary",)
VOCABULARY = True


def coder(feature: Feature, train: Path) -> Coder:
    """Counts the words of the train rows first.

    Raises:
        CrepeError: there are none.
    """
    assert feature.vocabulary is not None
    vocabulary = tokens.train_vocabulary(train, feature.vocabulary)

    def codes(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        return shards.trim(*tokens.flat(lists), feature.length)

    content = tokens.packed(vocabulary)
    return Coder(
        "int32",
        len(vocabulary),
        tokens.indices(tokens.columns(train), vocabulary["word"]),
        codes,
        sha256(content).hexdigest(),
        content,
    )


def reader(feature: Feature, vocabulary: list[str] | None) -> Reader:
    """See `crepe.tokens.quantize`."""
    indices = {word: index for index, word in enumerate(vocabulary or (), start=1)}
    return partial(tokens.quantize, vocabulary=indices, length=feature.length)
