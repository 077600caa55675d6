"""Write a study's results beside the paper's table 4: results/STUDY/table.csv for programs, table.md for readers.

    crepe table --config config/demo.yaml
    crepe table --config config/demo.yaml --metric macro_f1

`--metric` writes no file: it prints table.md with another metric in place of the test error.

table.csv has a line for each dataset, model and seed, with all 22 x 8 cells of the paper; the results of cells that
were not run are blank. Its columns after `dataset`, `model` and `seed`:

    error_pct             test error in percent
    ci_low, ci_high       its 95 % interval (Wilson)
    paper_error_pct       the paper's test error in percent
    delta                 ours minus the paper's, in percentage points
    rows                  train rows
    epochs                epochs trained
    status                empty if not run, else `complete` or what differs from the paper's run, as table.md explains:
                          `subset`, `short`, `learnt`, `guessing`
    seeds                 number of seeds that were run; the same in each of their lines, as the next two
    mean_pct, std_pct     mean and standard deviation of the seeds' test errors; std_pct is blank for one seed
    macro_f1, balanced_accuracy, matthews, log_loss, brier, calibration_error
                          other metrics (crepe/records/quality.py); blank where metrics.json does not have them
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from crepe import layout
from crepe.config import Config, load
from crepe.io.files import alone, clear, replacing, write_text
from crepe.options import add_config, add_partial
from crepe.records.quality import LABELS, OF_CONFUSION
from crepe.results.grid import MARKS, Cell, Grid, grids, provenance

COLUMNS = {
    "dataset": pl.String,
    "model": pl.String,
    "seed": pl.Int64,
    "error_pct": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "paper_error_pct": pl.Float64,
    "delta": pl.Float64,
    "rows": pl.Int64,
    "epochs": pl.Int64,
    "status": pl.String,
    "seeds": pl.Int64,
    "mean_pct": pl.Float64,
    "std_pct": pl.Float64,
    **dict.fromkeys(LABELS, pl.Float64),
}

_LEGEND = """\
Each cell has test errors in percent: ours / the paper's / ours minus the paper's. A cell that was not run
starts with /. For several seeds, ours is their mean ± standard deviation (number of seeds).
"""

_LEGEND_OF_METRIC = """\
Each cell has the {} of the test rows; {} is better. A cell that was not run is blank. For several seeds, it is
their mean ± standard deviation (number of seeds). It is not known where metrics.json was written by an earlier version;
`crepe evaluate` tests such a run again.
"""
_BETTER = {name: "higher" if name in OF_CONFUSION else "lower" for name in LABELS}
"""Whether a metric is better if it is higher, or lower."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config(parser)
    add_partial(parser)
    parser.add_argument(
        "--metric",
        choices=["error_pct", *LABELS],
        metavar="METRIC",
        help=f"print the table of this metric, and write no file: error_pct, {', '.join(LABELS)}",
    )


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    if options.metric:
        text = markdown(config, grids(config, current=options.partial), options.partial, options.metric)
        print(text, end="")
    else:
        write(config, options.partial)


def write(config: Config, partial: bool = False) -> None:
    """Write `table.csv` and `table.md` of a study from its runs and the paper's tables, and its `layout.dvc_metrics`.

    Args:
        config: the study.
        partial: whether to write `partial.csv` and `partial.md` in their place, from those runs that were trained with
            the settings that the configuration has now.

    Raises:
        CrepeError: a run is damaged or contradicts itself, or a file cannot be read or written.
    """
    found = grids(config, current=partial)
    named = layout.partial_results if partial else layout.table
    csv, text = named(config.name, "csv"), named(config.name, "md")
    with alone(csv.parent, csv.name), alone(text.parent, text.name):
        with replacing(csv) as temporary:
            table(config, found).write_csv(temporary)
        write_text(text, markdown(config, found, partial))
        if not partial:
            _write_metrics(config, found)


def _write_metrics(config: Config, found: list[Grid]) -> None:
    """Write the test errors of each dataset, `{model: percent}`, and remove those of datasets that the study had.

    Call it while the study's table is locked.
    """
    clear(layout.study(config.name) / layout.DVC_METRICS)
    errors: dict[str, dict[str, float]] = {dataset: {} for dataset in config.datasets}
    for cell in (cell for grid in found for cell in grid):
        if cell.error is not None:
            errors[cell.dataset][cell.model] = round(cell.error, 4)
    paths = {layout.dvc_metrics(config.name, dataset): content for dataset, content in errors.items()}
    for path, content in paths.items():
        write_text(path, json.dumps(content, indent=2) + "\n")
    for path in (layout.study(config.name) / layout.DVC_METRICS).glob("*.json"):
        if path not in paths:
            path.unlink()


