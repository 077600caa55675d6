"""Thesaurus augmentation (paper, section 2.4): texts drawn for training have words replaced by synonyms.

Of the n replaceable words of a text r are replaced, P[r] proportional to 0.5^r for r from 0 to n, all words equally
likely; each by its synonym of rank s from 0, P[s] proportional to 0.5^s. A text is edited whole and then cut to the
feature's length, so words beyond it can be drawn, too. The draws are a function of seed and batch number alone, and are
made on the host: they are the same in a resumed run and on any device.

**The splice.** Rows and synonyms lie behind one another in one array of codes, `values`, on the device. A text
is not edited: it becomes a list of pieces of `values`, which one look-up puts together. Two words replaced::

    a_big_dog_ran                      the whole row: 13 codes, written as characters
      ^^^     ^^^                      "big" at 2 becomes "large", "ran" at 10 becomes "sprinted"

    pair   text          synonym       A pair is the text up to a word and the synonym of the word. Each row ends
    0      row[0:2]      large         with an extra pair whose synonym is empty, so it has one pair more than
    1      row[5:10]     sprinted      replaced words.
    2      row[13:13]    (empty)

    piece  a_     large  _dog_  sprinted     The pieces of all pairs, with a length of 15:
    size   2      5      5      8
    stop   2      7      12     20           sums of the sizes, from the row's beginning;
    kept   2      5      5      3            what of a piece is before the length
    shift  row    large  row    sprinted     A piece's place in `values` minus its place in the outcome: added to
           -0     -2     +5-7   -12          the places 0 to 14 it gives what to look up

Suffixes name dimensions: R rows of the batch, W words that are replaced, T pairs (W + R), P pieces (2 T).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crepe.data import shards
from crepe.data.shards import Manifest
from crepe.models.batch import Batch, Split
from crepe.models.device import send
from crepe.ragged import Ragged

COUNT_RATIO = 0.5
"""The paper's p: P[r + 1 words are replaced] / P[r words]."""
RANK_RATIO = 0.5
"""The paper's q: P[synonym of rank s + 1] / P[synonym of rank s]."""

_KEY = 2**63
"""Added to a batch's number, so that its replacements are drawn from other random numbers than its rows."""


def read_train(folder: Path, manifest: Manifest, device: torch.device) -> Split:
    """Read the train split of the shards in `folder`; its texts are augmented if the feature has a thesaurus.

    Raises:
        CrepeError: shards are missing or damaged.
    """
    rows = shards.read(folder, "train", manifest)
    if manifest.thesaurus is None:
        return Split(rows, device)
    spots, synonyms = (shards.read(folder, name, manifest) for name in (shards.SPOTS, shards.SYNONYMS))
    return Augmented(rows, spots, synonyms, manifest.length, device)


