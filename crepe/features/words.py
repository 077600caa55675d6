"""Words: the most frequent of the train rows, in the order of the text (paper, section 3)."""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.config.catalog import Feature
from crepe.features import WORDS, Coder, Reader, Replaceable
from crepe.io.files import digest
from crepe.ragged import trim
from crepe.text import thesaurus, tokens

if TYPE_CHECKING:
    import polars as pl

NEEDS = ("vocabulary",)
VOCABULARY = True
UNITS = WORDS


def coder(feature: Feature, train: Path) -> Coder:
    """Counts the words of the train rows first.

    Raises:
        CrepeError: there are none; the thesaurus is missing or damaged.
    """
    assert feature.vocabulary is not None
    vocabulary = tokens.train_vocabulary(train, feature.vocabulary)

    def codes(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        return trim(*tokens.flat(lists), feature.length)

    content = tokens.packed(vocabulary)
    return Coder(
        "int32",
        len(vocabulary),
        tokens.indices(tokens.columns(train), vocabulary["word"]),
        codes,
        sha256(content).hexdigest(),
        content,
        _replaceable(Path(feature.thesaurus), tokens.columns(train), vocabulary["word"]) if feature.thesaurus else None,
    )


def reader(feature: Feature, vocabulary: list[str] | None) -> Reader:
    """See `crepe.text.tokens.quantize`."""
    indices = {word: index for index, word in enumerate(vocabulary or (), start=1)}
    return partial(tokens.quantize, vocabulary=indices, length=feature.length)


def _replaceable(path: Path, fields: list[str], vocabulary: "pl.Series") -> Replaceable:
    """A synonym is as many words as it has; those outside the vocabulary are 0 and keep their place, as in a text."""
    import polars as pl

    known = thesaurus.read(path)
    indices = {word: index for index, word in enumerate(vocabulary, start=1)}

    def spots(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        entries, offsets = tokens.flat(lists)
        return thesaurus.spots(
            np.arange(len(entries)) - np.repeat(offsets[:-1], np.diff(offsets)), entries - 1, offsets
        )

    def codes(text: str) -> np.ndarray:
        return np.array([indices.get(word, 0) for word in tokens.tokenize(text)], np.int32)

    return Replaceable(
        codes=tokens.flat,
        column=tokens.indices(fields, pl.Series(list(known))),
        spots=spots,
        synonyms=thesaurus.table(known.items(), codes, "int32"),
        source=digest(path),
    )
