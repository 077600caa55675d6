"""Characters: a text's bytes, last first, as indices into an alphabet (paper, section 2.2)."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from crepe.features import Coder, Encoder, FeatureSettings, Reader, Replaceable, Units
from crepe.io.files import digest
from crepe.io.section import Limits, PositiveInt
from crepe.ragged import trim
from crepe.text import alphabet
from crepe.text import thesaurus as thesauri

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(FeatureSettings):
    """Settings of a feature of characters."""

    description = "Characters: a text's bytes, last first, as indices into an alphabet (paper, section 2.2)."
    has_vocabulary = False
    # Blank seven at a time, the first kernel's width; blanking one character changes little.
    units = Units("(?s).", lambda character: " " * len(character.encode("utf-8", "surrogatepass")), span=7)

    max_length: PositiveInt
    """Number of characters (UTF-8 bytes) that a text is cut to, 1014 in the paper."""
    alphabet: Annotated[str, Limits(choices=tuple(alphabet.ALPHABETS))]
    """Alphabet: `crepe` has the 69 characters of the original program, `paper` those and the newline, `full` those of
    `crepe` and the capitals `A` to `Z`."""
    thesaurus: str | None = None
    """Key of `catalog.thesauri`. Words of texts drawn for training are replaced by its synonyms at random; test texts
    stay as they are. No words are replaced if absent."""

    @property
    def characters(self) -> str:
        """The characters of the alphabet, in the order of their codes from 1 on."""
        return alphabet.characters(self.alphabet)

    def coder(self, train: Path, thesaurus: Path | None = None) -> Coder:
        """Prepare the encoding, which is the same for any train rows.

        Raises:
            CrepeError: the thesaurus is missing or damaged.
        """
        import polars as pl

        from crepe.text.tokens import columns

        name, length = self.alphabet, self.max_length

        def whole(texts: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
            array = texts.reverse().to_arrow()
            _, ends, content = array.buffers()
            offsets = np.frombuffer(ends, np.int64, len(array) + 1)
            return alphabet.encode_whole(content.to_pybytes() if content else b"", offsets, name)

        def encode(texts: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
            return trim(*whole(texts), length)

        text = pl.concat_str(*reversed(columns(train)), separator=" ")
        return Coder(
            "uint8",
            len(self.characters),
            text,
            encode,
            alphabet.digest(name),
            replaceable=_replaceable(thesaurus, text, name, whole) if thesaurus else None,
        )

    def reader(self, vocabulary: list[str] | None) -> Reader:
        """Return `crepe.text.alphabet.quantize` for this alphabet and length."""
        return partial(alphabet.quantize, alphabet=self.alphabet, length=self.max_length)


def _replaceable(path: Path, text: "pl.Expr", name: str, whole: Encoder) -> Replaceable:
    """Encode train rows for replacement; the places of words are counted from the end of a text, as its codes are.

    If the alphabet has capitals, a word with a capital initial is a separate entry whose synonyms begin with a capital;
    other synonyms keep the spelling of the thesaurus. A word whose length in bytes changes when it is
    lower-cased, as one with a Kelvin sign does, is not replaced: an entry has one length.
    """
    import polars as pl

    from crepe.text.tokens import PIECE

    known = thesauri.read(path)
    words = pl.Enum(list(known))
    sizes = np.array([len(word.encode()) for word in known])
    entries = list(known.items())
    capitals = "A" in alphabet.characters(name)
    if capitals:
        entries += [(word, list(map(_capitalized, synonyms))) for word, synonyms in known.items()]

    def spots(pieces: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        # All rows behind one another and backwards, as their codes are; a row without a piece makes a null.
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
        return thesauri.spots(starts, entry, offsets)

    return Replaceable(
        encode=whole,
        column=text.str.extract_all(PIECE),
        spots=spots,
        synonyms=thesauri.table(entries, partial(_encode, name), "uint8"),
        digest=digest(path),
    )


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _encode(name: str, text: str) -> np.ndarray:
    content = text.encode()
    return alphabet.encode_whole(content, np.array([0, len(content)]), name)[0]
