"""Kill every phase at random moments, start it again, and compare every byte with an undisturbed run.

    make chaos
    python -m tests.support.chaos --kills 100 --seed 7
    make chaos ARGS="--scale 1 --kills 1000 --minutes 60"

A small study is run once without disturbance, from a download over HTTP to the report. Then, time and again, a phase is
taken away and started again, by hand or under Snakemake, and killed with SIGKILL after a random share of the time that
it took, or after a random number of changes to its files; under Snakemake the whole group of processes is killed, only
the job's, or only Snakemake. It may be killed twice more while it recovers. In the end all files under `data` and
`results` must be those of the undisturbed run, byte by byte, with none besides, and no process may be left. What is not
compared, because it is a time by nature: `seconds` and `samples_per_second` of run.json, and the line of the report
that shows them.

With `--scale`, the texts are a share of the made-up Amazon Review Polarity, which has 3.6 million train rows, and only
a bag of words is trained. A kill costs minutes at a scale of 1.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from crepe.config import load
from tests.support import made_up, tiny
from tests.support.misbehaving import Handler, serving

ROWS = {"train": 3_000, "test": 300}
PADDING = 3_000_000
LARGE = "amazon_review_polarity"
"""Dataset whose made-up texts `--scale` takes."""
LARGE_MODELS = ("bow",)
PIECES = 150
"""Parts that a download comes in, a hundredth of a second apart, at least."""
FEATURES = {"bow": "words", "conv-small": "chars", "lstm": "word-columns"}
"""Models that are trained; the last starts from learnt vectors."""
ONE_THREAD = [f"{rule}=1" for rule in ("clean", "encode", "train", "evaluate")]
SNAKEMAKE = ["snakemake", "--cores", "2", "--set-threads", *ONE_THREAD, "--resources", "gpu=1", "--logger", "crepe"]
MOST = 3
"""Largest number of kills in a row before a phase may end."""
GONE_SECONDS = 30.0
"""Time for processes to notice that Snakemake is gone."""

BY_HAND = "by hand"
WAYS = (BY_HAND, "all", "job", "Snakemake")
"""Targets of a kill: a command, or under Snakemake the group, the job's process alone, or Snakemake alone."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the study."""

    phase: str
    command: tuple[str, ...]
    folder: str
    """Folder that it writes to."""
    files: tuple[str, ...]
    """In that folder, those that show it is done."""
    model: str = ""
    """The study that it is for; empty if for all."""
    done: str = ""
    """In data/done, the flag that Snakemake leaves; empty if its files are what it asks for."""

    @property
    def busy(self) -> str:
        """The folder that changes while it works."""
        return "data/store" if self.phase == "download" else self.folder


@dataclass(slots=True)
class Course:
    """An undisturbed run of a command."""

    seconds: float
    changes: int
    """To the files in its folder."""


class LostError(Exception):
    """A kill did harm; the text says what."""


def steps(models: tuple[str, ...]) -> list[Step]:
    """The commands of the study in their order."""
    found = [
        Step("download", ("download", "toys"), "data/raw", ("toys.tgz",), done="download/toys"),
        Step("clean", ("clean", "toys"), "data/clean/toys", ("clean.json",), done="clean/toys"),
    ]
    for model in models:
        folder = f"data/shards/{FEATURES[model]}/toys"
        words, done = ("encode", "toys", FEATURES[model]), f"encode/{FEATURES[model]}/toys"
        found.append(Step("encode", words, folder, ("manifest.json",), model, done))
    if "lstm" in models:
        folder = "data/vectors/learnt/word-columns"
        command = ("vectors", "toys", "word-columns", "learnt")
        done = "vectors/learnt/word-columns/toys"
        found.append(Step("vectors", command, folder, ("toys.safetensors",), "lstm", done))
    for model in models:
        run, shards = f"results/tiny/runs/toys/{model}/0", f"data/shards/{FEATURES[model]}/toys"
        trained = ("model.safetensors", "history.csv", "run.json")
        found.append(Step("train", ("train", "toys", model), run, trained, model))
        tested = ("metrics.json", "predictions.parquet")
        found.append(Step("evaluate", ("evaluate", run, "--shards", shards), run, tested, model))
    found.append(Step("table", ("table",), "results/tiny", ("table.csv", "table.md")))
    found.append(Step("report", ("report",), "results/tiny", ("report.html",)))
    return found


