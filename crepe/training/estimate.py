"""Estimate how long a training would take on this machine, by timing a few of its batches."""

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from crepe.config import ModelSpec
from crepe.config.sgd import Settings
from crepe.errors import CrepeError
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, choose_precision, enough_memory, set_up
from crepe.ragged import Ragged
from crepe.training.optimizer import SGDW
from crepe.training.step import Step, step_of

SECONDS = 3.0
"""Time batches until this has passed, but at least `LEAST` and at most `MOST` of them."""
LEAST, MOST = 3, 20
ROWS = 32
"""Largest number of rows in a batch that is timed on a CPU, where larger ones are hardly faster by the row."""
FORWARD = 1 / 3
"""Cost of testing a row as a share of training on it: a backward pass takes about twice as long as a forward one."""


@enough_memory()
def estimate(
    spec: ModelSpec, texts: Sequence[str], classes: int, batches_per_epoch: int, test_rows: int, device: str = "auto"
) -> float:
    """Estimate the seconds of a whole training, tests after each epoch included.

    Args:
        spec: a model whose feature has no vocabulary.
        texts: some of its train texts, at least one, whose lengths are like those of the others.
        classes: number of classes.
        batches_per_epoch: batches in an epoch, where the recipe does not say.
        test_rows: number of rows of the test set.
        device: see `crepe.models.device.choose_device`.

    Raises:
        CrepeError: the feature has a vocabulary, or there is not enough memory.
    """
    feature, settings, recipe = spec.feature, spec.network, spec.recipe
    if feature.has_vocabulary or feature.characters is None:
        raise CrepeError(f"catalog.features.{spec.model.feature}", "has a vocabulary, which this does not make")
    if not isinstance(recipe, Settings):
        raise CrepeError(f"training.{spec.model.training}", "is not trained in batches")
    place = set_up(device, deterministic=False)
    network = settings.build(Inputs(vocab_size=len(feature.characters), length=feature.max_length, classes=classes))
    initialize(network, settings.init_std, 0)
    network.to(place).train()
    read = feature.reader(None)
    rows = Split(Ragged.from_rows(map(read, texts), np.arange(len(texts), dtype=np.int32) % classes), place)
    # Nothing is learnt.
    optimizer = SGDW(network.parameters(), 0.0, recipe.momentum, recipe.weight_decay)
    tally = torch.zeros(2, dtype=torch.float64, device=place)
    dtype = PRECISIONS[choose_precision(place, network=network)]
    step = step_of(Step(partial(network, dtype=dtype), optimizer, tally, recipe.max_grad_norm), network)
    size = min(ROWS, recipe.batch_size) if place.type == "cpu" else recipe.batch_size
    draws = np.random.default_rng(0).integers(len(rows), size=(MOST, size))
    # The first is slow: memory is taken, and kernels are chosen.
    step(rows.batch(draws[0][:8] if place.type == "cpu" else draws[0]))
    done, spent, begun = 0, 0.0, time.perf_counter()
    for drawn in draws:
        step(rows.batch(drawn))
        # Which waits for the device.
        tally.sum().item()
        done, spent = done + 1, time.perf_counter() - begun
        if done >= LEAST and spent >= SECONDS:
            break
    batches = recipe.batches_per_epoch or batches_per_epoch
    samples = recipe.epochs * (batches * recipe.batch_size + FORWARD * test_rows)
    return float(samples * spent / (done * size))
