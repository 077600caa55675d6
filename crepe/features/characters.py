"""Characters: a text's bytes, last first, as indices into an alphabet (paper, section 2.2; see `crepe.alphabet`)."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe import alphabet
from crepe.config import Feature
from crepe.features import Coder, Reader

if TYPE_CHECKING:
    import polars as pl

NEEDS = ("alphabet", "length")
VOCABULARY = False


def coder(feature: Feature, train: Path) -> Coder:
    """The same for any train rows."""
    import polars as pl

    from crepe.tokens import columns

    name, length = _settings(feature)

    def codes(texts: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        array = texts.reverse().to_arrow()
        _, ends, content = array.buffers()
        offsets = np.frombuffer(ends, np.int64, len(array) + 1)
        return alphabet.encode(content.to_pybytes() if content else b"", offsets, name, length)

    texts = pl.concat_str(*reversed(columns(train)), separator=" ")
    return Coder("uint8", len(alphabet.characters(name)), texts, codes, alphabet.digest(name))


def reader(feature: Feature, vocabulary: list[str] | None) -> Reader:
    """See `crepe.alphabet.quantize`."""
    name, length = _settings(feature)
    return partial(alphabet.quantize, alphabet=name, length=length)


def _settings(feature: Feature) -> tuple[str, int]:
    assert feature.alphabet is not None
    assert feature.length is not None
    return feature.alphabet, feature.length
