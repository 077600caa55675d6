r"""Text to words, and the vocabulary of a train set.

A text's fields are joined first to last with a space and lower-cased by Unicode's rules; its words are the matches of
`WORD`: runs of letters, marks, digits and `_` by Unicode's properties, so that no punctuation and no emoji sticks to a
word. In scripts that are written without spaces (Chinese, Japanese, Thai, ...) each letter is a word, with its marks:
pairs of them, which n-grams count, stand for most words.

The `regex` package (`tokenize`) and Rust's (polars, `tokens`) read the pattern in the same way. They differ only in
characters that Unicode adopted after the older of the two was made.

The words of a vocabulary are numbered from 1. Any other word is 0 and keeps its place, except at the end of a text.
"""

import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex

from crepe.errors import CrepeError

if TYPE_CHECKING:  # A machine that only predicts can do without polars.
    import polars as pl

UNKNOWN = "\U0010ffff"
"""A word that is in no vocabulary: a code point that Unicode will never give to a character."""

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER = rf"[^\P{{L}}{_SPACELESS}]"
"""A letter of another script."""

WORD = rf"(?:{_LETTER}|[\p{{N}}_{UNKNOWN}])(?:{_LETTER}|[\p{{M}}\p{{N}}_{UNKNOWN}])*|\p{{L}}\p{{M}}*"
"""A word, in capitals or not; the second part matches only letters of scripts without spaces."""

PIECE = rf"{WORD}|[^\p{{L}}\p{{N}}_{UNKNOWN}]+"
"""A word, or what stands between two: the matches of a text are all of it."""

_WORD, _ASCII_WORD = regex.compile(WORD), re.compile("[0-9A-Za-z_]+")


def tokenize(fields: Sequence[str] | str) -> list[str]:
    """Split a text into words, its fields first to last."""
    text = (fields if isinstance(fields, str) else " ".join(fields)).lower()
    # The pattern for ASCII finds the same words five times as fast.
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def quantize(fields: Sequence[str] | str, vocabulary: Mapping[str, int], length: int | None = None) -> np.ndarray:
    """Turn a text into the codes of its words.

    Args:
        fields: the text's fields, first to last, as `crepe clean` leaves them.
        vocabulary: the code of each word, from 1.
        length: most words of a text; None takes them all.

    Returns:
        int32 [words]: 0 for a word outside the vocabulary; without zeros at the end.
    """
    return np.trim_zeros(np.array([vocabulary.get(word, 0) for word in tokenize(fields)[:length]], np.int32), "b")


def tokens(fields: Sequence[str]) -> "pl.Expr":
    """Return an expression for the words of the texts in some columns, as `tokenize` finds them: a column of lists."""
    import polars as pl

    return pl.concat_str(*fields, separator=" ").str.to_lowercase().str.extract_all(WORD)


def codes(fields: Sequence[str], words: "pl.Series") -> "pl.Expr":
    """Return an expression for the words' codes, their places in `words` from 1, and 0 for others: lists of int32."""
    import polars as pl

    code = pl.element().cast(pl.Enum(words), strict=False).to_physical().cast(pl.Int32) + 1
    return tokens(fields).list.eval(code.fill_null(0))


def flat(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
    """Return values and offsets, which start at 0, of a column of lists of integers, which may be a slice."""
    array = lists.to_arrow()
    offsets = array.offsets.to_numpy()
    return array.values.to_numpy()[offsets[0] : offsets[-1]], offsets - offsets[0]


def columns(path: Path) -> list[str]:
    """Return the names of the text columns in a clean Parquet file, in order."""
    import polars as pl

    return list(pl.read_parquet_schema(path))[1:]


def vocabulary(rows: "pl.LazyFrame", fields: Sequence[str], size: int) -> "pl.DataFrame":
    """Count the most frequent words of a train set; words of equal counts are ordered by their bytes.

    Args:
        rows: the train rows; memory grows with the number of different words, not with that of rows.
        fields: names of the columns of text, in order.
        size: most words to keep.

    Returns:
        `word` (String), `count` (Int64: how often it occurs), `rows` (Int64: in how many rows); row i has code i + 1.
    """
    import polars as pl

    first = pl.element().is_first_distinct()
    return (
        rows.select(word=tokens(fields))
        .with_columns(first=pl.col("word").list.eval(first))
        .explode("word", "first")
        .drop_nulls()
        .group_by("word")
        .agg(count=pl.len().cast(pl.Int64), rows=pl.col("first").sum().cast(pl.Int64))
        .sort("count", "word", descending=[True, False])
        .head(size)
        .collect(engine="streaming")
    )


def train_vocabulary(train: Path, size: int) -> "pl.DataFrame":
    """Count the `vocabulary` of a clean Parquet file.

    Raises:
        CrepeError: it has no words.
    """
    import polars as pl

    found = vocabulary(pl.scan_parquet(train, glob=False), columns(train), size)
    if found.is_empty():
        raise CrepeError(train, "has no words, only punctuation or symbols", "take a feature of characters")
    return found


def packed(table: "pl.DataFrame") -> bytes:
    """Return a vocabulary as the content of vocabulary.parquet."""
    content = BytesIO()
    table.write_parquet(content, compression="zstd", statistics=False)
    return content.getvalue()
