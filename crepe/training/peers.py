"""Measure whole trainings of a linear model beside those of scikit-learn and fastText, on the same rows, by turns.

    crepe bench --shards data/shards/ngrams/ag_news --model ngrams-tfidf --against scikit-learn fasttext

The figures are medians over the rounds of the seconds that a training takes, with the test error beside them: a fast
solver that stops early is another model. All of them start from the codes of the shards: scikit-learn's estimators need
a matrix of the same features first, whose making is a part of their seconds and a figure of its own, too. They minimize
the same objective:

- `sgd`: `SGDClassifier`, one class against the rest, `SGD_EPOCHS` epochs, a thread for each class
- `saga`: `LogisticRegression`, `SAGA_EPOCHS` epochs, one thread
- `lbfgs`: `LogisticRegression` as it is

fastText reads the words of the clean texts from a file, as many of them in a row as the feature's n-grams have, and
learns vectors of `FASTTEXT` for them: it is another model of the same texts, with the settings of its authors.
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table

from crepe import layout
from crepe.config import Config
from crepe.config.cg import Settings as Cg
from crepe.data import shards
from crepe.data.shards import Manifest
from crepe.errors import CrepeError
from crepe.io.files import digest
from crepe.models.batch import Split
from crepe.models.device import PRECISIONS, choose_precision, describe, enough_memory, set_up
from crepe.models.linear.network import Linear
from crepe.records.quality import wilson
from crepe.text.tokens import tokenize
from crepe.training.augmentation import read_train
from crepe.training.loop import Training
from crepe.training.setup import prepare
from crepe.training.solvers import fit

AGAINST = ("scikit-learn", "fasttext")
SGD_EPOCHS, SAGA_EPOCHS = 5, 20
FASTTEXT = {"dim": 10, "epoch": 5, "lr": 0.25}
"""Size of the vectors, epochs and learning rate: those of AG's News in fastText's paper (Joulin et al., 2016)."""

Variant = Callable[[int], tuple[float, float, float]]
"""A function from the number of a round to the seconds of a training, those of them in which a matrix was made, and the
test error in percent."""


@enough_memory()
def bench(config: Config, key: str, folder: Path, device: str, rounds: int, against: list[str]) -> dict[str, Any]:
    """Measure trainings of a linear model and of its peers.

    Args:
        config: the configuration that has the model.
        key: key of the model.
        folder: shards of its feature.
        device: device of our training, see `crepe.models.device.choose_device`; the peers compute on the CPU.
        rounds: trainings of each, 1 or more.
        against: some of `AGAINST`.

    Returns:
        The figures, as `crepe bench --json` prints them.

    Raises:
        CrepeError: the model is not trained by cg, a peer is not installed, or there are no such shards or texts.
    """
    place = set_up(device)
    spec, manifest = config.model(key), Manifest.read(folder)
    if not isinstance(spec.recipe, Cg):
        raise CrepeError(f"--model {key}", f"is trained by {spec.recipe.kind}, and trainings of cg are measured")
    start = prepare(config, manifest.dataset, key, 0, folder, place)
    train, test = read_train(folder, manifest, place), Split(shards.read(folder, "test", manifest), place)
    network = start.model.network
    assert isinstance(network, Linear)

    def ours(number: int) -> tuple[float, float, float]:
        run = Training(
            title=key,
            network=prepare(config, manifest.dataset, key, 0, folder, place).model.network,
            dtype=PRECISIONS[choose_precision(place, network=network)],
            recipe=spec.recipe,
            seed=0,
            train=train,
            test=test,
            classes=len(manifest.classes),
        )
        with tempfile.TemporaryDirectory() as temporary:
            begun = time.perf_counter()
            fit(run, Path(temporary), identity="bench")
            return time.perf_counter() - begun, 0.0, run.history[-1]["test_error_pct"]

    variants: dict[str, Variant] = {"crepe": ours}
    if "scikit-learn" in against:
        variants |= _scikit_learn(train, test, network, spec.recipe.l2)
    if "fasttext" in against:
        words = {split: _words(layout.clean(manifest.dataset), split, manifest) for split in shards.SPLITS}
        variants["fasttext"] = _fasttext(words, train.labels, test.labels, getattr(spec.feature, "max_n", 1))
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    made: dict[str, list[float]] = {name: [] for name in variants}
    errors: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        for name, variant in variants.items():
            spent, matrix_spent, error = variant(number)
            seconds[name].append(spent)
            made[name].append(matrix_spent)
            errors[name].append(error)
    trained = {name: round(median(values), 3) for name, values in seconds.items()}
    error_pct = {name: round(median(values), 4) for name, values in errors.items()}
    intervals = {name: wilson(round(value * len(test) / 100), len(test)) for name, value in error_pct.items()}
    others = [value for name, value in trained.items() if name != "crepe"]
    return {
        "model": key,
        "dataset": manifest.dataset,
        "rows": manifest.rows,
        "device": place.type,
        "device_name": describe(place),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": rounds,
        "train_seconds": trained,
        "matrix_seconds": {name: round(median(values), 3) for name, values in made.items()},
        "test_error_pct": error_pct,
        "intervals": {name: [round(100 * end, 4) for end in ends] for name, ends in intervals.items()},
        "ratio": round(min(others) / trained["crepe"], 3),
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures of `bench` as a table."""
    title = "{model} on {dataset}, {rows[train]:,} rows, {device_name}, {threads} threads, torch {torch}"
    table = Table("", "training, s", "its matrix, s", "test error %", "95 %", title=title.format(**figures))
    for name, seconds in figures["train_seconds"].items():
        matrix_seconds = figures["matrix_seconds"][name]
        low, high = figures["intervals"][name]
        table.add_row(
            name,
            f"{seconds:.2f}",
            f"{matrix_seconds:.2f}" if matrix_seconds else "",
            f"{figures['test_error_pct'][name]:.2f}",
            f"{low:.2f} to {high:.2f}",
        )
    Console().print(table)
    print(f"fastest other : crepe = {figures['ratio']:.2f}")


