"""Characters: a text's bytes, last first, as indices into an alphabet (paper, section 2.2)."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.config.catalog import Feature
from crepe.features import Coder, Codes, Reader, Replaceable, Units
from crepe.io.files import digest
from crepe.ragged import trim
from crepe.text import alphabet, thesaurus

if TYPE_CHECKING:
    import polars as pl

NEEDS = ("alphabet", "length")
VOCABULARY = False
# As many as the paper's first convolution sees at a time: one alone says little, it can be guessed from the others.
UNITS = Units("(?s).", lambda character: " " * len(character.encode("utf-8", "surrogatepass")), span=7)


def coder(feature: Feature, train: Path) -> Coder:
    """The same for any train rows.

    Raises:
        CrepeError: there is no such alphabet; the thesaurus is missing or damaged.
    """
    import polars as pl

    from crepe.text.tokens import columns

    name, length = _settings(feature)

    def whole(texts: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        array = texts.reverse().to_arrow()
        _, ends, content = array.buffers()
        offsets = np.frombuffer(ends, np.int64, len(array) + 1)
        return alphabet.encode_whole(content.to_pybytes() if content else b"", offsets, name)

    def codes(texts: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        return trim(*whole(texts), length)

    text = pl.concat_str(*reversed(columns(train)), separator=" ")
    replaceable = _replaceable(Path(feature.thesaurus), text, name, whole) if feature.thesaurus else None
    symbols = len(alphabet.characters(name))
    return Coder("uint8", symbols, text, codes, alphabet.digest(name), replaceable=replaceable)


def reader(feature: Feature, vocabulary: list[str] | None) -> Reader:
    """See `crepe.text.alphabet.quantize`."""
    name, length = _settings(feature)
    return partial(alphabet.quantize, alphabet=name, length=length)


def _settings(feature: Feature) -> tuple[str, int]:
    assert feature.alphabet is not None
    assert feature.length is not None
    return feature.alphabet, feature.length


def _replaceable(path: Path, text: "pl.Expr", name: str, whole: Codes) -> Replaceable:
    """Words of texts whose last byte comes first, and synonyms to match.

    Where capitals have places of their own in the alphabet, a word with a capital initial is another entry, whose
    synonyms have one too; they have their own spelling otherwise. A word that small letters make longer or shorter, as
    one with a Kelvin sign, is left alone: an entry has one length.
    """
    import polars as pl

    from crepe.text.tokens import PIECE

    known = thesaurus.read(path)
    words = pl.Enum(list(known))
    sizes = np.array([len(word.encode()) for word in known])
    entries = list(known.items())
    capitals = "A" in alphabet.characters(name)
    if capitals:
        entries += [(word, list(map(_capitalized, synonyms))) for word, synonyms in known.items()]

    def spots(pieces: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        # All rows behind one another and backwards, as their integers are; a row without a piece makes a null.
        flat = pieces.reverse().explode().drop_nulls()
        numbers = flat.str.to_lowercase().cast(words, strict=False).to_physical().cast(pl.Int32).fill_null(-1)
        entry, lengths = numbers.to_numpy()[::-1], flat.str.len_bytes().to_numpy()[::-1].astype(np.int64)
        entry = np.where(sizes[entry] == lengths, entry, -1)
        if capitals:
            large = flat.str.contains("^[A-Z]").to_numpy()[::-1]
            entry = np.where(large & (entry >= 0), entry + len(known), entry)
        counts = pieces.list.len().to_numpy()
        offsets, ends = np.append(0, np.cumsum(counts, dtype=np.int64)), np.append(0, np.cumsum(lengths))
        starts = ends[:-1] - np.repeat(ends[offsets[:-1]], counts)
        return thesaurus.spots(starts, entry, offsets)

    return Replaceable(
        codes=whole,
        column=text.str.extract_all(PIECE),
        spots=spots,
        synonyms=thesaurus.table(entries, partial(_codes, name), "uint8"),
        source=digest(path),
    )


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _codes(name: str, text: str) -> np.ndarray:
    content = text.encode()
    return alphabet.encode_whole(content, np.array([0, len(content)]), name)[0]
