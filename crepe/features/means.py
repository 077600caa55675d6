"""Means of word vectors, the paper's bag-of-means (section 3.1): words of like vectors are one symbol.

word2vec learns a vector for each word that the train rows have often enough, k-means (scikit-learn) finds so many
means of them, and a word becomes the index of its vector's mean; other words are left out. A line of the vocabulary
has the words of a mean, most frequent first, with spaces between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crepe.config.catalog import Feature
from crepe.errors import CrepeError
from crepe.features import WORDS, Coder, Reader, Text
from crepe.ragged import drop_zeros, trim
from crepe.text import tokens, word2vec

if TYPE_CHECKING:
    import polars as pl

NEEDS = ("means", "size", "least", "epochs")
VOCABULARY = True
UNITS = WORDS

ROUNDS = 20
"""Most rounds of k-means."""


def coder(feature: Feature, train: Path) -> Coder:
    """Learns vectors and means from the train rows first.

    Raises:
        CrepeError: no word is frequent enough.
    """
    import polars as pl

    assert feature.means is not None
    assert feature.size is not None
    assert feature.least is not None
    assert feature.epochs is not None
    fields = tokens.columns(train)
    words, vectors = word2vec.learn(_Texts(train, fields), feature.size, feature.least, feature.epochs, seed=0)
    if not words:
        raise CrepeError(f"{train}: no word occurs {feature.least} times; lower `least`, or take another feature")
    means = cluster(vectors, min(feature.means, len(words)))
    table = pl.DataFrame({"word": words, "mean": means})
    lines = table.group_by("mean").agg(pl.col("word").str.join(" ")).sort("mean")
    content = tokens.packed(lines.select("word"))
    # Indices into the words, then into the means: `lines` has every mean that has a word, in the order of the means.
    index = np.append(0, np.searchsorted(lines["mean"].to_numpy(), means) + 1).astype(np.int32)

    def codes(lists: "pl.Series") -> tuple[np.ndarray, np.ndarray]:
        values, offsets = tokens.flat(lists)
        return trim(*drop_zeros(index[values], offsets), feature.length)

    return Coder(
        "int32",
        len(lines),
        tokens.indices(fields, table["word"]),
        codes,
        sha256(content).hexdigest(),
        content,
    )


def reader(feature: Feature, vocabulary: list[str] | None) -> Reader:
    """The means of a text's words."""
    indices = {word: index for index, line in enumerate(vocabulary or (), start=1) for word in line.split(" ")}
    return partial(_read, indices, feature.length)


def cluster(vectors: np.ndarray, means: int) -> np.ndarray:
    """The mean of each vector by k-means, the same for the same vectors: int [vectors].

    Args:
        vectors: float32 [vectors, size].
        means: how many, as many as vectors at the most.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # Several threads would add up distances in an order of their own every time.
    with threadpool_limits(1):
        return np.asarray(KMeans(means, n_init=1, max_iter=ROUNDS, random_state=0).fit_predict(vectors))


def _read(indices: dict[str, int], length: int | None, text: Text) -> np.ndarray:
    return np.array([indices[word] for word in tokens.tokenize(text) if word in indices][:length], np.int32)


@dataclass(frozen=True, slots=True)
class _Texts:
    """The words of the train rows, read anew whenever they are gone through."""

    train: Path
    fields: list[str]

    def __iter__(self) -> Iterator[list[str]]:
        import polars as pl

        rows = pl.scan_parquet(self.train, glob=False).select(words=tokens.tokens(self.fields))
        for batch in rows.collect_batches(chunk_size=10_000, maintain_order=True, engine="streaming"):
            yield from batch["words"].to_list()
