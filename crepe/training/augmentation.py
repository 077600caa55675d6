"""Thesaurus augmentation (paper, section 2.4): texts drawn for training have words replaced by synonyms.

Of the n replaceable words of a text r are replaced, P[r] proportional to 0.5^r for r from 0 to n, whichever they are;
each by its synonym of rank s from 0, P[s] proportional to 0.5^s. All words of a text can be drawn, those beyond the
length that it is cut to as well: it is edited first and cut then. What is drawn is a function of seed and the
batch's number alone, and drawn on the host, so that it is the same in a resumed run and on any device.
"""

from pathlib import Path

import numpy as np
import torch

from crepe.data import shards
from crepe.data.shards import Manifest
from crepe.models.batch import Batch, Split
from crepe.models.device import send
from crepe.ragged import Ragged

REPLACED = 0.5
"""The paper's p: how much likelier r replaced words are than r - 1 ..."""
RANK = 0.5
"""... and q: the synonym of a rank than that of the one before."""

_KEY = 2**63
"""Added to a batch's number, so that its replacements are drawn from other random numbers than its rows."""


def training(folder: Path, manifest: Manifest, device: torch.device) -> Split:
    """The train split of the shards in `folder`, its texts to be augmented if there is a thesaurus.

    Raises:
        CrepeError: shards are missing or damaged.
    """
    rows = shards.read(folder, "train", manifest)
    if manifest.thesaurus is None:
        return Split(rows, device)
    spots, synonyms = (shards.read(folder, name, manifest) for name in (shards.SPOTS, shards.SYNONYMS))
    return Augmented(rows, spots, synonyms, manifest.length, device)


class Augmented(Split):
    """Rows that have words replaced by synonyms when they are drawn for training, and only then.

    Args:
        rows: whole rows.
        spots: their replaceable words, see `crepe.data.shards`.
        synonyms: and what these can be replaced by.
        length: most integers of a row in a batch; None leaves them whole.
        device: where the integers are kept, and put together.
    """

    def __init__(self, rows: Ragged, spots: Ragged, synonyms: Ragged, length: int | None, device: torch.device) -> None:
        super().__init__(rows, device)
        self._values = torch.cat([self._values, torch.tensor(synonyms.values, device=device)])
        self._limit = np.iinfo(np.int64).max if length is None else length
        self._whole, self.lengths = self.lengths, np.minimum(self.lengths, self._limit)
        self._first, self._counts = spots.offsets[:-1] // 2, spots.lengths // 2
        self._spots = spots.values.reshape(-1, 2)
        self._begins, self._sizes = synonyms.offsets[:-1] + len(rows.values), synonyms.lengths
        # Of each entry the row of the word itself, and how many synonyms come behind it.
        self._words = np.flatnonzero(np.diff(synonyms.labels, prepend=-1))
        self._ranks = np.bincount(synonyms.labels) - 1

    def part(self, rows: np.ndarray) -> "Augmented":
        """The split of only these rows."""
        part = super().part(rows)
        assert isinstance(part, Augmented)
        part._whole, part._first, part._counts = self._whole[rows], self._first[rows], self._counts[rows]
        return part

    def drawn(self, rows: np.ndarray, seed: int, number: int) -> Batch:
        """The batch of `rows`, drawn for training, words replaced; sorted by length.

        Rows may end with zeros.
        """
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, _KEY + number], np.uint64)))
        places, chosen = choose(generator, self._first[rows], self._counts[rows])
        starts, entries = self._spots[chosen].T
        words = self._words[entries]
        synonyms = words + 1 + geometric(generator, RANK, self._ranks[entries] - 1)

        # A row's end counts as one more word, and nothing takes its place: a row is pieces of text, each with a
        # synonym behind it.
        whole, nothing, replaced = self._whole[rows], np.zeros_like(rows), np.bincount(places, minlength=len(rows))
        places = np.append(places, np.arange(len(rows)))
        order = np.argsort(places, kind="stable")
        places, last = places[order], (replaced + 1).cumsum() - 1
        starts, ends = np.append(starts, whole)[order], np.append(starts + self._sizes[words], whole)[order]
        begins = np.append(0, ends[:-1])
        begins[last - replaced] = 0
        pieces = self._starts[rows][places] + begins, np.append(self._begins[synonyms], nothing)[order]
        sizes = np.stack([starts - begins, np.append(self._sizes[synonyms], nothing)[order]], 1).ravel()

        # What is beyond the length is cut off.
        stops = sizes.cumsum()
        rows_end = stops[2 * last + 1]
        rows_begin = np.append(0, rows_end[:-1])
        stops -= np.repeat(rows_begin[places], 2)
        sizes = np.minimum(stops, self._limit) - np.minimum(stops - sizes, self._limit)
        lengths = np.minimum(rows_end - rows_begin, self._limit)

        total = int(lengths.sum())
        shifts = torch.repeat_interleave(
            send(np.stack(pieces, 1).ravel() - sizes.cumsum() + sizes, self.device),
            send(sizes, self.device),
            output_size=total,
        )
        order = np.argsort(lengths, kind="stable")
        values = self._values[torch.arange(total, device=self.device) + shifts]
        return Batch.of(values, (lengths.cumsum() - lengths)[order], lengths[order], self.labels[rows[order]])


def choose(generator: np.random.Generator, first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw which of the replaceable words of some texts are replaced.

    Args:
        generator: of random numbers.
        first: int64 [texts], the number of each text's first replaceable word; the others follow it.
        counts: int64 [texts], how many there are.

    Returns:
        int64 [replaced], twice: for each word its text (an index into `first`), and its number; both ascend.
    """
    replaced = geometric(generator, REPLACED, counts)
    # All words in random order, text by text; a text takes as many as it needs from the front.
    texts = np.repeat(np.arange(len(counts)), counts)
    before = counts.cumsum() - counts
    order = np.argsort(texts + generator.random(len(texts)))
    taken = np.sort(order[np.arange(len(texts)) - before[texts] < replaced[texts]])
    return texts[taken], taken + (first - before)[texts[taken]]


def geometric(generator: np.random.Generator, ratio: float, most: np.ndarray) -> np.ndarray:
    """Draw whole numbers k from 0 to `most`, P[k] proportional to `ratio`^k.

    Args:
        generator: of random numbers.
        ratio: above 0 and below 1.
        most: integers of any shape.

    Returns:
        int64, of the shape of `most`.
    """
    # Where the distribution function, (1 - ratio^(k + 1)) / (1 - ratio^(most + 1)), passes a uniform number.
    rest = 1 - generator.random(most.shape) * (1 - ratio ** (most + 1.0))
    return np.asarray(np.minimum(np.floor(np.log(rest) / np.log(ratio)).astype(np.int64), most))
