"""Test whether two runs differ on the same test rows: McNemar's test, and intervals of the differences.

    crepe compare results/paper/runs/ag_news/bow/0 results/paper/runs/ag_news/conv-small/0

Only rows that one run gets right and the other wrong say which has the smaller error. macro-F1, in which each class
counts alike, is compared by a bootstrap of the rows. Both runs must have been tested on the same test set; models,
seeds and studies may differ.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from crepe.errors import CrepeError
from crepe.records import predictions
from crepe.records.metrics import Metrics
from crepe.records.quality import drawn_marginals, macro_f1
from crepe.records.run import RunRecord

EXACT = 25
"""Use the exact test below this many rows that only one run gets right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MacroF1:
    """macro-F1 of two runs, a and b, on the same test rows; from 0 to 1, higher is better."""

    a: float
    b: float
    difference: float
    """The value of b minus the value of a."""
    low: float
    """Lower end of the difference's 95 % interval (paired bootstrap)."""
    high: float
    """Upper end of the interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs, a and b, on the same test rows."""

    rows: int
    errors_a: int
    errors_b: int
    only_a: int
    """Rows that only a gets right."""
    only_b: int
    """Rows that only b gets right."""
    difference: float
    """Error of b minus that of a, in percentage points."""
    low: float
    """Lower end of the difference's 95 % interval."""
    high: float
    """Upper end of the interval."""
    p: float
    """p-value: probability of counts at least as uneven as `only_a` and `only_b` if both runs were equally good."""
    test: str
    """The test that gives `p`: `exact` (binomial) or `chi-squared` (with continuity correction)."""
    macro_f1: MacroF1 | None = None
    """None where it is not known which class a wrong row was put into, as in `count`."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("a", type=Path, metavar="A", help="folder of a tested run")
    parser.add_argument("b", type=Path, metavar="B", help="folder of another tested run")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    found = compare(options.a, options.b)
    if options.json:
        print(json.dumps({"a": str(options.a), "b": str(options.b), **asdict(found)}, indent=2))
        return
    for name, path, errors in (("A", options.a, found.errors_a), ("B", options.b, found.errors_b)):
        print(f"{name}: {path}: {100 * errors / found.rows:.2f} % wrong ({errors:,} of {found.rows:,} rows)")
    print(f"only A is right: {found.only_a:,} rows; only B is right: {found.only_b:,} rows")
    print(f"B minus A: {found.difference:+.2f} percentage points, 95 % interval {found.low:+.2f} to {found.high:+.2f}")
    print(f"McNemar's test ({found.test}): p = {found.p:.3g}")
    if found.macro_f1:
        f1 = found.macro_f1
        print(f"macro-F1: A {f1.a:.4f}, B {f1.b:.4f}")
        print(f"B minus A: {f1.difference:+.4f}, 95 % interval {f1.low:+.4f} to {f1.high:+.4f} (paired bootstrap)")


def compare(a: Path, b: Path) -> Comparison:
    """Compare two runs by their predictions.

    Args:
        a: folder of a tested run.
        b: folder of another.

    Raises:
        CrepeError: a run has no predictions, or the two were not tested on the same rows.
    """
    if a.resolve() == b.resolve():
        raise CrepeError(a, "is both A and B", "name two runs")
    (rows_a, predicted_a), (rows_b, predicted_b) = _rows(a), _rows(b)
    for key, value in rows_a.items():
        if not np.array_equal(value, rows_b[key]):
            fault = f"were not tested on the same rows: {key} differ"
            raise CrepeError(f"{a} and {b}", fault, "compare runs of one dataset")
    labels = rows_a["labels"]
    found = count(labels == predicted_a, labels == predicted_b)
    return replace(found, macro_f1=compare_macro_f1(labels, predicted_a, predicted_b, len(rows_a["classes"])))


def count(a: np.ndarray, b: np.ndarray) -> Comparison:
    """Compare two classifiers.

    Args:
        a: bool [rows], whether the first one is right.
        b: bool [rows], whether the second one is right, in the same order.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    rows, only_a, only_b = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    exact = only_a + only_b < EXACT
    p = float(mcnemar([[0, only_a], [only_b, 0]], exact=exact).pvalue) if only_a + only_b else 1.0
    low, high = interval(only_a, only_b, rows)
    return Comparison(
        rows=rows,
        errors_a=int((~a).sum()),
        errors_b=int((~b).sum()),
        only_a=only_a,
        only_b=only_b,
        difference=100 * (only_a - only_b) / rows,
        low=low,
        high=high,
        p=p,
        test="exact" if exact else "chi-squared",
    )


def compare_macro_f1(labels: np.ndarray, a: np.ndarray, b: np.ndarray, classes: int) -> MacroF1:
    """Compare two classifiers by macro-F1, with the interval of a Bayesian bootstrap: see `crepe.records.quality`.

    Each draw weighs the rows once, for both classifiers: rows that are hard for both move both figures, and their
    difference little.

    Args:
        labels: int [rows], at least one.
        a: int [rows], predicted classes of the first one.
        b: int [rows], those of the second one.
        classes: number of classes.
    """
    cells, rows = np.unique(np.stack([labels, a, b], axis=1).astype(np.int64), axis=0, return_counts=True)
    truth, *predictions = cells.T
    values = []
    for predicted in predictions:
        hits, support, named = (
            np.bincount(of, weights, classes)
            for of, weights in ((truth, rows * (truth == predicted)), (truth, rows), (predicted, rows))
        )
        values.append(float(macro_f1(hits, support, named)))
    drawn_a, drawn_b = (macro_f1(*drawn) for drawn in drawn_marginals(rows, truth, predictions, classes))
    difference = values[1] - values[0]
    low, high = np.quantile(drawn_b - drawn_a, (0.025, 0.975))
    return MacroF1(
        a=values[0],
        b=values[1],
        difference=difference,
        low=min(difference, float(low)),
        high=max(difference, float(high)),
    )


def interval(only_a: int, only_b: int, rows: int) -> tuple[float, float]:
    """95 % interval of the difference of two error rates on the same rows, in percentage points.

    Wald's interval, with one row more in `only_a` and in `only_b`: Bonett and Price, Adjusted Wald confidence interval
    for a difference of binomial proportions based on paired data, 2012.
    """
    share_a, share_b = (only_a + 1) / (rows + 2), (only_b + 1) / (rows + 2)
    middle = share_a - share_b
    half = NormalDist().inv_cdf(0.975) * math.sqrt((share_a + share_b - middle * middle) / (rows + 2))
    return max(-100.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))


def _rows(run: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Values that must be equal in both runs, by name, and int32 [rows]: the predicted classes."""
    record = RunRecord.read(run)
    found = predictions.read(run, record, Metrics.read(run, record))
    must_agree = {"test rows": record.data.clean.get("test"), "classes": record.classes, "labels": found["label"]}
    return must_agree, found["predicted"]
