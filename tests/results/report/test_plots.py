"""crepe.results.report.plots: values stand where the axes say."""

import re
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crepe.records.history import COLUMNS, History
from crepe.records.quality import Bin
from crepe.results.report import plots
from crepe.results.report.comparisons import Panel

SVG = "{http://www.w3.org/2000/svg}"


def history(*errors: float) -> History:
    lines = [dict.fromkeys(COLUMNS, error) | {"epoch": epoch} for epoch, error in enumerate(errors, 1)]
    return History.of(lines)


def texts(drawing: Element) -> dict[str, tuple[float, float]]:
    return {
        text.text or "": (float(text.get("x", "nan")), float(text.get("y", "nan")))
        for text in drawing.iter(f"{SVG}text")
    }


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_few_round_and_within(low: float, span: float, most: int) -> None:
    found = plots.ticks(low, low + span, most)
    assert len(found) <= most + 1
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in found)


@pytest.mark.parametrize(
    ("low", "high", "most", "whole", "expected"),
    [
        (0, 1, 5, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-30, 60, 5, False, [-20, 0, 20, 40, 60]),
        (1, 3, 6, True, [1, 2, 3]),
        (1, 1, 6, True, [1]),
        (1, 30, 6, True, [5, 10, 15, 20, 25, 30]),
    ],
)
def test_ticks(low: float, high: float, most: int, whole: bool, expected: list[float]) -> None:
    assert plots.ticks(low, high, most, whole) == pytest.approx(expected)


def test_a_curve_passes_its_levels_where_it_has_their_value() -> None:
    drawing = fromstring(plots.curve(history(40, 20, 10), "error_pct", "error, %", {"the <paper>": 20.0}))
    (test,) = (path for path in drawing.iter(f"{SVG}path") if path.get("class") == "test")
    places = [tuple(map(float, place.split())) for place in re.split("[ML]", test.get("d", ""))[1:]]
    (level,) = (line for line in drawing.iter(f"{SVG}line") if line.get("class") == "level")
    assert float(level.get("y1", "nan")) == pytest.approx(places[1][1], abs=0.1)
    assert places[0][1] < places[1][1] < places[2][1]
    assert "the <paper> 20" in texts(drawing)
    assert texts(drawing)["2"][0] == pytest.approx(places[1][0], abs=0.1)


@pytest.mark.parametrize("errors", [(5.0,), (0.0, 0.0), (float("nan"), 1.0)])
def test_few_or_odd_values_are_drawn_too(errors: tuple[float, ...]) -> None:
    drawing = fromstring(plots.curve(history(*errors), "loss", "loss", {}))
    assert {"train", "test", "epoch", "loss"} <= texts(drawing).keys()


def test_reliability_has_a_point_on_the_diagonal_where_shares_are_the_probabilities() -> None:
    bins = [Bin(low=0.4, high=0.6, rows=4, right=2, probability=0.5)]
    bins += [Bin(low=0.8, high=1.0, rows=10, right=0, probability=0.9)]
    drawing = fromstring(plots.reliability(bins))
    level, *whiskers = (
        [float(line.get(end, "nan")) for end in ("x1", "y1", "x2", "y2")]
        for line in drawing.iter(f"{SVG}line")
        if line.get("class") in ("level", "test")
    )
    middle, right = (
        (float(circle.get("cx", "nan")), float(circle.get("cy", "nan"))) for circle in drawing.iter(f"{SVG}circle")
    )
    assert middle == pytest.approx(((level[0] + level[2]) / 2, (level[1] + level[3]) / 2), abs=0.1)
    assert right[1] == level[1]
    for (x, y), (x1, low, x2, high) in zip((middle, right), whiskers, strict=True):
        assert (x1, x2) == (x, x)
        assert high < y <= low
    assert {"probability of the predicted class", "share of right rows", "calibrated"} <= texts(drawing).keys()


def test_bars_begin_at_0() -> None:
    panel = Panel("LSTM", ["Pets & co", "News", "None"], [10.0, -5.0, None], [20.0, -10.0, None])
    drawing = fromstring(plots.relative(panel))
    (zero,) = (float(line.get("x1", "nan")) for line in drawing.iter(f"{SVG}line") if line.get("class") == "axis")
    right, left = drawing.iter(f"{SVG}rect")
    assert float(right.get("x", "nan")) == pytest.approx(zero)
    assert float(left.get("x", "nan")) + float(left.get("width", "nan")) == pytest.approx(zero, abs=0.1)
    assert float(right.get("width", "nan")) == pytest.approx(2 * float(left.get("width", "nan")), abs=0.2)
    assert len([path for path in drawing.iter(f"{SVG}path") if path.get("class") == "paper"]) == 2
    assert texts(drawing)["0"][0] == pytest.approx(zero)
    assert {"Pets & co", "−10"} <= texts(drawing).keys()
