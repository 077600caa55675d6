"""Learn vectors of words from texts by word2vec (gensim), or read them from a published file."""

import copy
import gzip
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from crepe.errors import CrepeError
from crepe.io import processes

PIECE = 2**20
"""Bytes of a published file that are read at a time."""
LONGEST = 100_000
"""Largest dimension of a vector."""

PARTS = 2
"""Number of blocks of texts that are learnt from at the same time."""
BLOCK = 50_000
"""Words of a block, about. Copying the tables between blocks costs some percent with as many."""


def learn(
    texts: Iterable[list[str]], size: int, min_count: int, epochs: int, seed: int
) -> tuple[list[str], np.ndarray]:
    """Learn vectors by skip-gram with negative sampling; the same texts and seed give the same bytes.

    Two blocks of texts at a time are learnt from, each on a copy of the tables; then the changes of both are added up.
    So two threads do not race, as gensim's workers do, and with one thread the result is the same.

    Args:
        texts: the words of each text; iterated once for counting and once an epoch.
        size: dimension of a vector.
        min_count: number of times a word must occur.
        epochs: number of passes over the texts.
        seed: seed of the initial values and samples.

    Returns:
        The words, most frequent first, and float32 [words, size]. Both are empty if no word is frequent enough.
    """
    from gensim.models import Word2Vec

    model = Word2Vec(vector_size=size, min_count=min_count, epochs=epochs, seed=seed, sg=1, workers=1)
    model.build_vocab(texts)
    if not len(model.wv):
        return [], np.empty((0, size), np.float32)
    models = [model, *(_copied(model, seed + part) for part in range(1, PARTS))]
    before = [table.copy() for table in _tables(model)]
    first, last, total, done = model.alpha, model.min_alpha, epochs * model.corpus_count, 0
    with ThreadPoolExecutor(min(PARTS, processes.threads())) as pool:
        for _ in range(epochs):
            blocks = _blocks(texts)
            while group := list(islice(blocks, PARTS)):
                rates = [first - (first - last) * number / total for number in (done, done + sum(map(len, group)))]
                done += sum(map(len, group))
                for job in [
                    pool.submit(
                        part.train, block, total_examples=len(block), epochs=1, start_alpha=rates[0], end_alpha=rates[1]
                    )
                    for part, block in zip(models, group, strict=False)
                ]:
                    job.result()
                for base, table, *others in zip(before, *map(_tables, models), strict=True):
                    for other in others[: len(group) - 1]:
                        table += other - base
                    for same in (base, *others):
                        same[:] = table
    return list(model.wv.index_to_key), model.wv.vectors


def _blocks(texts: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Yield the texts, some with `BLOCK` words or more at a time."""
    block, words = list[list[str]](), 0
    for text in texts:
        block.append(text)
        words += len(text)
        if words >= BLOCK:
            yield block
            block, words = [], 0
    if block:
        yield block


def _copied(model: Any, seed: int) -> Any:
    """Return a model with the same vocabulary, and tables and random numbers of its own."""
    other = copy.copy(model)
    other.wv = copy.copy(model.wv)
    other.wv.vectors, other.syn1neg = (table.copy() for table in _tables(model))
    other.random = np.random.RandomState(seed)
    return other


def _tables(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what a model learns: the vectors of words, and those of words as contexts; float32 [words, size]."""
    return model.wv.vectors, model.syn1neg


def sniff(path: Path) -> None:
    """Read only the first entry of a published file.

    Raises:
        CrepeError: see `published`.
    """
    next(published(path), None)


def check(path: Path) -> None:
    """Read a whole published file, to find out whether it is damaged.

    Raises:
        CrepeError: see `published`.
    """
    for _ in published(path):
        pass


def published(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read a file of word2vec's binary format, gzip-compressed or not, a piece at a time.

    Returns:
        Each word with its vector, float32 [size], in the file's order.

    Raises:
        CrepeError: the file is not of that format, is damaged, or ends early.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            words, size = (int(number) for number in file.readline(100).split())
            if not words >= 0 or not 1 <= size <= LONGEST:
                raise ValueError(f"it claims {words:,} words of {size:,} numbers")
            rest, place = b"", 0
            for _ in range(words):
                end = rest.find(b" ", place)
                while end < 0 or end + 1 + 4 * size > len(rest):
                    if len(rest) - place > PIECE + 4 * size:
                        raise ValueError("it has a word without an end")
                    piece = file.read(PIECE)
                    if not piece:
                        raise ValueError("it ends early")
                    rest, place = rest[place:] + piece, 0
                    end = rest.find(b" ")
                # Some writers end an entry with a line end.
                word = rest[place:end].lstrip(b"\n").decode(errors="replace")
                place = end + 1 + 4 * size
                yield word, np.frombuffer(rest, "<f4", size, end + 1)
            # Read to the end, where gzip has its checksum.
            rest = rest[place:]
            while not rest.strip(b"\n") and (rest := file.read(PIECE)):
                pass
            if rest:
                raise ValueError(f"it has more than the {words:,} words that it claims")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        fault = f"is not a whole file of word2vec's binary format: {error}"
        raise CrepeError(path, fault, "fetch it again") from error
