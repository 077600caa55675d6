"""The sampler: which rows a batch of a training has."""

import numpy as np


class Sampler:
    """Draws batches as the original does: a class uniformly, then one of its rows uniformly, with replacement.

    Batch k of a seed is a pure function of both, so that a resumed run needs no state of a generator.
    """

    def __init__(self, labels: np.ndarray, classes: int, batch: int, seed: int) -> None:
        self._by_class = np.argsort(labels, kind="stable")
        self._counts = np.bincount(labels, minlength=classes)
        self._starts = np.cumsum(self._counts) - self._counts
        self._batch, self._seed = batch, seed

    def rows(self, number: int) -> np.ndarray:
        """int64 [batch]: the rows of batch `number`, counted from 0."""
        generator = np.random.Generator(np.random.Philox(key=[self._seed, number]))
        classes = generator.integers(len(self._counts), size=self._batch)
        within = generator.integers(self._counts[classes])
        return np.asarray(self._by_class[self._starts[classes] + within])