def matrix(split: Split, network: Linear) -> Any:
    """Make the matrix of features of a split for other libraries: a `scipy.sparse.csr_matrix` in float32.

    Its product with the network's table, less row 0, is the network's logits, less the bias.

    Raises:
        CrepeError: SciPy is not installed.
    """
    codes, offsets = split.slice(0, len(split))
    weights = network.symbol_weights.cpu()
    found = _import("scipy.sparse").csr_matrix(
        (weights[codes.long().cpu()].numpy(), codes.cpu().numpy(), offsets.cpu().numpy()),
        (len(split), len(weights)),
        copy=True,  # Sorted in place below.
    )
    found.sum_duplicates()
    found = found[:, 1:]
    if network.scales_texts:
        rows = np.repeat(np.arange(len(split)), np.diff(found.indptr))
        scales = network.text_scales(torch.from_numpy(found.data), torch.from_numpy(rows), len(split))
        found.data *= scales.numpy()[rows]
    return found


def _scikit_learn(train: Split, test: Split, network: Linear, l2: float) -> dict[str, Variant]:
    """Return the estimators of scikit-learn for the objective of `crepe.training.cg`, by name."""
    tests = matrix(test, network)
    linear = _import("sklearn.linear_model")
    threads, inverse = torch.get_num_threads(), 1 / (l2 * len(train))
    estimators = {
        "sgd": lambda number: linear.SGDClassifier(
            loss="log_loss", alpha=l2, max_iter=SGD_EPOCHS, tol=None, n_jobs=threads, random_state=number
        ),
        "saga": lambda number: linear.LogisticRegression(
            C=inverse, solver="saga", max_iter=SAGA_EPOCHS, random_state=number
        ),
        "lbfgs": lambda _: linear.LogisticRegression(C=inverse, solver="lbfgs"),
    }

    def variant(make: Callable[[int], Any]) -> Variant:
        def trained(number: int) -> tuple[float, float, float]:
            estimator = make(number)
            begun = time.perf_counter()
            x = matrix(train, network)
            made = time.perf_counter() - begun
            with warnings.catch_warnings():
                # Some are to end before they converge.
                warnings.simplefilter("ignore")
                estimator.fit(x, train.labels)
                spent = time.perf_counter() - begun
            return spent, made, 100 * float((estimator.predict(tests) != test.labels).mean())

        return trained

    return {name: variant(make) for name, make in estimators.items()}


def _fasttext(words: dict[str, list[str]], labels: np.ndarray, expected: np.ndarray, most: int) -> Variant:
    """Return a training of fastText.

    Args:
        words: words of each text, with spaces between, of `train` and `test`.
        labels: int32 [train rows].
        expected: int32 [test rows].
        most: largest number of words in an n-gram.
    """
    fasttext = _import("fasttext")

    def trained(number: int) -> tuple[float, float, float]:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
            file.writelines(f"__label__{label} {text}\n" for label, text in zip(labels, words["train"], strict=True))
            file.flush()
            begun = time.perf_counter()
            model = fasttext.train_supervised(
                file.name, wordNgrams=most, thread=torch.get_num_threads(), seed=number, verbose=0, **FASTTEXT
            )
            spent = time.perf_counter() - begun
        found = [int(said[0].removeprefix("__label__")) if said else -1 for said in model.predict(words["test"])[0]]
        return spent, 0.0, 100 * float((np.array(found) != expected).mean())

    return trained


def _words(folder: Path, split: str, manifest: Manifest) -> list[str]:
    """Read the words of the texts that the shards were made of.

    Raises:
        CrepeError: they are not there, or others.
    """
    path = folder / f"{split}.parquet"
    if not path.exists() or digest(path) != manifest.clean[split]:
        fault = "is not there" if not path.exists() else "is not what the shards were made of"
        raise CrepeError(path, fault, "fastText reads texts: run `crepe clean` and `crepe encode`")
    table = pq.read_table(path).drop_columns(["label"])
    return [" ".join(tokenize([text or "" for text in row])) for row in zip(*table.to_pydict().values(), strict=True)]


def _import(module: str) -> Any:
    """Import a module of a library that only this command uses.

    Raises:
        CrepeError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise CrepeError("--against", f"{module} cannot be imported", "pip install 'crepe[bench]'") from error
