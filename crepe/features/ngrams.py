"""n-grams: the most frequent of the train rows, up to some number of words (paper, section 3.1)."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.features import Coder, FeatureSettings, Reader
from crepe.io.section import PositiveInt
from crepe.ragged import trim
from crepe.text import ngrams, tokens

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(FeatureSettings):
    """Settings of a feature of n-grams."""

    description = "n-grams: the most frequent of the train rows, up to some number of words (paper, section 3.1)."

    vocab_size: PositiveInt
    """Number of n-grams in the vocabulary: the most frequent of the train rows."""
    max_n: PositiveInt
    """Largest number of words in an n-gram."""

    def coder(self, train: Path, thesaurus: Path | None = None) -> Coder:
        """Count the n-grams of the train rows and prepare the encoding.

        Raises:
            CrepeError: there are no words.
        """
        vocabulary, lookup = ngrams.vocabulary(train, self.vocab_size, self.max_n)

        def encode(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
            return trim(*lookup.encode(*ngrams.closed(lists)), self.max_length)

        content = tokens.packed(vocabulary)
        return Coder(
            "int32",
            len(vocabulary),
            tokens.codes(tokens.columns(train), lookup.words),
            encode,
            sha256(content).hexdigest(),
            content,
        )

    def reader(self, vocabulary: list[str] | None) -> Reader:
        """Return `crepe.text.ngrams.quantize` for this vocabulary and length."""
        codes = {ngram: code for code, ngram in enumerate(vocabulary or (), start=1)}
        return partial(ngrams.quantize, vocabulary=codes, max_n=self.max_n, length=self.max_length)
