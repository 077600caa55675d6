"""Partial tables and reports of a study that Snakemake could not finish, apart from the outputs of its rules."""

import subprocess
import sys
from pathlib import Path

from crepe import layout


def show(study: str, config: str) -> None:
    """Write a study's partial table and report, and remove the whole ones if they differ.

    A table of earlier settings could be mistaken for one of the present settings. Snakemake makes it again when all
    runs are there. The outputs of the rules are never written: Snakemake would take a partial table for the whole one.

    Args:
        study: its name.
        config: its configuration, as `crepe table --config` takes it.
    """
    for command in ("table", "report"):
        if subprocess.call([sys.executable, "-m", "crepe", command, "--partial", "--config", config]):
            return
    table, partial = layout.table(study), layout.partial_results(study)
    if table.exists() and table.read_bytes() == partial.read_bytes():
        forget(study)
        return
    for path in (table, layout.table(study, "md"), layout.report(study), *_metrics(study)):
        path.unlink(missing_ok=True)
    print(
        f"What is there of the study: {layout.partial_results(study, 'md')}, {layout.partial_results(study, 'html')}",
        file=sys.stderr,
    )


def forget(study: str) -> None:
    """Remove a study's partial table and report."""
    for suffix in ("csv", "md", "html"):
        layout.partial_results(study, suffix).unlink(missing_ok=True)


def _metrics(study: str) -> list[Path]:
    return list((layout.study(study) / layout.DVC_METRICS).glob("*.json"))
