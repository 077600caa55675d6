"""Count the n-grams of a train set, and turn texts into codes of n-grams (paper, section 3.1).

An n-gram is n neighbouring words of a text, as `crepe.text.tokens` finds them, and is written with a space between
them. Of two n-grams the one that occurs more often ranks first; of equals that of fewer words, then that whose bytes
sort first.

So every part of a kept n-gram ranks before it and is kept, too. Hence an n-gram of n words can occur only where two
n-grams of n - 1 words, the second one word further on, may be kept; the pair of their numbers identifies it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.text import tokens
from crepe.text.batches import batches

if TYPE_CHECKING:  # A machine that only predicts can do without polars.
    import polars as pl

ROWS = 10_000
"""Train rows in a batch."""
PLACES = 2**25
"""Places whose n-grams are sorted at a time, in about a gigabyte of memory; more places take several passes."""

_SECOND = 2**32 - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Level:
    """Known n-grams of one length. The first is a placeholder for none: its pair and its number are 0."""

    pairs: np.ndarray
    """int64 [n-grams + 1], ascending: numbers of the two n-grams one word shorter, first * 2**32 + second."""
    numbers: np.ndarray
    """int32 [n-grams + 1]."""

    def find(self, shorter: np.ndarray) -> np.ndarray:
        """Return the number of the n-gram that begins at each place, 0 for an unknown one: int32 [places].

        Args:
            shorter: int32 [places], the numbers of the n-grams one word shorter.
        """
        found = np.zeros_like(shorter)
        places, pairs = _pairs(shorter)
        nearest = np.searchsorted(self.pairs, pairs, "right") - 1
        found[places] = np.where(self.pairs[nearest] == pairs, self.numbers[nearest], 0)
        return found


@dataclass(frozen=True, slots=True)
class Lookup:
    """Table that turns numbers of words into codes of n-grams."""

    words: "pl.Series"
    """The words of the n-grams, numbered from 1."""
    singles: np.ndarray
    """int32: the code of each word by its number, 0 if it has none."""
    levels: tuple[Level, ...]
    """The n-grams of two words, of three and so on; their numbers are codes."""

    def encode(self, words: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of the n-grams of some rows, ordered by the place where they begin, then by length.

        Args:
            words: int32 [places], the numbers of words, 0 for others and at the end of each row (see `closed`).
            offsets: int64 [rows + 1], starts at 0.

        Returns:
            int32 [n-grams] and int64 [rows + 1], values and offsets; n-grams without a code are left out.
        """
        found = [self.singles[words]]
        for level in self.levels:
            found.append(level.find(found[-1]))
        table = np.stack(found, axis=1)
        known = table > 0
        return table[known], np.append(0, np.cumsum(np.count_nonzero(known, axis=1)))[offsets]


