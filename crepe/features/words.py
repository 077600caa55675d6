"""Words: the most frequent of the train rows, in the order of the text (paper, section 3)."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.features import Coder, FeatureSettings, Reader, Replaceable
from crepe.io.files import digest
from crepe.io.section import PositiveInt
from crepe.ragged import trim
from crepe.text import thesaurus as thesauri
from crepe.text import tokens

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(FeatureSettings):
    """Settings of a feature of words."""

    description = "Words: the most frequent of the train rows, in the order of the text (paper, section 3)."

    vocab_size: PositiveInt
    """Number of words in the vocabulary: the most frequent of the train rows."""
    thesaurus: str | None = None
    """Key of `catalog.thesauri`. Words of texts drawn for training are replaced by its synonyms at random; test texts
    stay as they are. No words are replaced if absent."""

    def coder(self, train: Path, thesaurus: Path | None = None) -> Coder:
        """Count the words of the train rows and prepare the encoding.

        Raises:
            CrepeError: there are none; the thesaurus is missing or damaged.
        """
        fields, vocabulary = tokens.columns(train), tokens.train_vocabulary(train, self.vocab_size)

        def encode(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
            return trim(*tokens.flat(lists), self.max_length)

        content = tokens.packed(vocabulary)
        return Coder(
            "int32",
            len(vocabulary),
            tokens.codes(fields, vocabulary["word"]),
            encode,
            sha256(content).hexdigest(),
            content,
            _replaceable(thesaurus, fields, vocabulary["word"]) if thesaurus else None,
        )

    def reader(self, vocabulary: list[str] | None) -> Reader:
        """Return `crepe.text.tokens.quantize` for this vocabulary and length."""
        codes = {word: code for code, word in enumerate(vocabulary or (), start=1)}
        return partial(tokens.quantize, vocabulary=codes, length=self.max_length)


def _replaceable(path: Path, fields: list[str], vocabulary: "pl.Series") -> Replaceable:
    """Encode train rows for replacement; words of a synonym that are not in the vocabulary are 0, as in a text."""
    import polars as pl

    known = thesauri.read(path)
    codes = {word: code for code, word in enumerate(vocabulary, start=1)}

    def spots(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        entries, offsets = tokens.flat(lists)
        return thesauri.spots(np.arange(len(entries)) - np.repeat(offsets[:-1], np.diff(offsets)), entries - 1, offsets)

    def encode(text: str) -> np.ndarray:
        return np.array([codes.get(word, 0) for word in tokens.tokenize(text)], np.int32)

    return Replaceable(
        encode=tokens.flat,
        column=tokens.codes(fields, pl.Series(list(known))),
        spots=spots,
        synonyms=thesauri.table(known.items(), encode, "int32"),
        digest=digest(path),
    )
