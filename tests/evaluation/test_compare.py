"""crepe compare: McNemar's test and the interval, against figures from elsewhere and against chance itself."""

import json
import math
from math import comb

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from crepe.cli import main
from crepe.errors import CrepeError
from crepe.evaluation.compare import EXACT, compare, compare_macro_f1, count, interval
from crepe.io.files import read_json, write_json
from crepe.layout import PREDICTIONS
from crepe.records import quality
from tests.support.study import project, reseal, small, write_run

TEST = "e" * 64


def outcomes(both, only_a, only_b, neither):
    """Which rows each of two runs has right, given how many of each kind there are."""
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


def test_chi_squared_with_continuity_correction():
    # Agresti, Categorical Data Analysis, table 10.1 (approval of the prime minister): 150 and 86 of 1600 changed.
    found = count(*outcomes(794, 150, 86, 570))
    assert found.test == "chi-squared"
    # (|150 - 86| - 1)^2 / 236 = 16.82 with one degree of freedom.
    assert found.p == pytest.approx(4.115e-5, rel=1e-3)
    assert found.difference == pytest.approx(4.0)
    # The book's Wald interval is 2.2 to 5.8.
    assert (found.low, found.high) == pytest.approx((2.1, 5.9), abs=0.11)


@given(st.integers(0, 30), st.integers(0, 30))
def test_few_rows_are_tested_exactly(only_a, only_b):
    found = count(*outcomes(50, only_a, only_b, 7))
    rows = only_a + only_b
    assert (found.test == "exact") == (rows < EXACT)
    if rows < EXACT:
        tail = sum(comb(rows, k) for k in range(min(only_a, only_b) + 1)) / 2**rows
        assert found.p == pytest.approx(min(1.0, 2 * tail))
    assert 0 < found.p <= 1


@given(*[st.integers(0, 60)] * 3, st.integers(1, 60))
def test_swapping_the_runs_turns_the_sign(both, only_a, only_b, neither):
    a, b = outcomes(both, only_a, only_b, neither)
    one, other = count(a, b), count(b, a)
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p == pytest.approx(other.p)
    assert one.difference == pytest.approx(100 * (one.errors_b - one.errors_a) / one.rows)
    assert -100 <= one.low <= one.high <= 100
    assert (one.low <= one.difference <= one.high) or one.rows < 10


@pytest.mark.parametrize(("share_a", "share_b"), [(0.02, 0.02), (0.05, 0.01), (0.2, 0.1)])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(share_a, share_b):
    draws = np.random.default_rng(0).multinomial(500, [share_a, share_b, 1 - share_a - share_b], 4000)
    truth = 100 * (share_a - share_b)
    held = [low <= truth <= high for low, high in (interval(a, b, 500) for a, b, _ in draws)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("flips", [30, 8])
def test_equal_runs_are_found_different_one_time_in_twenty_at_the_most(flips):
    generator = np.random.default_rng(1)
    found = [count(*outcomes(100, k, flips - k, 0)).p for k in generator.binomial(flips, 0.5, 2000)]
    assert 0.005 < np.mean(np.array(found) < 0.05) < 0.055


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 5))
def test_macro_f1_is_scikit_learns(seed, rows, classes):
    labels, a, b = np.random.default_rng(seed).integers(0, classes, (3, rows))
    found = compare_macro_f1(labels, a, b, classes)
    expected = [f1_score(labels, predicted, average="macro", zero_division=0) for predicted in (a, b)]
    assert (found.a, found.b) == pytest.approx(expected, abs=1e-12)
    assert found.low <= found.difference == pytest.approx(expected[1] - expected[0], abs=1e-12)
    assert found.difference <= found.high


def test_the_interval_of_macro_f1_is_paired_and_holds_the_truth():
    generator = np.random.default_rng(3)

    def draw(rows):
        """Labels, two classifiers often wrong in the same rows, the second worse on the rare class, and the classes."""
        labels = generator.choice(3, rows, p=[0.6, 0.3, 0.1])
        hard = generator.random(rows) < 0.2
        a = np.where(hard, (labels + 1) % 3, labels)
        b = np.where((labels == 2) & (generator.random(rows) < 0.15), 0, a)
        return labels, a, b, 3

    truth = compare_macro_f1(*draw(1_000_000)).difference
    found = [compare_macro_f1(*draw(500)) for _ in range(400)]
    assert 0.92 < np.mean([one.low <= truth <= one.high for one in found]) < 0.98
    labels, a, b, _ = draw(500)
    unpaired = [quality.of_confusion(quality.confusion(labels, one, 3)).macro_f1 for one in (a, b)]
    paired = compare_macro_f1(labels, a, b, 3)
    widths = [one.high - one.low for one in unpaired if one]
    assert len(widths) == 2
    assert paired.high - paired.low < 0.7 * math.hypot(*widths)


