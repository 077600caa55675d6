"""Means of word vectors, the paper's bag-of-means (section 3.1): words with similar vectors become one symbol.

word2vec learns a vector for each word that is frequent enough in the train rows, k-means clusters the vectors, and a
word becomes the index of its cluster; other words are left out. A line of the vocabulary has the words of a cluster,
most frequent first, with spaces between them.

scikit-learn's k-means takes most of its time to choose 5,000 starts, and its sums depend on the number of threads.
`cluster` is the same algorithm as products of large matrices, with the same bytes for any number of threads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.errors import CrepeError
from crepe.features import Coder, FeatureSettings, Reader, Text
from crepe.io.section import PositiveInt
from crepe.ragged import drop_zeros, trim
from crepe.text import tokens, word2vec
from crepe.text.batches import batches

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

ROWS = 10_000
"""Train rows whose words are in memory at a time."""
ROUNDS = 20
"""Maximal number of iterations of k-means."""
BLOCK = 2048
"""Vectors whose distances to all centers are computed at once: float32 [2048, 5000] is 41 MB."""
CANDIDATES = 128
"""Most candidates for a center whose distances are computed at once."""
GROWTH = 8
"""Centers for each candidate more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(FeatureSettings):
    """Settings of a feature of means."""

    description = (
        "Means of word vectors, the paper's bag-of-means (section 3.1): words with similar vectors become one symbol."
    )

    clusters: PositiveInt
    """Number of clusters that k-means divides the word vectors into."""
    vector_size: PositiveInt
    """Dimension of the word vectors that word2vec learns from the train rows."""
    min_count: PositiveInt
    """Number of times a word must occur in the train rows to have a vector."""
    epochs: PositiveInt
    """Number of passes of word2vec over the train rows."""

    def coder(self, train: Path, thesaurus: Path | None = None) -> Coder:
        """Learn vectors from the train rows, cluster them, and prepare the encoding.

        Raises:
            CrepeError: no word is frequent enough.
        """
        import polars as pl

        fields = tokens.columns(train)
        texts = _Texts(train, fields)
        words, vectors = word2vec.learn(texts, self.vector_size, self.min_count, self.epochs, seed=0)
        if not words:
            raise CrepeError(
                train, f"no word occurs {self.min_count} times", "lower `min_count`, or take another feature"
            )
        means = cluster(vectors, min(self.clusters, len(words)))
        table = pl.DataFrame({"word": words, "mean": means})
        lines = table.group_by("mean").agg(pl.col("word").str.join(" ")).sort("mean")
        content = tokens.packed(lines.select("word"))
        # Index of a word -> index of its cluster, among the clusters that have a word: the rows of `lines`, in order.
        index = np.append(0, np.searchsorted(lines["mean"].to_numpy(), means) + 1).astype(np.int32)

        def encode(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
            values, offsets = tokens.flat(lists)
            return trim(*drop_zeros(index[values], offsets), self.max_length)

        return Coder(
            "int32",
            len(lines),
            tokens.codes(fields, table["word"]),
            encode,
            sha256(content).hexdigest(),
            content,
        )

    def reader(self, vocabulary: list[str] | None) -> Reader:
        """Return a function that gives the clusters of a text's words."""
        indices = {word: index for index, line in enumerate(vocabulary or (), start=1) for word in line.split(" ")}
        return partial(_read, indices, self.max_length)


def cluster(vectors: np.ndarray, clusters: int) -> np.ndarray:
    """Cluster vectors by k-means, from centers that k-means++ chooses; the same bytes for any number of threads.

    It ends when no vector changes its cluster, after `ROUNDS` rounds at the latest. A cluster that loses all of its
    vectors keeps its center.

    Args:
        vectors: float32 [vectors, vector_size].
        clusters: their number, not more than there are vectors.

    Returns:
        int64 [vectors]: the cluster of each vector, from 0.
    """
    import torch
    import torch.nn.functional as F

    x = torch.from_numpy(vectors)
    # Distances do not change with the origin, and lose least to rounding about the middle.
    x = x - x.double().mean(0).float()
    centers = x[torch.from_numpy(starts(x.numpy(), clusters))]
    labels = _nearest(x, centers)
    for _ in range(ROUNDS):
        # A bag is added up in the order of its vectors, by one thread.
        order = labels.argsort(stable=True)
        counts = labels.bincount(minlength=clusters)
        sums = F.embedding_bag(order, x, counts.cumsum(0) - counts, mode="sum")
        centers = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centers)
        before, labels = labels, _nearest(x, centers)
        if torch.equal(before, labels):
            break
    return labels.numpy()


def starts(x: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Choose vectors by k-means++: each with a probability in proportion to its squared distance to the nearest so far.

    Candidates are drawn some at a time, so that their distances are one matrix product, from the distances before these
    draws; a candidate is accepted with the probability of its distance now over that before, which gives the
    distribution of drawing one after the other.

    Args:
        x: float32 [vectors, vector_size].
        number: of vectors to choose, not more than there are.
        seed: of the draws.

    Returns:
        int64 [number], indices of different vectors.
    """
    import torch

    generator = np.random.default_rng(seed)
    table = torch.from_numpy(x)
    squares = (table.double() ** 2).sum(1).numpy()
    chosen = [int(generator.integers(len(x)))]
    nearest = _distances(table, squares, chosen)[:, 0]
    while len(chosen) < number:
        # Many at a time once a center more changes little.
        some = min(CANDIDATES, 1 + len(chosen) // GROWTH)
        sums = nearest.cumsum()
        if sums[-1] <= 0:
            # All that is left is equal to a center.
            rest = np.setdiff1d(np.arange(len(x)), chosen)
            return np.append(chosen, rest[: number - len(chosen)])
        drawn = np.minimum(np.searchsorted(sums, generator.random(some) * sums[-1], side="right"), len(x) - 1)
        distances, before = _distances(table, squares, drawn), nearest
        for place, candidate in enumerate(drawn.tolist()):
            if len(chosen) < number and generator.random() * before[candidate] < nearest[candidate]:
                chosen.append(candidate)
                nearest = np.minimum(nearest, distances[:, place])
    return np.array(chosen)


def _distances(table: "Tensor", squares: np.ndarray, centers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Squared distances of vectors to some of them: float64 [vectors, centers], 0 of each to itself."""
    products = (table @ table[centers].T).double().numpy()
    found: np.ndarray = np.maximum(squares[:, None] - 2 * products + squares[centers], 0)
    found[centers, np.arange(len(centers))] = 0
    return found


def _nearest(x: "Tensor", centers: "Tensor") -> "Tensor":
    """Index of the nearest center of each vector: int64 [vectors]; the first of those equally near."""
    import torch

    halves = (centers.double() ** 2).sum(1).float() / 2
    return torch.cat([torch.addmm(-halves, block, centers.T).argmax(1) for block in torch.split(x, BLOCK)])


def _read(indices: dict[str, int], length: int | None, text: Text) -> np.ndarray:
    return np.array([indices[word] for word in tokens.tokenize(text) if word in indices][:length], np.int32)


@dataclass(frozen=True, slots=True)
class _Texts:
    """The words of the train rows, read from the file in each pass."""

    train: Path
    fields: list[str]

    def __iter__(self) -> Iterator[list[str]]:
        import polars as pl

        rows = pl.scan_parquet(self.train, glob=False).select(words=tokens.tokens(self.fields))
        for batch in batches(rows, ROWS):
            yield from batch["words"].to_list()