class Chaos:
    """The study, undisturbed and otherwise."""

    def __init__(
        self, folder: Path, archive: Path, url: str, models: tuple[str, ...], seed: int, facts: dict[str, int]
    ) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.steps = steps(models)
        self.courses: dict[Step, Course] = {}
        self.sessions: set[int] = set()
        self.kills: Counter[tuple[str, str]] = Counter()
        self.survived: Counter[tuple[str, str]] = Counter()
        tiny.project(folder, models=models)
        source = {"url": url, "bytes": archive.stat().st_size, "sha256": tiny.sha256(archive)}
        tiny.update(
            folder / "config/datasets.yaml", {"catalog": {"datasets": {"toys": {**facts, "sources": [source]}}}}
        )
        recipe = {"epochs": 5, "batches_per_epoch": 25}
        tiny.update(folder / "config/config.yaml", {"training": dict.fromkeys(("convnet", "counts", "lstm"), recipe)})
        catalog = {
            "features": {"word-columns": {"max_length": 254}},
            "networks": {"lstm": {"hidden_size": 8, "embedding_dim": 8}},
            "models": {"lstm": {"vectors": "learnt"}},
            "vectors": {"learnt": {"vector_size": 8}},
        }
        tiny.update(folder / "config/models.yaml", {"catalog": catalog})

    # --- Undisturbed

    def undisturbed(self) -> None:
        """Run every step by hand, measured, and keep what comes out."""
        for step in self.steps:
            begun, changes = time.monotonic(), 0
            process = self._start(step)
            for _ in _changes(self.folder / step.busy, process):
                changes += 1
            self._done(process, step.phase)
            self.courses[step] = Course(time.monotonic() - begun, changes)
            if step.done:
                flag = self.folder / "data/done" / step.done
                flag.parent.mkdir(parents=True)
                flag.touch()
        self.whole = artefacts(self.folder)
        self.copy = self.folder.with_name("whole")
        shutil.copytree(self.folder, self.copy)

    # --- Disturbed

    def strike(self, step: Step, way: str, most: int = MOST) -> None:
        """Take a step's work away, do it again with one kill or up to `most`, and compare.

        Raises:
            LostError: something is missing, different or left over, or did not start again.
        """
        place = step.phase, way
        # Snakemake does not miss what nothing that is missing needs.
        later = self.steps[self.steps.index(step) + 1 :] if way != BY_HAND else []
        for other in [
            step,
            *(other for other in later if not (step.model and other.model) or step.model == other.model),
        ]:
            for name in other.files:
                (self.folder / other.folder / name).unlink()
            if other.done and way != BY_HAND:
                (self.folder / "data/done" / other.done).unlink()
            if other.phase == "download":
                shutil.rmtree(self.folder / "data/store")
        killed = 0
        for _ in range(self.chance.randint(1, most)):
            killed += self._by_hand(step) if way == BY_HAND else self._under_snakemake(step, way)
        self.kills[place] += killed
        if way == BY_HAND:
            for other in self.steps:
                if other == step or not all((self.folder / other.folder / name).exists() for name in other.files):
                    self._done(self._start(other), other.phase)
        else:
            self._done(self._start_snakemake(), "Snakemake")
        self._all_gone()
        found = artefacts(self.folder)
        faults = [f"{path} differs" for path in self.whole if path in found and found[path] != self.whole[path]]
        faults += [f"{path} is lost" for path in self.whole.keys() - found.keys()]
        faults += [f"{path} is left over" for path in found.keys() - self.whole.keys()]
        if faults:
            raise LostError(", ".join(sorted(faults)))
        self.survived[place] += killed

    def restore(self) -> None:
        """The project as it was after the undisturbed run."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.copy, self.folder)

    def _by_hand(self, step: Step) -> int:
        process = self._start(step)
        return self._kill(step, process, process.kill)

    def _under_snakemake(self, step: Step, way: str) -> int:
        process = self._start_snakemake()
        line = f"start {step.phase}"
        while line not in self._said() and process.poll() is None:
            time.sleep(0.02)

        def kill() -> None:
            if way == "all":
                os.killpg(process.pid, signal.SIGKILL)
            elif way == "Snakemake":
                process.kill()
            else:
                jobs = psutil.Process(process.pid).children(recursive=True)
                for job in jobs:
                    with suppress(psutil.NoSuchProcess):
                        if not job.children():
                            job.kill()

        return self._kill(step, process, kill)

    def _kill(self, step: Step, process: subprocess.Popen[bytes], kill: Callable[[], None]) -> int:
        """Kill at a moment of the step's course; returns 0 if it ended before."""
        course = self.courses[step]
        if self.chance.random() < 0.5:
            seconds, changes = self.chance.uniform(0, course.seconds), None
        else:
            seconds, changes = 3 * course.seconds, self.chance.randint(1, max(1, course.changes))
        begun = time.monotonic()
        deadline = begun + seconds
        for count, _ in enumerate(_changes(self.folder / step.busy, process, deadline), start=1):
            if count == changes:
                break
        if process.poll() is not None:
            # The machine has less to do than it had before.
            course.seconds = min(course.seconds, time.monotonic() - begun)
            return 0
        kill()
        # Where only the job was killed, Snakemake ends by itself.
        process.wait()
        return 1

    # --- Processes

    def _start(self, step: Step) -> "subprocess.Popen[bytes]":
        return self._open([sys.executable, "-m", "crepe", *step.command])

    def _start_snakemake(self) -> "subprocess.Popen[bytes]":
        return self._open(SNAKEMAKE)

    def _all_gone(self) -> None:
        """Wait for the processes of killed ones to end."""
        deadline = time.monotonic() + GONE_SECONDS
        while left := [process for process in psutil.process_iter() if _session(process.pid) in self.sessions]:
            if time.monotonic() > deadline:
                raise LostError(f"live on: {', '.join(str(process) for process in left)}")
            time.sleep(0.1)
        self.sessions.clear()

    def _open(self, command: list[str]) -> "subprocess.Popen[bytes]":
        environment = os.environ | tiny.environment(self.folder) | {"NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        with (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=said, stderr=said, start_new_session=True
            )
        self.sessions.add(process.pid)
        return process

    def _said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def _done(self, process: "subprocess.Popen[bytes]", name: str) -> None:
        if process.wait():
            raise LostError(f"{name} ended with status {process.returncode}:\n{self._said()}")


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _changes(folder: Path, process: "subprocess.Popen[bytes]", deadline: float = float("inf")) -> Iterator[None]:
    """Yield when the files in a folder have changed, until the process ends or the time is over."""
    before = _listing(folder)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
        now = _listing(folder)
        if now != before:
            before = now
            yield