def closed(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
    """Return `tokens.flat` of a column of lists with a 0 at the end of each row, so that no n-gram spans two rows."""
    values, offsets = tokens.flat(lists)
    return np.insert(values, offsets[1:], 0), offsets + np.arange(len(offsets))


def quantize(
    fields: Sequence[str] | str, vocabulary: Mapping[str, int], max_n: int, length: int | None = None
) -> np.ndarray:
    """Turn a text into the codes of its n-grams.

    Args:
        fields: the text's fields, first to last, as `crepe clean` leaves them.
        vocabulary: the code of each n-gram, from 1; it has all parts of the n-grams that it has.
        max_n: most words of an n-gram.
        length: most n-grams of a text; None takes them all.

    Returns:
        int32 [n-grams], by the place where they begin, then by length; those outside the vocabulary are left out.
    """
    words = tokens.tokenize(fields)
    found: list[int] = []
    for start in range(len(words)):
        for stop in range(start + 1, min(start + max_n, len(words)) + 1):
            code = vocabulary.get(" ".join(words[start:stop]))
            if code is None:
                break
            found.append(code)
    return np.array(found[:length], np.int32)


def vocabulary(train: Path, size: int, max_n: int) -> tuple["pl.DataFrame", Lookup]:
    """Count the most frequent n-grams of a train set, exactly.

    Args:
        train: its clean Parquet file; memory grows by 8 bytes a word of it.
        size: most n-grams to keep.
        max_n: most words of an n-gram.

    Returns:
        A table with the columns `word` (String: the n-gram), `count` (Int64: its occurrences) and `rows` (Int64: the
        rows that have it), whose row i has code i + 1; and the `Lookup` that finds these n-grams in any rows.

    Raises:
        CrepeError: there are no words.
    """
    import polars as pl

    words = tokens.train_vocabulary(train, size)
    parts = _parts(train, words["word"])
    current = [part for part, _ in parts]
    # Indexed by number; number 0, no n-gram, has the count 0.
    counts = [np.append(0, words["count"])]
    spelled = [np.arange(len(words) + 1, dtype=np.int32)[:, None]]
    levels: list[Level] = []
    for _ in range(1, max_n):
        pairs, found = _count(current, np.concatenate(counts), size)
        levels.append(Level(pairs, np.arange(len(pairs), dtype=np.int32)))
        counts.append(found)
        spelled.append(np.column_stack([spelled[-1][pairs >> 32], spelled[-1][pairs & _SECOND, -1]]))
        for index, part in enumerate(current):
            current[index] = levels[-1].find(part)
    del current
    table = _rank(words["word"], spelled, counts, size)
    lookup = _lookup(words["word"], levels, table, list(map(len, counts)))
    return table.select("word", "count", rows=pl.Series(_rows(parts, lookup, len(table)))), lookup


def _pairs(shorter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places where an n-gram may begin, and its pair there (see `Level`): int64 [candidates] each."""
    places = np.flatnonzero((shorter[:-1] > 0) & (shorter[1:] > 0))
    return places, shorter[places].astype(np.int64) << 32 | shorter[places + 1]


def _parts(train: Path, words: "pl.Series") -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the train rows as numbers of words, some rows at a time (see `closed`)."""
    import polars as pl

    rows = pl.scan_parquet(train, glob=False).select(words=tokens.codes(tokens.columns(train), words))
    return [closed(batch["words"]) for batch in batches(rows, ROWS)]


def _count(parts: Sequence[np.ndarray], others: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs in `parts` that may be among the `size` most frequent n-grams, ascending, and their counts.

    Args:
        parts: int32 [places] each, the numbers of the n-grams one word shorter.
        others: int64, the counts of all shorter n-grams.
        size: most n-grams to keep.
    """
    shares = -(-sum(map(np.count_nonzero, parts)) // PLACES)
    pairs = counts = np.zeros(1, np.int64)
    for share in range(shares):
        found = np.unique(np.concatenate([_share(part, share, shares) for part in parts]), return_counts=True)
        pairs, counts = np.append(pairs, found[0]), np.append(counts, found[1])
        # Rarer ones have `size` others before them. Ties with the last of these are kept: bytes decide later.
        kept = counts >= _least(np.append(others, counts), size)
        kept[0] = True  # See `Level`.
        pairs, counts = pairs[kept], counts[kept]
    order = np.argsort(pairs)
    return pairs[order], counts[order]


def _share(part: np.ndarray, share: int, shares: int) -> np.ndarray:
    """Return the pairs of a part that one pass counts: all places of a pair are in the same pass."""
    _, pairs = _pairs(part)
    return np.asarray(pairs[(pairs.view(np.uint64) * _GOLDEN >> 40) % shares == share])


def _least(counts: np.ndarray, size: int) -> int:
    """Return the count of the last of the `size` most frequent; 1 if there are fewer."""
    return max(1, int(np.partition(counts, -size)[-size])) if len(counts) >= size else 1


def _rank(words: "pl.Series", spelled: list[np.ndarray], counts: list[np.ndarray], size: int) -> "pl.DataFrame":
    """Rank n-grams; returns the first `size`: `word`, `count`, `longer` (number of words, less one) and `number`.

    Args:
        words: the words by their number, from 1.
        spelled: int32 [n-grams + 1, words], the numbers of the words of each n-gram; an array for each length.
        counts: int64 [n-grams + 1], the count of each.
        size: most n-grams to keep.
    """
    import polars as pl

    least, tables = _least(np.concatenate(counts), size), []
    for longer, (numbers, count) in enumerate(zip(spelled, counts, strict=True)):
        kept = np.flatnonzero(count >= least)
        columns = [words.gather(column - 1).alias(f"{place}") for place, column in enumerate(numbers[kept].T)]
        text = pl.DataFrame(columns).select(word=pl.concat_str(pl.all(), separator=" "))
        tables.append(text.with_columns(count=pl.Series(count[kept]), longer=longer, number=pl.Series(kept)))
    return pl.concat(tables).sort("count", "longer", "word", descending=[True, False, False]).head(size)


def _lookup(words: "pl.Series", levels: list[Level], table: "pl.DataFrame", sizes: list[int]) -> Lookup:
    """Make the `Lookup` that finds the n-grams of `_rank`'s table.

    Args:
        words: the words by their number, from 1.
        levels: the n-grams of two words, of three and so on by their numbers.
        table: see `_rank`.
        sizes: number of n-grams of each length, number 0 included.
    """
    codes = [np.zeros(size, np.int32) for size in sizes]
    for (longer,), part in table.with_row_index("code", 1).group_by("longer"):
        codes[longer][part["number"]] = part["code"]
    found = []
    for level, shorter, code in zip(levels, codes[:-1], codes[1:], strict=True):
        kept = np.flatnonzero(code)
        pairs = shorter[level.pairs[kept] >> 32].astype(np.int64) << 32 | shorter[level.pairs[kept] & _SECOND]
        order = np.argsort(pairs)
        found.append(Level(np.append(0, pairs[order]), np.append(np.int32(0), code[kept][order])))
    # Words are numbered by rank: those in the table come first.
    return Lookup(words.head(int(np.count_nonzero(codes[0]))), codes[0], tuple(found))


def _rows(parts: list[tuple[np.ndarray, np.ndarray]], lookup: Lookup, size: int) -> np.ndarray:
    """Count the rows that have each code: int64 [size]."""
    found = np.zeros(size + 1, np.int64)
    for words, ends in parts:
        values, offsets = lookup.encode(words, ends)
        rows = np.repeat(np.arange(len(ends) - 1), np.diff(offsets))
        # With counts, NumPy sorts; without, it hashes, which takes thirty times as long.
        once, _ = np.unique(rows << 32 | values, return_counts=True)
        found += np.bincount(once & _SECOND, minlength=size + 1)
    return found[1:]
