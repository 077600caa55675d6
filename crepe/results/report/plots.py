"""Figures as SVG elements that stand in the page: small, in its colours, light or dark."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from crepe.records.history import History
from crepe.results.report.comparisons import Panel

# Colours that the page replaces by its own, which follow its light or dark scheme.
_INK, _QUIET, _TRAIN, _TEST = "#010101", "#020202", "#030303", "#040404"
_COLOURS = {_INK: "currentColor", _QUIET: "var(--quiet)", _TRAIN: "var(--train)", _TEST: "var(--test)"}
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.1,
    "xtick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.color": _QUIET,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
}


def curve(history: History, quantity: str, label: str, salt: str, levels: Mapping[str, float]) -> Markup:
    """A learning curve as an SVG element: a quantity of the train and the test set by epoch.

    Args:
        history: the run's history.
        quantity: `loss` or `error_pct`, what follows `train_` and `test_` in the columns' names.
        label: of the vertical axis.
        salt: makes the ids in the figure differ from those of the page's other figures.
        levels: what to see the curves beside, a horizontal line each, by name.
    """
    with _figure(4.4, 2.6, (0.11, 0.17, 0.87, 0.79), salt) as (axes, drawn):
        marker = "o" if len(history.epochs) == 1 else ""
        epochs = [line.epoch for line in history.epochs]
        for split, colour, style in (("train", _TRAIN, "--"), ("test", _TEST, "-")):
            values = [getattr(line, f"{split}_{quantity}") for line in history.epochs]
            axes.plot(epochs, values, style, color=colour, marker=marker, label=split)
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        for above, (name, level) in enumerate(sorted(levels.items(), key=lambda item: item[1])):
            axes.axhline(level, color=_QUIET, linewidth=0.8, linestyle=":")
            # The higher line's name stands above it, the lower one's below.
            place: dict[str, Any] = {"va": "bottom" if above else "top", "ha": "left", "color": _QUIET, "fontsize": 8}
            axes.annotate(f"{name} {level:g}", (0.01, level), xycoords=("axes fraction", "data"), **place)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.legend(loc="upper right")
    return drawn()


def relative(panel: Panel, salt: str) -> Markup:
    """A panel of figure 3 as an SVG element: a bar for each dataset of ours, a mark for the paper's."""
    with _figure(4.4, 0.9 + 0.24 * len(panel.datasets), (0.36, 0.2, 0.6, 0.76), salt) as (axes, drawn):
        places = range(len(panel.datasets))
        axes.barh(places, [value or 0 for value in panel.ours], height=0.55, color=_TEST, alpha=0.75)
        paper = [(value, place) for place, value in enumerate(panel.paper) if value is not None]
        axes.plot(*zip(*paper, strict=True) if paper else ((), ()), "D", color=_TRAIN, markersize=4)
        axes.axvline(0, color=_QUIET, linewidth=0.8)
        axes.set(xlabel="relative error, %", yticks=places, yticklabels=panel.datasets, ylim=(len(places) - 0.5, -0.5))
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.margins(x=0.08)
    return drawn()


@contextmanager
def _figure(
    width: float, height: float, place: tuple[float, float, float, float], salt: str
) -> Iterator[tuple[Axes, Callable[[], Markup]]]:
    """Axes to draw on within the block, and a function that gives the SVG element after it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever a user's own matplotlibrc says
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes(place)
        stream = StringIO()
        yield axes, lambda: _inline(stream.getvalue())
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=no_metadata)


def _inline(svg: str) -> Markup:
    """A figure fit to stand in a page: small, without prologue and style sheet, in the page's colours and width."""
    svg = svg[svg.index("<svg") :]
    for pattern, replacement in (
        (r"\s+", " "),
        ("> <", "><"),
        ("<defs><style.*?</style></defs>", ""),
        ('(<svg [^>]*?) width="[^"]*" height="[^"]*"', r"\1"),
        ("<[^>]*>", _rounded),
        # Nothing lies outside the axes, and groups without attributes do nothing.
        ("<defs><clipPath.*?</clipPath></defs>", ""),
        (' clip-path="[^"]*"| id="(figure|axes|patch|line2d|matplotlib|text|xtick|ytick|legend)[^"]*"', ""),
        ("</?g>", ""),
        ('<path d="[^"]*z " style="fill: none"/>', ""),
        (' transform="rotate[(]-0 [^"]*"', ""),
        (" font-family: [^;]*;| ?stroke-line(join: (miter|round)|cap: (butt|square));?| ?stroke-dashoffset: 0;", ""),
        ("([MLCz]) ", r"\1"),
    ):
        svg = re.sub(pattern, replacement, svg)
    for colour, own in _COLOURS.items():
        svg = svg.replace(colour, own)
    return Markup(svg)


def _rounded(tag: re.Match[str]) -> str:
    """A tag with its numbers cut to tenths of a point, which is less than a pixel."""
    return re.sub(r"(\d\.\d)\d+", r"\1", tag[0])
