"""The sampler: it draws the rows of each training batch."""

import numpy as np

from crepe.config.sgd import Sampling


class Sampler:
    """Draws batches with replacement: `classes` as the original program does, a class uniformly, then one of its rows.

    `rows` draws every row of the train split with the same probability, so that classes keep their shares.

    A batch is a pure function of seed and number, so that a resumed training needs no state of a generator.

    Args:
        labels: int64 [rows], class of each row of the train split; every class has a row.
        classes: number of classes.
        batch_size: samples in a batch.
        seed: seed of the training.
        sampling: `classes` or `rows`.
    """

    def __init__(
        self, labels: np.ndarray, classes: int, batch_size: int, seed: int, sampling: Sampling = "classes"
    ) -> None:
        self._by_class = np.argsort(labels, kind="stable")
        self._counts = np.bincount(labels, minlength=classes)
        self._starts = np.cumsum(self._counts) - self._counts
        self._batch_size, self._seed, self._sampling = batch_size, seed, sampling

    def rows(self, number: int) -> np.ndarray:
        """Return the rows of batch `number`, counted from 0: int64 [batch_size]."""
        generator = np.random.Generator(np.random.Philox(key=[self._seed, number]))
        if self._sampling == "rows":
            return generator.integers(len(self._by_class), size=self._batch_size)
        classes = generator.integers(len(self._counts), size=self._batch_size)
        within = generator.integers(self._counts[classes])
        return np.asarray(self._by_class[self._starts[classes] + within])
