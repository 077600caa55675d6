"""n-grams: the most frequent of the train rows, up to some number of words (paper, section 3.1)."""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.config.catalog import Feature
from crepe.features import WORDS, Coder, Reader
from crepe.ragged import trim
from crepe.text import ngrams, tokens

if TYPE_CHECKING:
    import polars as pl

NEEDS = ("vocabulary", "longest")
VOCABULARY = True
UNITS = WORDS


def coder(feature: Feature, train: Path) -> Coder:
    """Counts the n-grams of the train rows first.

    Raises:
        CrepeError: there are no words.
    """
    assert feature.vocabulary is not None
    assert feature.longest is not None
    vocabulary, lookup = ngrams.vocabulary(train, feature.vocabulary, feature.longest)

    def codes(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        return trim(*lookup.codes(*ngrams.closed(lists)), feature.length)

    content = tokens.packed(vocabulary)
    return Coder(
        "int32",
        len(vocabulary),
        tokens.indices(tokens.columns(train), lookup.words),
        codes,
        sha256(content).hexdigest(),
        content,
    )


def reader(feature: Feature, vocabulary: list[str] | None) -> Reader:
    """See `crepe.text.ngrams.quantize`."""
    assert feature.longest is not None
    indices = {ngram: index for index, ngram in enumerate(vocabulary or (), start=1)}
    return partial(ngrams.quantize, vocabulary=indices, longest=feature.longest, length=feature.length)
