"""crepe.records.quality: values against scikit-learn, intervals against what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from crepe.records.quality import (
    Estimate,
    balanced_accuracy,
    brier,
    calibration_error,
    confusion,
    macro_f1,
    marginals,
    matthews,
    mean,
    of_classes,
    of_confusion,
    of_predictions,
    reliability,
    wilson,
)


def predictions(classes: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Uneven labels, and probabilities that have to do with them."""
    generator = np.random.default_rng(seed)
    labels = np.minimum(generator.geometric(0.5, rows) - 1, classes - 1)
    logits = generator.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(2 * logits)
    return labels, probabilities / probabilities.sum(1, keepdims=True)


# Figures of the formula in Wilson (1927), worked out with an independent program (R's binom.wilson).
@pytest.mark.parametrize(
    ("errors", "rows", "low", "high"), [(0, 10, 0.0, 27.7533), (10, 10, 72.2467, 100.0), (5, 50, 4.3475, 21.3602)]
)
def test_wilson(errors: int, rows: int, low: float, high: float) -> None:
    assert [100 * end for end in wilson(errors, rows)] == pytest.approx((low, high), abs=2e-3)


@given(st.integers(1, 5000), st.data())
def test_wilson_holds_the_rate(rows: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, rows))
    low, high = wilson(errors, rows)
    assert 0 <= low <= errors / rows + 1e-9
    assert errors / rows - 1e-9 <= high <= 1


def test_confusion_counts_true_classes_by_rows() -> None:
    found = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("classes", [2, 3, 14])
@pytest.mark.parametrize("rows", [30, 1000])
def test_every_metric_is_that_of_scikit_learn(classes: int, rows: int) -> None:
    labels, probabilities = predictions(classes, rows, seed=classes + rows)
    predicted = probabilities.argmax(1)
    own, top = probabilities[np.arange(rows), labels], probabilities.max(1)
    found = of_predictions(
        confusion(labels, predicted, classes), labels == predicted, top, -np.log(own), brier(probabilities, labels)
    )
    every = list(range(classes))
    expected = {
        "macro_f1": oracle.f1_score(labels, predicted, average="macro"),
        "balanced_accuracy": np.nanmean(
            oracle.recall_score(labels, predicted, labels=every, average=None, zero_division=np.nan)
        ),
        "matthews": oracle.matthews_corrcoef(labels, predicted),
        "log_loss": oracle.log_loss(labels, probabilities, labels=every),
        "brier": oracle.brier_score_loss(labels, probabilities, labels=every),
    }
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value, rel=0, abs=1e-12), name
        assert getattr(found, name).low < value < getattr(found, name).high
    shares = oracle.precision_recall_fscore_support(labels, predicted, labels=every, average=None, zero_division=np.nan)
    for part, precision, recall, f1, support in zip(found.by_class, *shares, strict=True):
        assert part.support == support
        for estimate, value in ((part.precision, precision), (part.recall, recall), (part.f1, f1)):
            if estimate is None:
                assert np.isnan(value)
            else:
                assert estimate.value == pytest.approx(value, rel=0, abs=1e-12)
                assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    right, probability = calibration_curve(labels == predicted, top, n_bins=15)
    assert [part.right / part.rows for part in found.reliability] == pytest.approx(right.tolist(), rel=0, abs=1e-12)
    assert [part.probability for part in found.reliability] == pytest.approx(probability.tolist(), rel=0, abs=1e-12)
    gaps = [abs(part.right - part.rows * part.probability) for part in found.reliability]
    assert found.calibration_error.value == pytest.approx(sum(gaps) / rows, rel=0, abs=1e-12)


def test_two_classes_need_no_column_of_brier_scores() -> None:
    labels, probabilities = predictions(2, 200, seed=1)
    predicted = probabilities.argmax(1)
    found = of_predictions(confusion(labels, predicted, 2), labels == predicted, probabilities.max(1), None, None)
    assert found.brier.value == pytest.approx(oracle.brier_score_loss(labels, probabilities[:, 1]), rel=0, abs=1e-12)
    assert found.log_loss is None


