"""Write a study's report: results/STUDY/report.html, one self-contained page.

    crepe report --config config/demo.yaml

It compares the study's results with the paper's table 4, table 3 and figure 3, and with later work. Each cell opens
its runs: learning curves, metrics as a whole and by class, reliability of the probabilities, confusion matrix, most
confident errors, kernels of the first layer, provenance, and the commands that reproduce it. On datasets of your own
whose classes have unlike sizes, cells begin with macro-F1.

The page holds test texts, which the datasets' terms forbid passing on. To make a copy that you may share, run
`crepe report --without-texts --output copy.html`.
"""

import argparse
import hashlib
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from crepe import layout
from crepe.config import Config, load
from crepe.errors import CrepeError
from crepe.io.files import alone, write_text
from crepe.options import add_config, add_partial
from crepe.records.history import History
from crepe.records.quality import LABELS
from crepe.results.grid import MARKS, Cell, Grid, Run, commands, grids, provenance
from crepe.results.report.comparisons import FAMILIES, REFERENCES, Reference, family, figure3, references, statistics
from crepe.results.report.layer import layer
from crepe.results.report.plots import curve, relative, reliability
from crepe.results.report.texts import Texts

VERDICTS = {
    "better": ("▼", "better than the paper"),
    "worse": ("▲", "worse than the paper"),
    "same": ("≈", "as the paper: the interval contains its figure"),
    "other": ("", "not comparable with the paper"),
}
"""Outcomes of comparing a cell with the paper's: a sign and its meaning."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config(parser)
    add_partial(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: results/STUDY/report.html")
    parser.add_argument(
        "--without-texts", action="store_true", help="leave out all texts, for a copy that you may share"
    )


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    whole = layout.partial_results(config.name, "html") if options.partial else layout.report(config.name)
    output = options.output or whole
    html = page(config, texts=not options.without_texts, partial=options.partial)
    with alone(output.parent, output.name):
        write_text(output, html)
    print(output)


def page(config: Config, texts: bool = True, partial: bool = False) -> str:
    """Build the report of a study, a whole HTML document.

    Args:
        config: the study.
        texts: whether to show pieces of test texts.
        partial: whether to leave out runs that were trained with other settings than the configuration has now.

    Raises:
        CrepeError: a run is damaged or contradicts itself, or a file cannot be read.
    """
    found = grids(config, current=partial)
    runs = [run for grid in found for run in grid.runs]
    reader = Texts() if texts else None
    environment = Environment(
        loader=PackageLoader(__name__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": _signed, "verdict": _verdict, "strength": _strength, "key": _key, "span": _span}
    script, _, _ = environment.loader.get_source(environment, "page.js")  # type: ignore[union-attr]
    beside = [references(grid, config) for grid in found]
    families = {model: family(config, model) for grid in found for model in grid.models}
    return environment.get_template("page.html").render(
        config=config,
        partial=partial,
        grids=list(zip(found, beside, strict=True)),
        chosen=sum(config.chosen(cell.dataset, cell.model) for grid in found for cell in grid),
        families=families,
        family_names=_names({*families.values(), *([REFERENCES] if any(beside) else [])}),
        counts=Counter(_verdict(cell) for grid in found for cell in grid if cell.runs),
        statistics=statistics(found, config),
        panels=[(panel, relative(panel)) for panel in figure3(found) if panel.datasets],
        cells=[
            _cell(config, grid, cell, lines, reader)
            for grid, lines in zip(found, beside, strict=True)
            for cell in grid
            if cell.runs
        ],
        labels=LABELS,
        uneven=[cell.uneven for grid in found for cell in grid if cell.runs],
        marks=MARKS,
        verdicts=VERDICTS,
        provenance=provenance(runs) if runs else "",
        texts=texts,
        script=script,
        script_hash=b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode(),
    )


def _names(families: set[str]) -> dict[str, str]:
    """Names of the given families, in the order of `FAMILIES`, then the others."""
    return {key: FAMILIES.get(key, key) for key in [*FAMILIES, *sorted(families - FAMILIES.keys())] if key in families}


def _cell(config: Config, grid: Grid, cell: Cell, lines: list[Reference], reader: Texts | None) -> dict[str, Any]:
    """Values of the template for a cell with runs."""
    levels = {} if cell.paper_error is None else {"paper": cell.paper_error}
    later = {line.title: line.errors[cell.dataset] for line in lines if line.later and cell.dataset in line.errors}
    if later:
        best = min(later, key=lambda title: later[title])
        levels[best] = later[best]
    return {
        "cell": cell,
        "title": f"{grid.models[cell.model]} on {grid.datasets[cell.dataset]}",
        "runs": [_run(config, run, levels, reader) for run in cell.runs],
    }


def _run(config: Config, run: Run, levels: dict[str, float], reader: Texts | None) -> dict[str, Any]:
    """Values of the template for a run."""
    record = run.record
    train, evaluate = commands(config, record.dataset, record.model, record.seed)
    try:
        history = History.read(run.folder, record)
    except CrepeError as error:
        raise CrepeError(error.subject, error.fault, f"run `{train}` again") from error
    last = history.lines[-1]
    after = f"by {last.unit}; after {last.unit} {last.number}"
    return {
        "run": run,
        "figures": [
            {
                "label": f"{title} {after}: train {train_last:.4g}, test {test_last:.4g}",
                "svg": curve(history, quantity, title, beside),
            }
            for quantity, title, train_last, test_last, beside in (
                ("error_pct", "error, %", last.train_error_pct, last.test_error_pct, levels),
                ("loss", "loss", last.train_loss, last.test_loss, {}),
            )
        ],
        "reliability": reliability(run.metrics.reliability) if run.metrics.reliability else None,
        "wrong": reader.surest_errors(run) if reader else "This copy has no texts.",
        "layer": layer(config, run, texts=reader is not None),
        "commands": [train if record.complete else f"{train} --steps {record.batches}", evaluate],
    }


def _key(of: Run | Cell) -> str:
    """The HTML id of a run or a cell."""
    if isinstance(of, Cell):
        return f"cell-{of.dataset}-{of.model}".replace(".", "_")
    return f"run-{of.record.dataset}-{of.record.model}-{of.record.seed}".replace(".", "_")


def _signed(number: float) -> str:
    """Format a number with a sign and two decimals."""
    return f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")


def _span(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds."""
    hours, rest = divmod(round(seconds), 3600)
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{seconds:.0f} s"


def _verdict(cell: Cell) -> str:
    """A key of `VERDICTS`: how a cell compares with the paper's."""
    if cell.delta is None or {"subset", "short"} & set(cell.marks):
        return "other"
    low = min(run.metrics.ci_low for run in cell.runs)
    high = max(run.metrics.ci_high for run in cell.runs)
    if low <= (cell.paper_error or 0.0) <= high:
        return "same"
    return "better" if cell.delta < 0 else "worse"


def _strength(cell: Cell) -> int:
    """Return the strength of a cell's colour, 0 to 100: the difference in percent of the paper's error."""
    return round(min(100.0, 100.0 * abs(cell.delta or 0.0) / (cell.paper_error or 1.0)))
