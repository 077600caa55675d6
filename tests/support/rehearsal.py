"""Rehearse the paper's whole study, on made-up archives of the real sizes, by the ordinary command.

    make rehearsal SCALE=0.01
    python -m tests.support.rehearsal --scale 0.01 --batches 20 -- --until clean

Eight archives, a thesaurus and word vectors are made (`tests.support.made_up`), served on this machine, and take the
place of the published ones in a study of all models and datasets. Each ConvNet and LSTM is trained for some batches and
tested on the whole test set. What is done stays: the same call goes on where the last one was stopped. Words behind
`--` go to Snakemake.

In the end, and with `--costs` at any time, it prints what each kind of step took (seconds, seconds of processor time,
peak memory, bytes on disk), as Snakemake measured it, beside what `crepe plan` says, and writes the figures of each job
to `costs.csv`.
"""

import argparse
import csv
import mmap
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crepe.config import load
from crepe.config.jobs import Job, jobs
from crepe.io.files import digest, read_json, write_json
from crepe.layout import SPLITS
from crepe.records.speeds import Speeds
from crepe.workflow.costs import Costs
from crepe.workflow.plan import choose_machine
from tests.support import made_up
from tests.support.misbehaving import good, serving
from tests.support.paths import ROOT, inside

BATCHES = 200
ITERATIONS = 3
"""Largest number of iterations of conjugate gradients."""


@contextmanager
def served(files: dict[str, Path]) -> Iterator[dict[str, str]]:
    """Serve files for as long as the block; yields their addresses."""
    with ExitStack() as stack:
        urls = {}
        for key, path in files.items():
            file = stack.enter_context(path.open("rb"))
            content = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            view = memoryview(content)
            stack.callback(view.release)
            urls[key] = stack.enter_context(serving(view, good)).url
        yield urls


def overlay(files: dict[str, Path], urls: dict[str, str], scale: float, batches: int) -> dict[str, Any]:
    """Configuration of the rehearsal, merged into the default one."""
    config = load()
    facts = {key: _facts(path) for key, path in files.items()}
    sources = {
        key: [{"url": urls[key], "bytes": path.stat().st_size, "sha256": facts[key]["sha256"]}]
        for key, path in files.items()
    }
    datasets = {}
    for key in (key for key in files if key in config.catalog.datasets):
        count = made_up.sizes(config.dataset(key), scale)
        rows = {f"{split}_rows": number for split, number in count.items()}
        datasets[key] = {**rows, "csv": facts[key]["csv"], "sources": sources[key]}
    return {
        "name": "rehearsal",
        "datasets": list(datasets),
        "training": {
            "convnet": {"epochs": 1, "batches_per_epoch": batches},
            "lstm": {"epochs": 1, "batches_per_epoch": batches},
            **{key: {"max_iterations": ITERATIONS} for key, recipe in config.training.items() if recipe.kind == "cg"},
        },
        "catalog": {
            "datasets": datasets,
            "thesauri": {key: {"sources": sources[key]} for key in files if key in config.catalog.thesauri},
            "vectors": {key: {"sources": sources[key]} for key in files if key in config.catalog.vectors},
        },
    }


def _facts(path: Path) -> dict[str, Any]:
    """sha256 of a file, and sizes of the CSV files in an archive; kept beside it."""
    kept = path.with_name(f"{path.name}.json")
    if not kept.exists():
        found: dict[str, Any] = {"sha256": digest(path)}
        if path.suffix == ".tgz":
            with tarfile.open(path) as tar:
                sizes = {Path(member.name).stem: member.size for member in tar}
            # The published checksums, which the default configuration has, are those of other files.
            found["csv"] = {split: {"bytes": sizes[split], "sha256": None, "md5": None} for split in SPLITS}
        write_json(kept, found)
    return read_json(kept, "delete it")


def rehearse(folder: Path, scale: float, batches: int, datasets: tuple[str, ...], words: list[str]) -> int:
    """Make what is missing, and run the study; returns Snakemake's exit status."""
    files = made_up.make(folder / "archives", scale, datasets=datasets)
    with served(files) as urls:
        write_json(folder / "config.json", overlay(files, urls, scale, batches))
        command = ["snakemake", "--directory", str(folder), "--cores", "all", "--resources", "gpu=1"]
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "PYTHONPATH": f"{ROOT}:{ROOT}/workflow/plugins"}
        return subprocess.run(
            [*command, "--configfile", str(folder / "config.json"), *words], cwd=ROOT, env=environment, check=False
        ).returncode


