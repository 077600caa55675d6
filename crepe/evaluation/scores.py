"""Show the metrics of tested runs, each with its 95 % interval; nothing is trained or tested.

    crepe scores results/paper/runs/ag_news/bow/0
    crepe scores results/paper/runs/ag_news/* --json

They are computed from `predictions.parquet`, for runs of earlier versions, too, whose files lack a column that the
Brier score of more than two classes needs: `crepe evaluate` writes it. Where there is no `predictions.parquet`, as in
a clone without the data, `metrics.json` still gives those that its confusion matrix determines.
The definitions and the intervals, with their sources, are in crepe/records/quality.py.
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crepe.layout import PREDICTIONS
from crepe.records import predictions
from crepe.records.metrics import Metrics
from crepe.records.quality import LABELS, Estimate, Quality
from crepe.records.run import RunRecord


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a tested run")
    parser.add_argument("--json", action="store_true", help="print a JSON object with the metrics of each run")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    found = {run: read(run) for run in options.runs}
    if options.json:
        print(json.dumps({str(run): _plain(metrics) for run, (_, metrics) in found.items()}, indent=2))
        return
    for run, (record, metrics) in found.items():
        _print(run, record, metrics)


def read(run: Path) -> tuple[RunRecord, Metrics]:
    """Read a run's record and metrics, and compute those that its predictions determine.

    Raises:
        CrepeError: a file of the run is missing, damaged, or contradicts another.
    """
    record = RunRecord.read(run)
    metrics = Metrics.read(run, record)
    if (run / PREDICTIONS).exists():
        columns = predictions.read(run, record, metrics)
        metrics = metrics.with_quality(predictions.quality(columns, len(record.classes)))
    return record, metrics


def _plain(metrics: Metrics) -> dict[str, Any]:
    content = metrics.as_dict()
    names = ("rows", "errors", "error_pct", "ci_low", "ci_high", *(field.name for field in fields(Quality)))
    return {name: content[name] for name in names}


def _print(run: Path, record: RunRecord, metrics: Metrics) -> None:
    console = Console(width=max(140, Console().width))
    print(f"{run}: {metrics.rows:,} test rows")
    table = Table("metric", "value", "95 % interval")
    error = f"{metrics.ci_low:.2f} to {metrics.ci_high:.2f}"
    table.add_row("error, %", f"{metrics.error_pct:.2f}", error)
    missing = []
    for name, label in LABELS.items():
        estimate = getattr(metrics, name)
        if estimate is None:
            missing.append(label)
        else:
            table.add_row(label, *_cells(estimate))
    console.print(table)
    classes = Table("class", "test rows", "precision", "95 %", "recall", "95 %", "F1", "95 %")
    for name, part in zip(record.classes, metrics.by_class or [], strict=True):
        cells = [cell for estimate in (part.precision, part.recall, part.f1) for cell in _cells(estimate)]
        classes.add_row(name.replace("[", r"\["), f"{part.support:,}", *cells)
    console.print(classes)
    if missing:
        print(f"Not known: {', '.join(missing)}. `crepe evaluate` tests the run again and records them.")


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return "", ""
    return f"{estimate.value:.4f}", f"{estimate.low:.4f} to {estimate.high:.4f}"