# --- Runs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))


LABELS = np.repeat([0, 1, 2], [50, 30, 20]).astype(np.int32)


def predicted(wrong, labels=LABELS):
    """Predicted classes that are wrong in the given rows."""
    found = labels.copy()
    found[wrong] = (labels[wrong] + 1) % 3
    return found


def run(model, wrong, labels=LABELS, test=TEST, seed=0):
    """A run that has the given rows wrong."""
    data = {"archive": "a" * 64, "clean": {"test": test}, "manifest": "b" * 64}
    path = write_run(small(), "pets", model, seed, errors=len(wrong), data=data)
    table = {"label": labels, "predicted": predicted(wrong, labels), "probability": np.full(100, 0.5, np.float32)}
    pq.write_table(pa.table(table), path / PREDICTIONS)
    reseal(path)
    return path


def test_two_runs(capsys):
    a, b = run("bow", range(10)), run("conv-small", range(8, 12))
    assert main(["compare", str(a), str(b)]) == 0
    assert capsys.readouterr().out == (
        f"A: {a}: 10.00 % wrong (10 of 100 rows)\n"
        f"B: {b}: 4.00 % wrong (4 of 100 rows)\n"
        "only A is right: 2 rows; only B is right: 8 rows\n"
        # 3 / 102 - 9 / 102, and 1.96 standard deviations of 0.03346 either way.
        "B minus A: -6.00 percentage points, 95 % interval -12.44 to +0.68\n"
        "McNemar's test (exact): p = 0.109\n"
        f"macro-F1: A {f1_score(LABELS, predicted(range(10)), average='macro'):.4f}, "
        f"B {f1_score(LABELS, predicted(range(8, 12)), average='macro'):.4f}\n"
        "B minus A: +0.0499, 95 % interval -0.0009 to +0.1072 (paired bootstrap)\n"
    )
    assert main(["compare", str(a), str(b), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("p") == pytest.approx(112 / 1024)
    f1 = found.pop("macro_f1")
    assert f1["difference"] == pytest.approx(f1["b"] - f1["a"], abs=1e-12)
    assert f1["low"] < f1["difference"] < f1["high"]
    assert (found.pop("low"), found.pop("high")) == pytest.approx((-12.44, 0.68), abs=0.01)
    assert found == {
        **{"a": str(a), "b": str(b), "rows": 100, "errors_a": 10, "errors_b": 4, "only_a": 2, "only_b": 8},
        **{"difference": -6.0, "test": "exact"},
    }


def test_runs_that_agree_in_every_row():
    found = compare(run("bow", [3, 4]), run("conv-small", [3, 4]))
    assert (found.p, found.difference, found.only_a, found.only_b) == (1.0, 0.0, 0, 0)
    assert found.low < 0 < found.high
    assert found.macro_f1.difference == 0.0
    assert found.macro_f1.low < 0 < found.macro_f1.high


def test_runs_of_different_test_sets_are_refused():
    a = run("bow", [1])
    with pytest.raises(CrepeError, match="were not tested on the same rows: test rows differ"):
        compare(a, run("conv-small", [1], test="f" * 64))
    # The digest says the same, what was tested does not.
    with pytest.raises(CrepeError, match="were not tested on the same rows: labels differ"):
        compare(a, run("conv-small", [1], labels=LABELS[::-1].copy()))


def test_what_cannot_be_compared(capsys):
    a, b = run("bow", [1]), run("conv-small", [1])
    assert main(["compare", str(a), f"{a}/"]) == 1
    assert capsys.readouterr().err == f"crepe compare: {a}: is both A and B; name two runs\n"
    assert main(["compare", str(a), "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("crepe compare: nowhere/run.json: is missing; run `crepe train`")
    (b / PREDICTIONS).unlink()
    with pytest.raises(CrepeError, match=f"^{b}/predictions.parquet: is missing; run `crepe evaluate {b}` again"):
        compare(a, b)
    record = read_json(b / "run.json", "")
    write_json(b / "run.json", record | {"data": {}})
    with pytest.raises(
        CrepeError,
        match=r"run.json: data.archive: is missing; delete it",
    ):
        compare(a, b)