@dataclass(frozen=True, slots=True)
class _Replacements:
    """Words of a batch to replace, ordered by row and by their place in the row."""

    row_W: np.ndarray
    """int64, row in the batch."""
    start_W: np.ndarray
    """int64, where the word begins in its row."""
    word_W: np.ndarray
    """int64, row of the word itself in the table of synonyms."""
    synonym_W: np.ndarray
    """int64, row of its synonym in the table of synonyms."""


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Pieces of `values` that make the rows of a batch, row by row: texts alternate with synonyms."""

    row_P: np.ndarray
    """int64, row in the batch, ascending."""
    source_P: np.ndarray
    """int64, where the piece begins in `values`."""
    size_P: np.ndarray
    """int64, codes in the piece; 0 is possible."""


class Augmented(Split):
    """Split whose texts get synonyms in place of words when they are drawn for training, and only then.

    Args:
        rows: whole rows.
        spots: their replaceable words, see `crepe.data.shards`.
        synonyms: table of the words' synonyms, see there.
        length: codes at which a row is cut; None leaves it whole.
        device: holds the codes and puts them together.
    """

    def __init__(self, rows: Ragged, spots: Ragged, synonyms: Ragged, length: int | None, device: torch.device) -> None:
        super().__init__(rows, device)
        self._values = torch.cat([self._values, torch.tensor(synonyms.values, device=device)])
        self._limit = np.iinfo(np.int64).max if length is None else length
        self._whole, self.lengths = self.lengths, np.minimum(self.lengths, self._limit)
        # Spots of a row: the number of the first, and how many there are. A spot is (start in the row, entry).
        self._first_spot, self._spot_counts = spots.offsets[:-1] // 2, spots.lengths // 2
        self._spots = spots.values.reshape(-1, 2)
        # Rows of the table: where they begin in `values`, and how long they are.
        self._synonym_begins, self._synonym_sizes = synonyms.offsets[:-1] + len(rows.values), synonyms.lengths
        # Entries of the thesaurus: the row of the word itself, and the number of synonyms in the rows behind it.
        self._entry_words = np.flatnonzero(np.diff(synonyms.labels, prepend=-1))
        self._entry_sizes = np.bincount(synonyms.labels) - 1

    def part(self, rows: np.ndarray) -> "Augmented":
        """Return the split of only these rows."""
        part = super().part(rows)
        assert isinstance(part, Augmented)
        part._whole = self._whole[rows]
        part._first_spot, part._spot_counts = self._first_spot[rows], self._spot_counts[rows]
        return part

    def drawn(self, rows: np.ndarray, seed: int, number: int) -> Batch:
        """Return batch `number` of a training, made of `rows` with words replaced; sorted by length.

        Rows may end with zeros.

        Args:
            rows: int64 [R], rows of the split.
            seed: seed of the training.
            number: number of the batch, counted from 0.
        """
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, _KEY + number], np.uint64)))
        pieces = self._splice(rows, self._draw(rows, generator))
        kept_P, lengths_R = _cut(pieces, len(rows), self._limit)
        values = self._look_up(pieces.source_P, kept_P)
        order = np.argsort(lengths_R, kind="stable")
        starts_R = lengths_R.cumsum() - lengths_R
        return Batch.of(values, starts_R[order], lengths_R[order], self.labels[rows[order]])

    def _draw(self, rows: np.ndarray, generator: np.random.Generator) -> _Replacements:
        """Draw words of `rows`, and a synonym for each."""
        row_W, spot_W = choose(generator, self._first_spot[rows], self._spot_counts[rows])
        start_W, entry_W = self._spots[spot_W].T
        word_W = self._entry_words[entry_W]
        rank_W = geometric(generator, RANK_RATIO, self._entry_sizes[entry_W] - 1)
        return _Replacements(row_W, start_W, word_W, word_W + 1 + rank_W)

    def _splice(self, rows: np.ndarray, words: _Replacements) -> _Pieces:
        """Cut `rows` at the words that are replaced, and put the synonyms between."""
        # Pairs in order: the words of a row, then its end, as long as no word and with nothing in its place.
        end_R, nothing_R = self._whole[rows], np.zeros_like(rows)
        row_T = np.append(words.row_W, np.arange(len(rows)))
        order_T = np.argsort(row_T, kind="stable")
        row_T = row_T[order_T]
        word_begin_T = np.append(words.start_W, end_R)[order_T]
        word_end_T = np.append(words.start_W + self._synonym_sizes[words.word_W], end_R)[order_T]
        synonym_source_T = np.append(self._synonym_begins[words.synonym_W], nothing_R)[order_T]
        synonym_size_T = np.append(self._synonym_sizes[words.synonym_W], nothing_R)[order_T]
        # A pair's text begins behind the word of the pair before it, and in a row's first pair with the row.
        text_begin_T = np.where(np.diff(row_T, prepend=-1) > 0, 0, np.append(0, word_end_T[:-1]))
        text_source_T = self._starts[rows][row_T] + text_begin_T
        return _Pieces(
            row_P=np.repeat(row_T, 2),
            source_P=np.stack([text_source_T, synonym_source_T], 1).ravel(),
            size_P=np.stack([word_begin_T - text_begin_T, synonym_size_T], 1).ravel(),
        )

    def _look_up(self, source_P: np.ndarray, size_P: np.ndarray) -> Tensor:
        """Return the codes of pieces, one piece behind the other: of the dtype of `values` [sum of sizes]."""
        total = int(size_P.sum())
        shift_P = source_P - (size_P.cumsum() - size_P)
        shifts = torch.repeat_interleave(send(shift_P, self.device), send(size_P, self.device), output_size=total)
        return self._values[torch.arange(total, device=self.device) + shifts]


def _cut(pieces: _Pieces, rows: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut each row at `limit` codes; returns what is kept of each piece, int64 [P], and each row's length, [R]."""
    stop_P = pieces.size_P.cumsum()
    # The last piece of each row is the one before the next row's first.
    stop_R = stop_P[np.searchsorted(pieces.row_P, np.arange(rows), side="right") - 1]
    begin_R = np.append(0, stop_R[:-1])
    stop_P -= begin_R[pieces.row_P]
    kept_P = np.minimum(stop_P, limit) - np.minimum(stop_P - pieces.size_P, limit)
    return kept_P, np.minimum(stop_R - begin_R, limit)


def choose(generator: np.random.Generator, first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the words of some texts that are replaced.

    Args:
        generator: source of random numbers.
        first: int64 [texts], the number of each text's first replaceable word; the others follow it.
        counts: int64 [texts], how many there are.

    Returns:
        int64 [replaced], twice: for each word its text (an index into `first`), and its number; both ascend.
    """
    replaced = geometric(generator, COUNT_RATIO, counts)
    # All words in random order, text by text; a text takes as many as it needs from the front.
    texts = np.repeat(np.arange(len(counts)), counts)
    before = counts.cumsum() - counts
    order = np.argsort(texts + generator.random(len(texts)))
    taken = np.sort(order[np.arange(len(texts)) - before[texts] < replaced[texts]])
    return texts[taken], taken + (first - before)[texts[taken]]


def geometric(generator: np.random.Generator, ratio: float, most: np.ndarray) -> np.ndarray:
    """Draw whole numbers k from 0 to `most`, P[k] proportional to `ratio`^k.

    Args:
        generator: source of random numbers.
        ratio: above 0 and below 1.
        most: integers of any shape.

    Returns:
        int64, of the shape of `most`.
    """
    # Where the distribution function, (1 - ratio^(k + 1)) / (1 - ratio^(most + 1)), passes a uniform number.
    rest = 1 - generator.random(most.shape) * (1 - ratio ** (most + 1.0))
    return np.asarray(np.minimum(np.floor(np.log(rest) / np.log(ratio)).astype(np.int64), most))
