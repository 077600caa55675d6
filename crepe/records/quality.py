"""Metrics of a classifier's predictions, each with a 95 % interval; numpy alone.

Definitions are those of scikit-learn. Every interval is a function of the counts or rows alone, the same in each call:

- Precision, recall, F1 of a class: Wilson's score interval (Wilson, Probable inference, 1927). Recall is a share of the
  rows of a class, precision of the rows with that predicted class. F1 = 2 J / (1 + J) grows with J, the share of hits
  among the rows that have the class as their label or as their predicted class.
- Macro-F1, balanced accuracy, Matthews' coefficient: percentiles of a Bayesian bootstrap of the test rows (Rubin, The
  Bayesian bootstrap, 1981) with a fixed seed. It works on the confusion matrix, since equal rows need no telling apart.
  A row of a random label and a random predicted class is added to each draw: a test without errors would have an
  interval without width otherwise.
- Log loss, Brier score: the normal interval of a mean, 1.96 standard errors to either side.
- Calibration error: to either side the 95 % quantile of the sum over the bins of how far a draw's accuracy is from the
  observed one, with draws of each bin's accuracy from Jeffreys' Beta distribution (Brown, Cai and DasGupta, Interval
  estimation for a binomial proportion, 2001). By the triangle inequality the error is off by no more. The interval is
  wide but valid for a calibrated classifier, too, whose estimate is larger than 0 by chance alone.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from crepe.io.section import Section

Z = 1.959963984540054
"""95 % quantile of the standard normal distribution, two-sided."""
DRAWS = 1000
"""Draws of a bootstrap."""
BINS = 15
"""Bins of the calibration error, equally wide (Guo et al., On calibration of modern neural networks, 2017)."""


@dataclass(frozen=True, slots=True)
class Estimate(Section):
    """A metric of the test rows, and an interval of its value on all rows of the kind."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMetrics(Section):
    """Metrics of one class; None where they are 0 / 0."""

    support: int
    """Test rows of the class."""
    precision: Estimate | None
    """Share of the rows with this predicted class that have it as their label."""
    recall: Estimate | None
    """Share of the rows with this label that have it as their predicted class."""
    f1: Estimate | None
    """Harmonic mean of precision and recall."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin(Section):
    """Test rows whose predicted classes have similar probabilities."""

    low: float
    """Lower end of the bin's probabilities, which it does not hold."""
    high: float
    """Upper end."""
    rows: int
    right: int
    """Rows whose predicted class is the label."""
    probability: float
    """Mean probability of the predicted class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality(Section):
    """Metrics beyond the test error; None where the file of a run, written before there were any, does not tell."""

    macro_f1: Estimate | None = None
    """Mean of the classes' F1, 0 to 1: every class counts alike, however few rows it has."""
    balanced_accuracy: Estimate | None = None
    """Mean of the classes' recall, 0 to 1."""
    matthews: Estimate | None = None
    """Matthews' correlation coefficient, -1 to 1; 0 is guessing."""
    log_loss: Estimate | None = None
    """Mean of -log p of the label."""
    brier: Estimate | None = None
    """Brier score, see `brier`: lower is better."""
    calibration_error: Estimate | None = None
    """Top-label calibration error, 0 to 1."""
    by_class: list[ClassMetrics] | None = None
    """Metrics of each class, in the order of run.json's."""
    reliability: list[Bin] | None = None
    """Probabilities beside shares of right rows, bins from low to high."""


