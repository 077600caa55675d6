"""Test whether two runs differ on the same test rows: McNemar's test, and an interval of the difference.

    crepe compare results/paper/runs/ag_news/bow/0 results/paper/runs/ag_news/conv-small/0

Rows that both runs get right, or both get wrong, say nothing of which is better; the others are counted. The test set
must be the same, and what differs otherwise, models, seeds, studies, does not matter.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from crepe.errors import CrepeError
from crepe.records import predictions
from crepe.results.grid import read_metrics, read_record

EXACT = 25
"""Rows, of those that one run alone gets right, below which the test is the exact one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs, a and b, on the same test rows."""

    rows: int
    errors_a: int
    errors_b: int
    only_a: int
    """Rows that a alone gets right, ..."""
    only_b: int
    """... and b alone."""
    difference: float
    """Error of b less that of a in percent points, ..."""
    low: float
    """... and the ends of its 95 % interval."""
    high: float
    p: float
    """Probability of so uneven counts of rows, or more uneven ones, were both runs equally good."""
    test: str
    """How it was found: `exact` (binomial) or `chi-squared` (with continuity correction)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("a", type=Path, metavar="A", help="folder of a run that has been tested")
    parser.add_argument("b", type=Path, metavar="B", help="and of another")
    parser.add_argument("--json", action="store_true", help="print figures for programs")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    found = compare(options.a, options.b)
    if options.json:
        print(json.dumps({"a": str(options.a), "b": str(options.b), **asdict(found)}, indent=2))
        return
    for name, path, errors in (("A", options.a, found.errors_a), ("B", options.b, found.errors_b)):
        print(f"{name}: {path}: {100 * errors / found.rows:.2f} % wrong ({errors:,} of {found.rows:,} rows)")
    print(f"only A is right: {found.only_a:,} rows; only B is right: {found.only_b:,} rows")
    print(f"B less A: {found.difference:+.2f} percent points, 95 % interval {found.low:+.2f} to {found.high:+.2f}")
    print(f"McNemar's test ({found.test}): p = {found.p:.3g}")


def compare(a: Path, b: Path) -> Comparison:
    """Compare two runs by their predictions.

    Args:
        a: a run's folder.
        b: another's.

    Raises:
        CrepeError: a run has no predictions, or the two were not tested on the same rows.
    """
    if a.resolve() == b.resolve():
        raise CrepeError(f"{a}: is both A and B; name two runs")
    (rows_a, right_a), (rows_b, right_b) = _rows(a), _rows(b)
    for key, value in rows_a.items():
        if not np.array_equal(value, rows_b[key]):
            raise CrepeError(f"{a} and {b}: were not tested on the same rows: {key} differ; runs of one dataset can be")
    return count(right_a, right_b)


def count(a: np.ndarray, b: np.ndarray) -> Comparison:
    """Compare two classifiers.

    Args:
        a: bool [rows], whether the one is right.
        b: bool [rows], whether the other is, row by row.
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


def interval(only_a: int, only_b: int, rows: int) -> tuple[float, float]:
    """95 % interval of the difference of two error rates on the same rows, in percent points.

    Wald's, with one row more of either kind: Bonett and Price, Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data, 2012.
    """
    share_a, share_b = (only_a + 1) / (rows + 2), (only_b + 1) / (rows + 2)
    middle = share_a - share_b
    half = NormalDist().inv_cdf(0.975) * math.sqrt((share_a + share_b - middle * middle) / (rows + 2))
    return max(-100.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))


def _rows(run: Path) -> tuple[dict[str, Any], np.ndarray]:
    """What must agree, by name, and bool [rows]: whether each row is right."""
    record = read_record(run)
    found = predictions.read(run, record, read_metrics(run, record))
    must_agree = {"test rows": record["data"]["clean"]["test"], "classes": record["classes"], "labels": found["label"]}
    return must_agree, found["label"] == found["predicted"]
