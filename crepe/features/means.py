"""Means of word vectors, the paper's bag-of-means (section 3.1): words with similar vectors become one symbol.

word2vec learns a vector for each word that is frequent enough in the train rows, k-means (scikit-learn) clusters the
vectors, and a word becomes the index of its cluster; other words are left out. A line of the vocabulary has the words
of a cluster, most frequent first, with spaces between them.
"""

from collections.abc import Iterator
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

if TYPE_CHECKING:
    import polars as pl

ROUNDS = 20
"""Maximal number of iterations of k-means."""


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

        def codes(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
            values, offsets = tokens.flat(lists)
            return trim(*drop_zeros(index[values], offsets), self.max_length)

        return Coder(
            "int32",
            len(lines),
            tokens.indices(fields, table["word"]),
            codes,
            sha256(content).hexdigest(),
            content,
        )

    def reader(self, vocabulary: list[str] | None) -> Reader:
        """Return a function that gives the clusters of a text's words."""
        indices = {word: index for index, line in enumerate(vocabulary or (), start=1) for word in line.split(" ")}
        return partial(_read, indices, self.max_length)


def cluster(vectors: np.ndarray, clusters: int) -> np.ndarray:
    """Cluster vectors by k-means, deterministically.

    Args:
        vectors: float32 [vectors, vector_size].
        clusters: their number, not more than there are vectors.

    Returns:
        int [vectors]: the cluster of each vector, from 0.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # Several threads would sum distances in another order every time.
    with threadpool_limits(1):
        return np.asarray(KMeans(clusters, n_init=1, max_iter=ROUNDS, random_state=0).fit_predict(vectors))


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
        for batch in rows.collect_batches(chunk_size=10_000, maintain_order=True, engine="streaming"):
            yield from batch["words"].to_list()
