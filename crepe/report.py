"""Write a study's report: results/STUDY/report.html, one page that needs nothing beside it and no network.

    crepe report --config config/demo.yaml

It has the grid of table 4 with the study's results, and for each run its learning curves, its confusion matrix, where
it comes from and the commands that make it again.
"""

import argparse
import re
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from crepe.config import Config, load
from crepe.errors import CrepeError
from crepe.files import write_text
from crepe.results import DOUBTS, MARKS, Cell, Run, commands, grids, provenance

TEMPLATES = Path(__file__).parent / "templates"

# Colours that the page replaces by its own, which follow its light or dark scheme.
_INK, _TRAIN, _TEST = "#010101", "#020202", "#030303"
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--config", metavar="OVERLAY", help="laid over the default configuration: a file or JSON text")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    write_text(Path("results") / config.name / "report.html", page(config))


def page(config: Config) -> str:
    """The report of a study, a whole HTML document.

    Raises:
        CrepeError: a run is damaged or contradicts itself, or a file cannot be read.
    """
    found = grids(config)
    runs = [run for grid in found for run in grid.runs]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": _signed, "verdict": _verdict, "key": _key}
    return environment.get_template("report.html").render(
        config=config,
        grids=found,
        runs=[_section(config, run) for run in runs],
        marks=MARKS,
        doubts=DOUBTS,
        provenance=provenance(runs) if runs else "",
    )


def curve(history: pl.DataFrame, quantity: str, label: str, salt: str) -> Markup:
    """A learning curve as an SVG element: a quantity of the train and the test set by epoch.

    Args:
        history: lines of history.csv.
        quantity: `loss` or `error_pct`, what follows `train_` and `test_` in the columns' names.
        label: of the vertical axis.
        salt: makes the ids in the figure differ from those of the page's other figures.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever a user's own matplotlibrc says
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        axes = figure.subplots()
        marker = "o" if len(history) == 1 else ""
        for split, colour, line in (("train", _TRAIN, "--"), ("test", _TEST, "-")):
            axes.plot(history["epoch"], history[f"{split}_{quantity}"], line, color=colour, marker=marker, label=split)
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.legend()
        stream = StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=no_metadata)
    return _inline(stream.getvalue())


def _inline(svg: str) -> Markup:
    """A figure fit to stand in a page: small, without prologue and style sheet, in the page's colours and width."""
    svg = svg[svg.index("<svg") :]
    for pattern, replacement in (
        (r"\s+", " "),
        ("> <", "><"),
        ("<defs><style.*?</style></defs>", ""),
        ('(<svg [^>]*?) width="[^"]*" height="[^"]*"', r"\1"),
        ('<g id="[^"]*">', "<g>"),  # the ids that are referred to are made from the salt
        (_INK, "currentColor"),
        (_TRAIN, "var(--train)"),
        (_TEST, "var(--test)"),
    ):
        svg = re.sub(pattern, replacement, svg)
    return Markup(svg)


def _section(config: Config, run: Run) -> dict[str, Any]:
    """What the page says of a run."""
    record = run.record
    train, evaluate = commands(config, record["dataset"], record["model"], run.seed)
    history = _read_history(run.folder / "history.csv", train)
    last = history.row(-1, named=True)
    return {
        "run": run,
        "title": f"{record['model']} on {config.dataset(record['dataset']).title}, seed {run.seed}",
        "figures": [
            {
                "label": f"{title} by epoch; after epoch {last['epoch']}: "
                f"train {last[f'train_{quantity}']:.4g}, test {last[f'test_{quantity}']:.4g}",
                "svg": curve(history, quantity, title, f"{_key(run)} {quantity}"),
            }
            for quantity, title in (("error_pct", "error, %"), ("loss", "loss"))
        ],
        "commands": [train if record["complete"] else f"{train} --steps {record['minibatches']}", evaluate],
    }


def _read_history(path: Path, again: str) -> pl.DataFrame:
    names = [f"{split}_{quantity}" for quantity in ("loss", "error_pct") for split in ("train", "test")]
    columns = {"epoch": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    try:
        history = pl.read_csv(path, columns=list(columns), schema_overrides=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CrepeError(f"{path}: is not the history of a run ({error}); run `{again}` again") from error
    if history.is_empty() or any(history.null_count().row(0)):
        raise CrepeError(f"{path}: has no lines or lacks values; run `{again}` again")
    return history


def _key(run: Run) -> str:
    """A run's id in the page."""
    return f"run-{run.record['dataset']}-{run.record['model']}-{run.seed}".replace(".", "_")


def _signed(number: float) -> str:
    """Two decimals with a sign, a true minus."""
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")


def _verdict(cell: Cell) -> str:
    """`better`, `worse` or `same` (the interval holds the paper's error); `other` where they cannot be compared."""
    if cell.delta is None or {"subset", "short"} & set(cell.marks):
        return "other"
    low = min(run.metrics["ci_low"] for run in cell.runs)
    high = max(run.metrics["ci_high"] for run in cell.runs)
    if low <= (cell.paper_error or 0.0) <= high:
        return "same"
    return "better" if cell.delta < 0 else "worse"
