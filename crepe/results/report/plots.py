"""Draw the report's charts as SVG elements of the page, whose style sheet has their classes.

Lengths are in units of the `viewBox`, about a pixel each; the page scales a chart to the width of its place.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from markupsafe import Markup

from crepe.records.history import History
from crepe.records.quality import Bin, wilson
from crepe.results.report.comparisons import Panel

WIDTH = 440
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 42
"""Margins around the axes of a learning curve."""
HEIGHT = 260
"""Height of a learning curve."""
NAMES = 168
"""Width of the names to the left of bars."""
BAR = 24
"""Distance from a bar to the next."""


def curve(history: History, quantity: str, label: str, levels: Mapping[str, float]) -> Markup:
    """Draw a learning curve: a quantity of the train and the test set by epoch or iteration.

    Args:
        history: the run's history.
        quantity: `loss` or `error_pct`, the name of a column without its `train_` or `test_`.
        label: label of the vertical axis.
        levels: other results to compare the curves with, a horizontal line each, by name.
    """
    numbers = [line.number for line in history.lines]
    lines = {split: [getattr(line, f"{split}_{quantity}") for line in history.lines] for split in ("train", "test")}
    across = _scale(numbers[0], max(numbers[-1], numbers[0] + 1), LEFT, WIDTH - RIGHT)
    highest = 1.05 * max(filter(math.isfinite, [*lines["train"], *lines["test"], *levels.values()]), default=1.0)
    up = _scale(0.0, highest or 1.0, HEIGHT - BOTTOM, TOP)
    parts: list[Markup] = []
    for tick in ticks(0.0, highest or 1.0, 5):
        parts += [
            _line("rule", LEFT, up(tick), WIDTH - RIGHT, up(tick)),
            _text(LEFT - 6, up(tick) + 4, _number(tick), "end"),
        ]
    for tick in ticks(numbers[0], numbers[-1], 6, whole=True):
        parts.append(_text(across(tick), HEIGHT - BOTTOM + 17, _number(tick), "middle"))
    parts += [
        _line("axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM),
        _text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, history.lines[0].unit, "middle"),
        _upright(label),
    ]
    parts += [_line("level", LEFT, up(level), WIDTH - RIGHT, up(level)) for level in levels.values()]
    for row, (split, values) in enumerate(lines.items()):
        places = [(across(x), up(y)) for x, y in zip(numbers, values, strict=True) if math.isfinite(y)]
        if len(places) == 1:
            ((x, y),) = places
            parts.append(Markup('<circle class="{}" cx="{}" cy="{}" r="3.5"/>').format(split, _round(x), _round(y)))
        else:
            parts.append(Markup('<path class="{}" d="M{}"/>').format(split, _path(places)))
        parts += _key(split, TOP + 10 + 18 * row)
    parts += _names(levels, up)
    return _svg("curve", HEIGHT, parts)


def reliability(bins: Sequence[Bin]) -> Markup:
    """Draw a reliability diagram: shares of right rows, with Wilson's intervals, by probability of the predicted class.

    Args:
        bins: see `crepe.records.quality.reliability`.
    """
    across, up = _scale(0.0, 1.0, LEFT, WIDTH - RIGHT), _scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    parts: list[Markup] = []
    for tick in ticks(0.0, 1.0, 5):
        parts += [
            _line("rule", LEFT, up(tick), WIDTH - RIGHT, up(tick)),
            _text(LEFT - 6, up(tick) + 4, _number(tick), "end"),
            _text(across(tick), HEIGHT - BOTTOM + 17, _number(tick), "middle"),
        ]
    parts += [
        _line("axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "probability of the predicted class", "middle"),
        _upright("share of right rows"),
        _line("level", across(0.0), up(0.0), across(1.0), up(1.0)),
        _text(across(0.22), up(0.3), "calibrated", "end", "level"),
    ]
    for part in bins:
        x = across(part.probability)
        low, high = (up(end) for end in wilson(part.right, part.rows))
        y = up(part.right / part.rows)
        parts.append(_line("test", x, low, x, high))
        parts.append(Markup('<circle class="test" cx="{}" cy="{}" r="3.5"/>').format(_round(x), _round(y)))
    return _svg("reliability", HEIGHT, parts)


def relative(panel: Panel) -> Markup:
    """Draw a panel of figure 3: a bar for each dataset of ours, a diamond for the paper's value."""
    known = [0.0, *(value for value in [*panel.ours, *panel.paper] if value is not None)]
    margin = 0.06 * (max(known) - min(known) or 1.0)
    bottom = TOP + BAR * len(panel.datasets)
    across = _scale(min(known) - margin, max(known) + margin, NAMES, WIDTH - RIGHT)
    parts: list[Markup] = []
    for tick in ticks(min(known), max(known), 6):
        parts += [
            _line("rule", across(tick), TOP, across(tick), bottom),
            _text(across(tick), bottom + 17, _number(tick), "middle"),
        ]
    for row, (name, ours, paper) in enumerate(zip(panel.datasets, panel.ours, panel.paper, strict=True)):
        middle = TOP + BAR * (row + 0.5)
        parts.append(_text(NAMES - 10, middle + 4, name, "end"))
        if ours is not None:
            begin, end = sorted((across(0.0), across(ours)))
            parts.append(
                Markup('<rect class="ours" x="{}" y="{}" width="{}" height="13"/>').format(
                    _round(begin), _round(middle - 6.5), _round(end - begin)
                )
            )
        if paper is not None:
            x = across(paper)
            corners = [(x, middle - 5), (x + 5, middle), (x, middle + 5), (x - 5, middle)]
            parts.append(Markup('<path class="paper" d="M{}z"/>').format(_path(corners)))
    parts += [
        _line("axis", across(0.0), TOP, across(0.0), bottom),
        _text((NAMES + WIDTH - RIGHT) / 2, bottom + 36, "relative error, %", "middle"),
    ]
    return _svg("bars", bottom + BOTTOM, parts)


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Choose round numbers from `low` to `high`, at most `most` + 1: multiples of 1, 2 or 5 times a power of ten.

    Args:
        low: the smallest number.
        high: the largest number.
        most: largest number of steps between the first and the last.
        whole: take whole numbers only.
    """
    least = max((high - low) / most, 1.0 if whole else 0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _svg(name: str, height: float, parts: Iterable[Markup]) -> Markup:
    begin = Markup('<svg class="chart {}" viewBox="0 0 {} {}" xmlns="http://www.w3.org/2000/svg">')
    return begin.format(name, WIDTH, _round(height)) + Markup("").join(parts) + Markup("</svg>")


def _names(levels: Mapping[str, float], up: Callable[[float], float]) -> Iterator[Markup]:
    """Yield the levels' names, each above its line, or below it if another line is too near."""
    above = -math.inf
    for name, level in sorted(levels.items(), key=lambda item: -item[1]):
        y = up(level)
        yield _text(LEFT + 5, y - 5 if y - above > 18 else y + 14, f"{name} {level:g}", "start", "level")
        above = y


def _key(split: str, y: float) -> Iterator[Markup]:
    """An entry of a learning curve's legend."""
    yield _line(split, WIDTH - RIGHT - 62, y - 4, WIDTH - RIGHT - 34, y - 4)
    yield _text(WIDTH - RIGHT, y, split, "end")


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A linear scale that puts `low` at `start` and `high` at `end`."""
    return lambda value: start + (end - start) * (value - low) / (high - low)


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    text = '<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>'
    return Markup(text).format(name, *map(_round, (x1, y1, x2, y2)))


def _text(x: float, y: float, text: str, anchor: str, name: str = "") -> Markup:
    kind = Markup(' class="{}"').format(name) if name else ""
    return Markup('<text{} x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, _round(x), _round(y), anchor, text)


def _upright(label: str) -> Markup:
    """The label of a vertical axis."""
    return Markup('<text transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
        _round(TOP + (HEIGHT - TOP - BOTTOM) / 2), label
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{_round(x)} {_round(y)}" for x, y in places)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _round(value: float) -> str:
    """Format a length, rounded to tenths, which are less than a pixel."""
    return f"{round(value, 1) + 0.0:g}"