def wilson(count: int, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: `count` of `rows`, which must be more than 0; from 0 to 1."""
    rate = count / rows
    middle = rate + Z * Z / (2 * rows)
    half = Z * math.sqrt(rate * (1 - rate) / rows + Z * Z / (4 * rows * rows))
    scale = 1 + Z * Z / rows
    # Exact ends, which rounding would miss.
    return (middle - half) / scale if count else 0.0, (middle + half) / scale if count < rows else 1.0


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 [classes, classes]: rows of each true class (first axis) by predicted class."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def of_classes(matrix: np.ndarray) -> list[ClassMetrics]:
    """Precision, recall and F1 of each class.

    Args:
        matrix: int64 [classes, classes], see `confusion`.
    """
    found = []
    for hits, support, predicted in zip(matrix.diagonal(), matrix.sum(1), matrix.sum(0), strict=True):
        both = _share(int(hits), int(support + predicted - hits))
        found.append(
            ClassMetrics(
                support=int(support),
                precision=_share(int(hits), int(predicted)),
                recall=_share(int(hits), int(support)),
                f1=both and Estimate(*(2 * share / (1 + share) for share in (both.value, both.low, both.high))),
            )
        )
    return found


def macro_f1(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean of F1 over the classes that are a label or a predicted class.

    Args:
        hits: [..., classes], rows of each class with the right predicted class.
        support: [..., classes], rows of each class.
        predicted: [..., classes], rows with each predicted class.

    Returns:
        float64 [...].
    """
    return _mean(2 * hits, support + predicted)


def balanced_accuracy(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean of recall over the classes that are a label; arguments and result as of `macro_f1`."""
    return _mean(hits, support)


def matthews(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Matthews' correlation coefficient for any number of classes, -1 to 1; arguments and result as of `macro_f1`.

    0 where all labels, or all predicted classes, are the same. Gorodkin, Comparing two K-category assignments by a
    K-category correlation coefficient, 2004.
    """
    rows = support.sum(-1)
    covariance = hits.sum(-1) * rows - (support * predicted).sum(-1)
    # Of a single class these are 0 but for rounding.
    spreads = [np.maximum(rows**2 - (side**2).sum(-1), 0) for side in (support, predicted)]
    known = np.minimum(*spreads) > 1e-12 * rows**2
    return np.asarray(
        np.divide(covariance, np.sqrt(spreads[0] * spreads[1]), out=np.zeros(np.shape(rows)), where=known)
    )


LABELS = {
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "matthews": "Matthews' coefficient",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
}
"""Names of the metrics of `Quality` that are an `Estimate`."""

OF_CONFUSION = {"macro_f1": macro_f1, "balanced_accuracy": balanced_accuracy, "matthews": matthews}
"""Metrics of a confusion matrix, as functions of its marginals, by name in `Quality`."""


def of_confusion(matrix: np.ndarray) -> Quality:
    """Every metric that the confusion matrix determines; the others are None.

    Args:
        matrix: int64 [classes, classes] with at least one row counted, see `confusion`.
    """
    labels, predicted = np.nonzero(matrix)
    exact = marginals(matrix)
    draws = drawn_marginals(matrix[labels, predicted], labels, [predicted], len(matrix))[0]
    estimates: dict[str, Any] = {}
    for name, metric in OF_CONFUSION.items():
        value = float(metric(*exact))
        low, high = np.quantile(metric(*draws), (0.025, 0.975))
        estimates[name] = Estimate(value, min(value, float(low)), max(value, float(high)))
    return Quality(**estimates, by_class=of_classes(matrix))


def marginals(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arguments of `macro_f1` and its like: hits, support and predicted, float64 [classes] each."""
    return matrix.diagonal().astype(np.float64), matrix.sum(1).astype(np.float64), matrix.sum(0).astype(np.float64)


def drawn_marginals(
    counts: np.ndarray, labels: np.ndarray, predictions: list[np.ndarray], classes: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw weights for cells of equal rows, and sum them to the arguments of `macro_f1` and its like.

    Args:
        counts: int64 [cells], rows of each cell, more than 0.
        labels: int64 [cells], their label.
        predictions: for each classifier, int64 [cells], their predicted class.
        classes: number of classes.

    Returns:
        For each classifier, hits, support and predicted, float64 [DRAWS, classes] each, of the same draws.
    """
    generator = np.random.default_rng(0)
    present = np.unique(np.concatenate([labels, *predictions]))
    added = generator.choice(present, (DRAWS, 1 + len(predictions)))
    sums = [np.zeros((3, DRAWS, classes)) for _ in predictions]
    at_once = max(1, 1_000_000 // (len(counts) + 1))
    for first in range(0, DRAWS, at_once):
        draws = slice(first, min(first + at_once, DRAWS))
        extra, size = added[draws], draws.stop - first
        weights = np.column_stack(
            [generator.standard_gamma(counts, (size, len(counts))), generator.standard_exponential(size)]
        )

        true = _cells(labels, extra[:, 0])
        for total, given, guess in zip(sums, predictions, extra[:, 1:].T, strict=True):
            predicted = _cells(given, guess)
            total[0, draws] = _summed(weights * (true == predicted), true, classes)
            total[1, draws] = _summed(weights, true, classes)
            total[2, draws] = _summed(weights, predicted, classes)
    return [(total[0], total[1], total[2]) for total in sums]


def mean(values: np.ndarray) -> Estimate:
    """The mean of independent values and its normal interval, not below 0; of one value an interval without width.

    Args:
        values: float [rows], each 0 or more.
    """
    values = values.astype(np.float64)
    value = float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Estimate(value, max(0.0, value - half), value + half)


def brier(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Brier score of each row: the sum over the classes of (probability - truth) squared, halved for two classes.

    The mean is scikit-learn's `brier_score_loss`, which halves it for two classes, too: from 0 to 1 for two classes, to
    2 for more. Brier, Verification of forecasts expressed in terms of probability, 1950.

    Args:
        probabilities: float [rows, classes].
        labels: int [rows].

    Returns:
        float64 [rows].
    """
    probabilities = probabilities.astype(np.float64)
    own = probabilities[np.arange(len(labels)), labels]
    scores = (probabilities**2).sum(1) - own**2 + (1 - own) ** 2
    return np.asarray(scores / 2 if probabilities.shape[1] == 2 else scores)


def brier_of_two(probability: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`brier` for two classes, of the predicted class's probability: float64 [rows].

    Args:
        probability: float [rows].
        right: bool [rows], whether the predicted class is the label.
    """
    return np.asarray((probability.astype(np.float64) - right) ** 2)


def reliability(probability: np.ndarray, right: np.ndarray) -> list[Bin]:
    """Compare probabilities of the predicted class with how often it is right, in `BINS` equally wide bins.

    Args:
        probability: float [rows], of the predicted class.
        right: bool [rows], whether it is the label.

    Returns:
        The bins that have rows, from low to high; a bin holds its upper end, as in scikit-learn's `calibration_curve`.
    """
    probability = probability.astype(np.float64)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    numbers = np.searchsorted(edges[1:-1], probability)
    found = []
    for number in np.unique(numbers).tolist():
        inside = numbers == number
        found.append(
            Bin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                rows=int(inside.sum()),
                right=int(right[inside].sum()),
                probability=float(probability[inside].mean()),
            )
        )
    return found


def calibration_error(bins: list[Bin]) -> Estimate:
    """Top-label calibration error: the mean over the rows of how far their bin's accuracy is from its probability.

    Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015; 0 to 1.

    Args:
        bins: see `reliability`; the rows of a bin count as having its mean probability.
    """
    rows, right = np.array([part.rows for part in bins]), np.array([part.right for part in bins])
    probability = np.array([part.probability for part in bins])
    value = float(np.abs(right - rows * probability).sum() / rows.sum())
    accuracy = np.random.default_rng(0).beta(right + 0.5, rows - right + 0.5, (DRAWS, len(bins)))
    off = float(np.quantile(np.abs(rows * accuracy - right).sum(1), 0.95) / rows.sum())
    return Estimate(value, max(0.0, value - off), min(1.0, value + off))


def of_predictions(
    matrix: np.ndarray,
    right: np.ndarray,
    probability: np.ndarray,
    losses: np.ndarray | None,
    scores: np.ndarray | None,
) -> Quality:
    """Every metric, from what `predictions.parquet` has of each row.

    Args:
        matrix: int64 [classes, classes], see `confusion`.
        right: bool [rows], whether the predicted class is the label.
        probability: float [rows], of the predicted class.
        losses: float [rows], -log p of the label; None where they are not known.
        scores: float [rows], see `brier`; None where they are not known: of two classes they follow from `probability`.
    """
    if scores is None and len(matrix) == 2:
        scores = brier_of_two(probability, right)
    counted, bins = of_confusion(matrix), reliability(probability, right)
    return Quality(
        **{name: getattr(counted, name) for name in OF_CONFUSION},
        log_loss=None if losses is None else mean(losses),
        brier=None if scores is None else mean(scores),
        calibration_error=calibration_error(bins),
        by_class=counted.by_class,
        reliability=bins,
    )


def _share(count: int, rows: int) -> Estimate | None:
    return Estimate(count / rows, *wilson(count, rows)) if rows else None


def _mean(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Mean over the last axis of parts / wholes, where the whole is not 0."""
    known = wholes > 0
    shares = np.divide(parts, wholes, out=np.zeros(np.shape(wholes)), where=known)
    return np.asarray(shares.sum(-1) / known.sum(-1))


def _cells(column: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[draws, cells + 1]: the column in every draw, and one more value of each."""
    return np.column_stack([np.broadcast_to(column, (len(last), len(column))), last])


def _summed(weights: np.ndarray, numbers: np.ndarray, classes: int) -> np.ndarray:
    """[draws, classes]: sums of the weights, [draws, cells], by the class of each."""
    places = numbers + classes * np.arange(len(numbers))[:, None]
    return np.bincount(places.ravel(), weights.ravel(), len(numbers) * classes).reshape(-1, classes)