def _listing(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of what is in a folder."""
    found = []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found.append((entry.name, entry.stat().st_size))
                except FileNotFoundError:
                    continue
    return sorted(found)


def artefacts(folder: Path) -> dict[str, str]:
    """sha256 of every file under `data` and `results`, without what is a time by nature, and Snakemake's flags."""
    found = {}
    for path in sorted(path for part in ("data", "results") for path in (folder / part).rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.is_relative_to(folder / "data/done"):
            continue
        if path.name == "run.json":
            record = json.loads(content)
            del record["seconds"], record["samples_per_second"]
            content = json.dumps(record).encode()
        elif path.name == "report.html":
            content = re.sub(rb"[\d,]+ s of training, [\d,]+ samples/s", b"", content)
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def slowly(handler: Handler) -> None:
    """Send the file in a second or two, a large one in some more."""
    content = handler.partial()
    size = max(2**15, len(content) // PIECES)
    for start in range(0, len(content), size):
        handler.wfile.write(content[start : start + size])
        time.sleep(0.01)


@contextmanager
def prepared(folder: Path, models: tuple[str, ...], seed: int, scale: float = 0.0) -> Iterator[Chaos]:
    """A study that has been run undisturbed, and the server that it downloads from.

    Args:
        folder: where it is made.
        models: keys of `FEATURES`.
        seed: of the phases, ways and moments of the kills.
        scale: share of the made-up `LARGE` that it takes; 0 takes `ROWS` of tiny texts.
    """
    if scale:
        dataset = load().dataset(LARGE)
        archive = folder / f"{LARGE}.tgz"
        made_up.archive(archive, LARGE, dataset, scale, seed=0)
        rows, others = made_up.sizes(dataset, scale), {"classes": dataset.classes}
    else:
        archive, rows, others = folder / "toys.tgz", ROWS, {}
        tiny.archive(archive, ROWS, PADDING)
    facts = {f"{split}_rows": count for split, count in rows.items()} | others
    with serving(archive.read_bytes(), slowly) as server:
        chaos = Chaos(folder / "project", archive, server.url, models, seed, facts)
        chaos.undisturbed()
        yield chaos


def plan(chaos: Chaos) -> Iterator[tuple[Step, str]]:
    """Steps and ways without end: round by round every phase by hand, and half of them under Snakemake."""
    phases = list(dict.fromkeys(step.phase for step in chaos.steps))
    ways = itertools.cycle(WAYS[1:])
    for turn in itertools.count():
        chaos.chance.shuffle(phases)
        for phase in phases:
            of_phase = [step for step in chaos.steps if step.phase == phase]
            yield chaos.chance.choice(of_phase), BY_HAND
            if (sorted(phases).index(phase) + turn) % 2:
                yield chaos.chance.choice(of_phase), next(ways)


def summary(chaos: Chaos) -> Table:
    """Kills and those that were survived, phase by way."""
    table = Table("phase", *WAYS, "kills", "survived", title="SIGKILL: survived of kills")
    phases = list(dict.fromkeys(step.phase for step in chaos.steps))
    for phase in phases:
        cells = [f"{chaos.survived[phase, way]} of {chaos.kills[phase, way]}" for way in WAYS]
        kills, survived = (sum(counts[phase, way] for way in WAYS) for counts in (chaos.kills, chaos.survived))
        table.add_row(phase, *cells, str(kills), str(survived))
    table.add_section()
    table.add_row("all", *[""] * len(WAYS), str(chaos.kills.total()), str(chaos.survived.total()))
    return table


def main() -> int:
    """Run as told on the command line; returns the exit status, 1 if a kill did harm."""
    parser = argparse.ArgumentParser(description="Kill every phase at random moments and compare what comes out.")
    parser.add_argument("--seed", type=int, default=0, help="of the phases, ways and moments")
    parser.add_argument("--kills", type=int, default=60, help="to end after (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="to end after, if that comes first")
    parser.add_argument("--scale", type=float, default=0.0, help="share of a dataset of 3.6 million rows to take")
    options = parser.parse_args()
    models = LARGE_MODELS if options.scale else tuple(FEATURES)
    console, begun = Console(highlight=False, soft_wrap=True), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    harmed = 0
    with prepared(folder, models, options.seed, options.scale) as chaos:
        console.print(f"Undisturbed: {time.monotonic() - begun:.0f} s, {len(chaos.whole)} files. Now the kills:")
        for step, way in plan(chaos):
            if chaos.kills.total() >= options.kills or time.monotonic() - begun > 60 * options.minutes:
                break
            before, since = chaos.kills.total(), time.monotonic()
            try:
                chaos.strike(step, way)
                outcome = "the same bytes"
            except LostError as error:
                harmed += 1
                outcome = f"HARM: {error}"
                shutil.copytree(chaos.folder, folder / f"harm-{harmed}")
                chaos.restore()
            killed = chaos.kills.total() - before
            title = f"{' '.join(step.command)} ({way})"
            console.print(f"{title}: {killed} kills, {time.monotonic() - since:.0f} s: {outcome}", markup=False)
        console.print(summary(chaos))
    if harmed:
        console.print(f"{harmed} times harm was done; what was left of each: {folder}/harm-*")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