def test_three_classes_need_one() -> None:
    labels, probabilities = predictions(3, 200, seed=1)
    predicted = probabilities.argmax(1)
    found = of_predictions(confusion(labels, predicted, 3), labels == predicted, probabilities.max(1), None, None)
    assert found.brier is None
    assert found.calibration_error is not None


def test_a_class_without_rows_and_predictions_does_not_count() -> None:
    matrix = np.array([[3, 1, 0], [1, 5, 0], [0, 0, 0]])
    labels, predicted = (np.repeat(side.ravel(), matrix.ravel()) for side in np.indices(matrix.shape))
    assert of_confusion(matrix).macro_f1.value == pytest.approx(oracle.f1_score(labels, predicted, average="macro"))
    last = of_classes(matrix)[2]
    assert (last.support, last.precision, last.recall, last.f1) == (0, None, None, None)


def test_always_the_same_class_has_a_matthews_of_nothing() -> None:
    found = of_confusion(np.array([[90, 0], [10, 0]]))
    assert found.matthews.value == 0
    assert found.balanced_accuracy.value == 0.5


def test_a_small_test_without_errors_is_not_certain() -> None:
    found = of_confusion(np.diag([12, 8]))
    for estimate in (found.macro_f1, found.balanced_accuracy, found.matthews):
        assert estimate.value == estimate.high == 1
        assert 0.6 < estimate.low < 0.9


def test_one_row() -> None:
    assert mean(np.array([0.25])) == Estimate(0.25, 0.25, 0.25)
    found = of_confusion(np.array([[0, 1], [0, 0]]))
    assert found.macro_f1.value == 0
    assert found.macro_f1.high > 0


def test_the_same_counts_give_the_same_intervals() -> None:
    matrix = np.random.default_rng(0).integers(0, 9, (5, 5))
    assert of_confusion(matrix) == of_confusion(matrix)


TRUTH = np.array([[0.80, 0.06, 0.02], [0.02, 0.06, 0.00], [0.01, 0.00, 0.03]])
"""Share of rows by label and predicted class."""


@pytest.mark.parametrize("metric", [macro_f1, balanced_accuracy, matthews])
def test_an_interval_holds_the_truth_nineteen_times_in_twenty(metric) -> None:
    draws = np.random.default_rng(0).multinomial(800, TRUTH.ravel(), 400).reshape(-1, 3, 3)
    truth = float(metric(*marginals(1e6 * TRUTH)))
    held = [(found := getattr(of_confusion(draw), metric.__name__)).low <= truth <= found.high for draw in draws]
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)


def test_the_interval_of_f1_of_a_rare_class_holds_the_truth() -> None:
    draws = np.random.default_rng(1).multinomial(800, TRUTH.ravel(), 2000).reshape(-1, 3, 3)
    truth = 2 * 0.03 / (0.04 + 0.05)
    found = [of_classes(draw)[2].f1 for draw in draws]
    assert np.mean([part.low <= truth <= part.high for part in found]) == pytest.approx(0.95, abs=0.015)


def test_chance_alone_is_no_calibration_error() -> None:
    generator = np.random.default_rng(2)
    held = []
    for _ in range(200):
        probability = generator.uniform(0.5, 1, 1000)
        found = calibration_error(reliability(probability, generator.random(1000) < probability))
        assert found.low <= found.value <= found.high
        held.append(found.low < 0.005)
    assert np.mean(held) > 0.95


def test_the_calibration_error_of_what_is_too_sure() -> None:
    generator = np.random.default_rng(3)
    probability = generator.uniform(0.5, 1, 4000)
    found = calibration_error(reliability(probability, generator.random(4000) < probability - 0.2))
    assert found.low < 0.2 < found.high
    assert found.high - found.low < 0.06
