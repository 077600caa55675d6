"""How text becomes integers. Each kind of feature is a module here, named in the configuration by its `kind`.

Such a module has

- `NEEDS`, the keys of `crepe.config.catalog.Feature` that an entry of the kind must have;
- `VOCABULARY`, whether there is one: a line of text for each index from 1 on;
- `coder(feature, train)`, a `Coder` for `crepe encode`, made after a look at the clean train rows; with what the
  feature's thesaurus makes of them if it has one;
- `reader(feature, vocabulary)`, a function that turns single texts into the same integers, for `crepe predict`;
- `UNITS`, what of a text is blanked to see what it was good for.

polars is imported where it is used: a machine that only trains and predicts can do without.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from crepe.text import tokens

if TYPE_CHECKING:
    import polars as pl

    from crepe.ragged import Ragged

Text = str | Sequence[str]
"""A text, or the fields of a row in the dataset's order."""

Reader = Callable[[Text], np.ndarray]

Codes = Callable[["pl.Series"], tuple[np.ndarray, np.ndarray]]
"""What becomes of a batch of rows: values and offsets, as in `crepe.ragged.Ragged`."""


@dataclass(frozen=True, slots=True)
class Units:
    """Parts of a text that can be blanked without moving what is around them, for `crepe.inference.explain`."""

    pattern: str
    """Of one of them."""
    blank: Callable[[str], str]
    """What the feature reads as no symbol, in its place."""
    span: int = 1
    """How many neighbours are blanked at a time."""


WORDS = Units(tokens.ANY_CASE, lambda word: tokens.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Replaceable:
    """What the train rows need to have words replaced by synonyms (`crepe.training.augmentation`)."""

    codes: Codes
    """In place of those of the `Coder`: rows that are neither cut to a length nor where only zeros follow."""
    column: "pl.Expr"
    """What polars makes of a row ..."""
    spots: Codes
    """... and what becomes of a batch of it: see `crepe.text.thesaurus.spots`."""
    synonyms: "Ragged"
    """See `crepe.text.thesaurus.table`."""
    source: str
    """sha256 of the thesaurus."""


@dataclass(frozen=True, slots=True)
class Coder:
    """How the texts of some rows become integers."""

    dtype: str
    """`uint8` or `int32`."""
    symbols: int
    """Largest index that can occur."""
    column: "pl.Expr"
    """What polars makes of a row ..."""
    codes: Codes
    """... and what becomes of a batch of it."""
    source: str
    """sha256 of what the integers mean: of `vocabulary` if there is one."""
    vocabulary: bytes = b""
    """Content of vocabulary.parquet: `word`, `count`, `rows`, the line of index i being the i-th."""
    replaceable: Replaceable | None = None
    """None without a thesaurus."""


def kind(name: str) -> ModuleType:
    """The module of a kind of feature.

    Raises:
        ValueError: there is none of that name.
    """
    if not name.isidentifier() or find_spec(f"{__name__}.{name}") is None:
        raise ValueError(f"kind is {name!r}, and there is no crepe/features/{name}.py")
    return import_module(f"{__name__}.{name}")
