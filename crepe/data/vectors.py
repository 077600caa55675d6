"""Find a vector for each word of a dataset's vocabulary, for networks whose look-up tables start from them.

    crepe vectors ag_news word-columns learnt

Vectors come from a published file, of which only those of the vocabulary are ever kept, or are learnt by word2vec from
the train rows where the configuration names no file. Words of the vocabulary are lower-case: where a file has a word in
several cases, its own comes before that which stands first. Words without a vector keep what they are drawn.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from crepe import config, layout
from crepe.config.catalog import Vectors
from crepe.data import shards
from crepe.data.published import check_published
from crepe.data.shards import Manifest
from crepe.errors import CrepeError
from crepe.io import tensors
from crepe.io.files import alone, digest
from crepe.options import add_config, add_shards
from crepe.ragged import Ragged
from crepe.records.run import LEARNT
from crepe.text import word2vec


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of the dataset")
    parser.add_argument("feature", help="key of a feature of words")
    parser.add_argument("vectors", help="key of the vectors in the configuration")
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="published vectors (default: data/raw/VECTORS.bin.gz); not for learnt vectors",
    )
    add_shards(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file of the vectors (default: data/vectors/VECTORS/FEATURE/DATASET.safetensors)",
    )
    add_config(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    key = options.vectors
    vectors(
        config.load(options.config).vectors(key),
        options.file or layout.published_vectors(key),
        options.shards or layout.shards(options.feature, options.dataset),
        options.output or layout.vectors(key, options.feature, options.dataset),
    )


def vectors(entry: Vectors, file: Path, folder: Path, output: Path) -> None:
    """Write the vectors of a vocabulary: `indices` int64 [words] of those that have one, and `vectors` float32.

    Args:
        entry: where they come from.
        file: the published file, if the entry has sources.
        folder: shards with a vocabulary of words.
        output: the file; its metadata say where the vectors come from.

    Raises:
        CrepeError: a file is missing or damaged, vectors are of another size than the entry's, or there are none.
    """
    manifest = Manifest.read(folder)
    if manifest.dtype == "uint8":
        raise CrepeError(folder, "has no vocabulary", "take a feature of words")
    words = shards.read_vocabulary(folder, manifest)["word"].to_pylist()
    if entry.sources:
        check_published(file, entry.sources)
        found = _published(file, entry.vector_size, words)
        origin = f"{file.name}, sha256 {digest(file)}"
    else:
        texts = _Texts(shards.read(folder, "train", manifest))
        names, table = word2vec.learn(texts, entry.vector_size, entry.min_count, entry.epochs, seed=0)
        found = dict(zip(map(int, names), table, strict=True))
        origin = LEARNT
    if not found:
        raise CrepeError(folder, "none of its words has a vector", "lower `min_count`, or take other vectors")
    indices = sorted(found)
    held = {
        "indices": torch.tensor(indices),
        "vectors": torch.from_numpy(np.stack([found[index] for index in indices])),
    }
    with alone(output.parent, output.name):
        tensors.write(output, {"origin": origin, "vocabulary": manifest.source}, held)


@dataclass(frozen=True, slots=True)
class _Texts:
    """Train rows as word2vec takes them: indices as text, words outside the vocabulary left out."""

    rows: Ragged

    def __iter__(self) -> Iterator[list[str]]:
        for row in range(len(self.rows)):
            codes = self.rows[row]
            yield [str(code) for code in codes[codes > 0].tolist()]


def _published(file: Path, size: int, words: list[str]) -> dict[int, np.ndarray]:
    """The vector of each word that the file has, by the word's index."""
    wanted = {word: index for index, word in enumerate(words, start=1)}
    found: dict[int, np.ndarray] = {}
    exact = set()
    for word, vector in word2vec.published(file):
        if len(vector) != size:
            raise CrepeError(file, f"its vectors have {len(vector)} numbers, not {size}", "change catalog.vectors")
        index = wanted.get(word.lower())
        if index is None or index in exact or (index in found and word != words[index - 1]):
            continue
        found[index] = vector.copy()
        if word == words[index - 1]:
            exact.add(index)
    return found