def table(config: Config, found: list[Grid]) -> pl.DataFrame:
    """Build the content of table.csv, columns as in `COLUMNS`; errors are rounded to 4 decimals, other metrics to 6."""
    return pl.DataFrame(
        [line for grid in found for cell in grid for line in _lines(config, cell)], COLUMNS, orient="row"
    )


def markdown(config: Config, found: list[Grid], partial: bool = False, metric: str = "error_pct") -> str:
    """Build the text of table.md: a legend, the grids, and the runs' commits and devices.

    Args:
        config: the study.
        found: its grids.
        partial: whether to say that it is unfinished.
        metric: `error_pct`, beside the paper's errors, or a key of `LABELS`, which the paper does not have.
    """
    error = metric == "error_pct"
    parts = [f"# Study `{config.name}` beside the paper's table 4" if error else f"# Study `{config.name}`", ""]
    runs = [run for grid in found for run in grid.runs]
    if partial:
        parts += [f"**Partial: {len(runs)} of {len(config.runs)} runs.**", ""]
    parts += [_LEGEND if error else _LEGEND_OF_METRIC.format(LABELS[metric], _BETTER[metric])]
    parts += [*(f"- {sign} {meaning}" for sign, meaning in MARKS.values()), ""]
    for grid in found:
        parts += [f"## {grid.title}", "", *_rows(grid, metric), ""]
    return "\n".join([*parts, f"Runs: {len(runs)}. {provenance(runs)}" if runs else "Runs: none yet.", ""])


def _lines(config: Config, cell: Cell) -> Iterator[list[Any]]:
    """Yield a line for each of the study's seeds, or one without a seed where the study does not have the cell."""
    runs = {run.record.seed: run for run in cell.runs}
    paper = cell.paper_error
    mean, spread = (None if figure is None else round(figure, 4) for figure in (cell.error, cell.spread))
    together = [len(runs) or None, mean, spread]
    unknown = [None] * len(LABELS)
    for seed in sorted(config.seeds) if config.chosen(cell.dataset, cell.model) else [None]:
        place = [cell.dataset, cell.model, seed]
        if seed not in runs:
            yield [*place, None, None, None, paper, None, None, None, None, *together, *unknown]
            continue
        run = runs[seed]
        metrics = run.metrics
        error, low, high = (round(x, 4) for x in (metrics.error_pct, metrics.ci_low, metrics.ci_high))
        delta = None if paper is None else round(error - paper, 4)
        status = " ".join(cell.marks_of(run)) or "complete"
        rows, epochs = run.record.rows.train, run.record.epochs
        values = [metrics.value(name) for name in LABELS]
        others = [None if value is None else round(value, 6) for value in values]
        yield [*place, error, low, high, paper, delta, rows, epochs, status, *together, *others]


def _rows(grid: Grid, metric: str) -> Iterator[str]:
    """Yield a Markdown table's lines; of the error, the last has those of always naming the largest class."""
    yield _row(["Model", *grid.datasets.values()])
    yield "|---|" + "---:|" * len(grid.datasets)
    for model, name in grid.models.items():
        yield _row([name, *(_text(grid.cells[dataset, model], metric) for dataset in grid.datasets)])
    if metric != "error_pct":
        return
    guesses = {run.record.dataset: run.metrics.guess for run in grid.runs}
    if guesses:
        row = (f"{guesses[dataset]:.2f}" if dataset in guesses else "" for dataset in grid.datasets)
        yield _row(["(always the largest class)", *row])


def _row(fields: list[str]) -> str:
    return "| " + " | ".join(field.replace("|", "\\|") for field in fields) + " |"


def _text(cell: Cell, metric: str) -> str:
    digits = 2 if metric == "error_pct" else 4
    mean, spread = cell.mean(metric), cell.deviation(metric)
    ours = ("not known" if cell.runs else "") if mean is None else f"{mean:.{digits}f}"
    if spread is not None:
        ours += f" ± {spread:.{digits}f} ({len(cell.runs)})"
    ours += "".join(MARKS[mark][0] for mark in cell.marks)
    if metric != "error_pct" or cell.paper is None or cell.paper.error is None:
        return ours
    delta = "" if cell.delta is None else f"{round(cell.delta, 2) + 0.0:+.2f}"
    return f"{ours} / {cell.paper.error:.2f} / {delta}".strip()