# --- Costs


@dataclass(frozen=True, slots=True)
class Cost:
    """The time, memory and disk of a job."""

    rule: str
    keys: str
    kind: str
    """Key of a feature, or of a network and `training` or a test, for jobs that have one."""
    rows: int
    """Train and test rows that it read; 0 where they do not count."""
    seconds: float
    cpu_seconds: float
    memory_mb: float
    bytes: int
    """Size of the files that it wrote and that are still there."""
    planned_seconds: float
    """Seconds that `crepe plan` estimates for the job on this machine."""
    planned_memory_mb: float


def costs(folder: Path) -> list[Cost]:
    """Read the costs of the jobs that have ended, as Snakemake measured them."""
    with inside(folder):
        config, speeds = load("config.json"), Speeds.read()
        planned = Costs(config, speeds, choose_machine(speeds, None)[0])
        return [cost for job in jobs(config) if (cost := _cost(planned, job))]


def _cost(planned: Costs, job: Job) -> Cost | None:
    config, need = planned.config, planned.need(job)
    log = job.log.with_suffix(".tsv")
    if not log.exists() or not job.output.exists():
        return None
    (line,) = csv.DictReader(log.read_text().splitlines(), delimiter="\t")
    numbers = {
        name: float(line[name]) if line[name] not in ("-", "NA") else 0.0 for name in ("s", "cpu_time", "max_rss")
    }
    files = [file for path in (job.output, *job.kept) for file in ([path] if path.is_file() else path.rglob("*"))]
    dataset = next((key for key in job.keys if key in config.datasets), None)
    entry = config.dataset(dataset) if dataset else None
    kind = ""
    if job.rule in ("train", "evaluate"):
        kind = config.model(job.keys[1]).model.network
    elif job.rule in ("encode", "vectors"):
        kind = job.keys[0]
    return Cost(
        job.rule,
        " ".join(job.keys),
        kind,
        entry.train_rows + entry.test_rows if entry else 0,
        numbers["s"],
        numbers["cpu_time"],
        numbers["max_rss"],
        sum(file.stat().st_size for file in set(files) if file.is_file()),
        round(need.seconds, 1),
        round(need.memory / 1e6),
    )


def show(found: list[Cost], folder: Path) -> None:
    """Print the costs by kind of step, and write those of each job."""
    with (folder / "costs.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(Cost.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(cost) for cost in found)
    table = Table("step", "jobs", "seconds", "processor", "planned", "peak MB", "planned", "disk MB", title="costs")
    groups: dict[tuple[str, str], list[Cost]] = {}
    for cost in found:
        groups.setdefault((cost.rule, cost.kind), []).append(cost)
    for (rule, kind), some in groups.items():
        table.add_row(
            f"{rule} {kind}",
            str(len(some)),
            f"{sum(cost.seconds for cost in some):,.0f}",
            f"{sum(cost.cpu_seconds for cost in some):,.0f}",
            f"{sum(cost.planned_seconds for cost in some):,.0f}",
            f"{max(cost.memory_mb for cost in some):,.0f}",
            f"{max(cost.planned_memory_mb for cost in some):,.0f}",
            f"{sum(cost.bytes for cost in some) / 1e6:,.1f}",
        )
    Console(width=110).print(table)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.01, help="share of the real numbers of rows (default: 0.01)")
    parser.add_argument("--folder", type=Path, help="folder of everything (default: rehearsal/SCALE)")
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"batches of each training (default: {BATCHES})")
    parser.add_argument("--datasets", nargs="+", default=[], help="some of the paper's; default: all")
    parser.add_argument("--costs", action="store_true", help="only print what has been measured")
    words = sys.argv[1:]
    behind = words[words.index("--") + 1 :] if "--" in words else []
    options = parser.parse_args(words[: len(words) - len(behind) - (1 if "--" in words else 0)])
    folder = (options.folder or ROOT / "rehearsal" / f"{options.scale:g}").absolute()
    status = 0
    if not options.costs:
        status = rehearse(folder, options.scale, options.batches, tuple(options.datasets), behind)
    show(costs(folder), folder)
    return status


if __name__ == "__main__":
    sys.exit(main())
