"""Features turn text into codes, which are integers: the base class of their settings, and the kinds.

A kind is a module with a class `Settings`, a `FeatureSettings`, and a line in `FeatureSettings.KINDS`.
Only functions import polars: a machine that trains and predicts needs none.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from crepe.io.section import PositiveInt, Variant
from crepe.text import tokens

if TYPE_CHECKING:
    import polars as pl

    from crepe.ragged import Ragged

Text = str | Sequence[str]
"""A text, or the fields of a row in the dataset's order."""

Reader = Callable[[Text], np.ndarray]
"""Turns one text into its codes: uint8 or int32 [codes]. A code stands for a symbol: a character, a word, ..."""

Encoder = Callable[["pl.Series"], tuple[np.ndarray, np.ndarray]]
"""Turns a batch of rows into the values and offsets of a `crepe.ragged.Ragged`."""


@dataclass(frozen=True, slots=True)
class Units:
    """Parts of a text that `crepe.inference.explain` blanks, without moving the text around them."""

    pattern: str
    """Regular expression that matches one part."""
    blank: Callable[[str], str]
    """Gives the replacement of a part, which the feature reads as no symbol."""
    span: int = 1
    """Number of neighbouring parts that are blanked at a time."""


WORDS = Units(tokens.WORD, lambda word: tokens.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Replaceable:
    """Encoding of train rows whose words can be replaced by synonyms (`crepe.training.augmentation`)."""

    encode: Encoder
    """Takes the place of `Coder.encode`: rows keep their full length, and their zeros at the end."""
    column: "pl.Expr"
    """polars expression of the column that `spots` takes."""
    spots: Encoder
    """Turns a batch of that column into the places of replaceable words: see `crepe.text.thesaurus.spots`."""
    synonyms: "Ragged"
    """See `crepe.text.thesaurus.table`."""
    digest: str
    """sha256 of the thesaurus."""


@dataclass(frozen=True, slots=True)
class Coder:
    """Encoding of the rows of a dataset, for `crepe encode`."""

    dtype: str
    """`uint8` or `int32`."""
    vocab_size: int
    """Largest code that can occur."""
    column: "pl.Expr"
    """polars expression of the column that `encode` takes."""
    encode: Encoder
    """Turns a batch of that column into codes."""
    digest: str
    """sha256 of `vocabulary`, or of the alphabet."""
    vocabulary: bytes = b""
    """Content of vocabulary.parquet, with columns `word`, `count` and `rows`; row i describes code i + 1."""
    replaceable: Replaceable | None = None
    """None without a thesaurus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSettings(Variant, ABC):
    """Base class of the settings of a feature; a kind adds fields, which are its keys in the configuration."""

    KINDS: ClassVar[Mapping[str, str]] = {
        "characters": "crepe.features.characters",
        "words": "crepe.features.words",
        "ngrams": "crepe.features.ngrams",
        "means": "crepe.features.means",
    }

    description: ClassVar[str]
    """Meaning of the codes, in a sentence for users."""
    has_vocabulary: ClassVar[bool] = True
    """Whether its shards have a vocabulary: a line of text for each code from 1 on."""
    units: ClassVar[Units] = WORDS
    """Parts of a text that are blanked to explain a prediction."""

    max_length: PositiveInt | None = None
    """Number of symbols that a text is cut to. Texts stay whole if absent."""

    @property
    def thesaurus(self) -> str | None:
        """Key of the thesaurus whose synonyms replace words of train texts, None for a kind that has no such field."""
        return None

    @property
    def characters(self) -> str | None:
        """The characters that are symbols, in the order of their codes, None for a kind that reads words."""
        return None

    @abstractmethod
    def coder(self, train: Path, thesaurus: Path | None = None) -> Coder:
        """Prepare the encoding of a dataset.

        Args:
            train: the Parquet file of its clean train rows, from which a vocabulary is made.
            thesaurus: the file of the thesaurus, for settings that name one.

        Raises:
            CrepeError: the rows have no words, or the thesaurus is missing or damaged.
        """

    @abstractmethod
    def reader(self, vocabulary: list[str] | None) -> Reader:
        """Return a function that turns one text into the same codes, for `crepe predict`.

        Args:
            vocabulary: the lines of the vocabulary, line i for code i + 1; None for a kind that has none.
        """
