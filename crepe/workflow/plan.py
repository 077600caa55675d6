"""Estimate what a study takes, before anything runs: downloads, disk, memory, time, and money.

    crepe plan
    crepe plan --config config/pets.yaml --machine "NVIDIA H200" --price 4 --gpus 2

Times come from measured speeds in config/speeds.csv, of this machine unless `--machine` names another;
`crepe bench --save` adds the speed of a model here. What was not measured on a machine is scaled from another, and
marked with ~; with ? it is a guess. Steps that prepare data may run beside trainings: the whole takes at least as long
as the trainings, and at most as long as the sum.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from crepe.config import Config, load
from crepe.config.jobs import jobs
from crepe.errors import CrepeError
from crepe.models.device import choose_device, describe
from crepe.options import add_config
from crepe.records.speeds import Speeds
from crepe.workflow.costs import BANDWIDTH, Costs, Need

TRAINING = ("train", "evaluate")
DOWNLOADS = ("download", "thesaurus", "published")
MARKS = {"measured": "", "scaled": "~", "guessed": "?"}


@dataclass(frozen=True, slots=True)
class Line:
    """The needs of the jobs of one kind."""

    step: str
    kind: str
    """Key of a feature, vectors or a model; empty for other steps."""
    jobs: int
    hours: float
    """The time of all jobs, one after the other."""
    basis: str
    """See `crepe.records.speeds.Cost`; the weakest of the jobs."""
    memory_bytes: int
    """Memory of the largest job."""
    disk_bytes: int
    """Size of the files that all jobs leave."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config(parser)
    parser.add_argument(
        "--machine", metavar="NAME", help="a machine of config/speeds.csv that trains (default: this machine)"
    )
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="trainings at a time (default: 1)")
    parser.add_argument("--price", type=float, metavar="P", help="price of the machine for an hour, in any currency")
    parser.add_argument(
        "--bandwidth", type=float, default=BANDWIDTH, metavar="MB/S", help=f"of downloads (default: {BANDWIDTH:g})"
    )
    parser.add_argument("--json", action="store_true", help="print an object instead of a table")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    for name, least in (("gpus", 1), ("price", 0), ("bandwidth", 1e-3)):
        value = getattr(options, name)
        if value is not None and not least <= value < float("inf"):
            raise CrepeError(f"--{name} {value}", f"must be {least} or more")
    config, speeds = load(options.config), Speeds.read()
    machine, note = choose_machine(speeds, options.machine)
    found = lines(Costs(config, speeds, machine, options.bandwidth))
    whole = summary(config, found, options.gpus, options.price)
    if options.json:
        facts = {"study": config.name, "machine": machine, "note": note, "gpus": options.gpus}
        print(json.dumps({**facts, **whole, "steps": [asdict(line) for line in found]}, indent=2))
    else:
        _print(config, machine, note, found, whole, options)


def choose_machine(speeds: Speeds, name: str | None) -> tuple[str, str]:
    """Name of the machine whose speeds to take, and a note if it is another than meant.

    Args:
        speeds: measured speeds.
        name: the machine's; None for this machine, or else for one whose figures stand first in the table.

    Raises:
        CrepeError: no machine of that name was measured.
    """
    known = speeds.machines
    if name is not None and name not in known:
        raise CrepeError(
            f"--machine {name}", "has no measured speeds", f"run `crepe bench --save` there, or take {', '.join(known)}"
        )
    here = name or describe(choose_device())
    if here in known:
        return here, ""
    if not known:
        raise CrepeError("config/speeds.csv", "has no speed of a training", "run `crepe bench --save`")
    return known[0], f"nothing was measured on {here}: the speeds are of {known[0]}; `crepe bench --save` measures here"


def lines(costs: Costs) -> list[Line]:
    """Sum the needs of a study's jobs, by step and kind, in the workflow's order."""
    groups: dict[tuple[str, str], list[Need]] = {}
    for job in jobs(costs.config):
        kind = ""
        if job.rule == "train":
            kind = job.keys[1]
        elif job.rule in ("encode", "vectors"):
            kind = job.keys[0]
        groups.setdefault((job.rule, kind), []).append(costs.need(job))
    return [_line(step, kind, needs) for (step, kind), needs in groups.items()]


def _line(step: str, kind: str, needs: list[Need]) -> Line:
    return Line(
        step,
        kind,
        len(needs),
        round(sum(need.seconds for need in needs) / 3600, 3),
        max((need.basis for need in needs), key=list(MARKS).index),
        round(max(need.memory for need in needs)),
        round(sum(need.disk for need in needs)),
    )


def summary(config: Config, found: Iterable[Line], gpus: int, price: float | None) -> dict[str, Any]:
    """Sums of the lines: `download_bytes`, `disk_bytes`, `memory_bytes`, `hours` (of all steps, trainings at a time
    counted), `training_hours` (of one GPU), `runs`, and `price` of the hours.
    """
    found = list(found)
    training = sum(line.hours for line in found if line.step in TRAINING)
    hours = sum(line.hours for line in found) - training + training / gpus
    return {
        "runs": len(config.runs),
        "download_bytes": sum(line.disk_bytes for line in found if line.step in DOWNLOADS),
        "disk_bytes": sum(line.disk_bytes for line in found),
        "memory_bytes": max(line.memory_bytes for line in found),
        "training_hours": round(training, 2),
        "hours": round(hours, 2),
        "price": None if price is None else round(price * hours, 2),
    }


def _print(
    config: Config, machine: str, note: str, found: list[Line], whole: dict[str, Any], options: argparse.Namespace
) -> None:
    table = Table("step", title=f"{config.name}: {whole['runs']} runs on {machine}", title_justify="left")
    for name in ("jobs", "hours", "memory, GB", "disk, GB"):
        table.add_column(name, justify="right")
    for line in found:
        mark = MARKS[line.basis]
        sizes = (f"{size / 1e9:,.2f}" for size in (line.memory_bytes, line.disk_bytes))
        table.add_row(f"{line.step} {line.kind}".strip(), str(line.jobs), f"{mark}{line.hours:,.2f}", *sizes)
    console = Console()
    console.print(table)
    says = [
        f"Downloads: {whole['download_bytes'] / 1e9:,.2f} GB. Disk: {whole['disk_bytes'] / 1e9:,.1f} GB with them. "
        f"Memory: {whole['memory_bytes'] / 1e9:,.1f} GB for the largest step.",
        f"Time: {_span(whole['hours'])}, of which trainings and tests, {options.gpus} at a time, take "
        f"{_span(whole['training_hours'] / options.gpus)}.",
    ]
    if whole["price"] is not None:
        says.append(f"Price: {whole['price']:,.2f} at {options.price:g} an hour.")
    if bases := {line.basis for line in found} - {"measured"}:
        meanings = {"scaled": "~ scaled from another machine", "guessed": "? a guess"}
        says.append("; ".join(meanings[basis] for basis in meanings if basis in bases) + ".")
    for text in [*says, *([f"Note: {note}"] if note else [])]:
        console.print(text, highlight=False)


def _span(hours: float) -> str:
    """A time for readers, in minutes, hours or days."""
    if hours < 1:
        return f"{max(1, round(60 * hours))} min"
    return f"{hours:,.1f} hours" if hours < 48 else f"{hours / 24:,.1f} days"
