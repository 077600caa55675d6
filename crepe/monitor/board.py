"""State of a study: every step of its workflow and every run, as seen from the study's files.

No running program is asked, so that you can look from any terminal, and from any machine with the same disk. A running
workflow also knows which of its jobs are running or have failed; this takes precedence over the files.
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crepe import layout
from crepe.config import Config
from crepe.config.jobs import Job, jobs
from crepe.errors import CrepeError
from crepe.io.files import read_json
from crepe.records.metrics import REMEDY, Metrics
from crepe.training import heartbeat

FRESH = 120.0
"""A step without other signs of life counts as running for this many seconds after the last line of its log."""

RUN = ("train", "evaluate")
"""Rules whose jobs make a run."""

Key = tuple[str, ...]
"""Name of a rule of the workflow, and the values of its wildcards."""


class State(StrEnum):
    """State of a step or a run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Standing:
    """State of a step or a run, with a note."""

    state: State
    note: str = ""
    error: float | None = None
    """Test error of a run in percent; after its last whole epoch if it is not done."""


@dataclass(frozen=True, slots=True)
class Board:
    """State of a study at one moment."""

    config: Config
    steps: dict[Key, Standing]
    """All steps but training and testing, in the workflow's order."""
    runs: dict[tuple[str, str, int], Standing]
    """Runs by dataset, model and seed."""

    @property
    def done(self) -> bool:
        """Whether every run is done."""
        return all(run.state == State.DONE for run in self.runs.values())

    def count(self, state: State) -> int:
        """Number of runs in a state."""
        return sum(run.state == state for run in self.runs.values())

    def cell(self, dataset: str, model: str) -> dict[int, Standing]:
        """The runs of a model on a dataset by seed; none where the study does not have it."""
        return {
            seed: self.runs[dataset, model, seed] for seed in self.config.seeds if (dataset, model, seed) in self.runs
        }


def summary(errors: list[float]) -> tuple[float, float]:
    """Mean and standard deviation of several seeds' errors."""
    return statistics.fmean(errors), statistics.stdev(errors)


def look(config: Config, known: Mapping[Key, State] | None = None) -> Board:
    """Read the state of a study from the files in the working directory.

    Args:
        config: the study.
        known: jobs of a running workflow that are `RUNNING` or `FAILED`.
    """
    known = known or {}
    steps = {}
    for job in jobs(config):
        if job.rule not in RUN:
            key = (job.rule, *job.keys)
            steps[key] = Standing(known[key]) if key in known else _step(job)
    for key in known:
        if key not in steps and key[0] not in (*RUN, "all"):
            steps[key] = Standing(known[key])
    runs = {run: _run(config.name, *run, known) for run in config.runs}
    return Board(config, steps, runs)


def _step(job: Job) -> Standing:
    if job.output.exists():
        return Standing(State.DONE)
    fault, age = _log(job.log, job.rule)
    if fault:
        return Standing(State.FAILED, fault)
    return Standing(State.RUNNING if age < FRESH else State.WAITING)


def _run(study: str, dataset: str, model: str, seed: int, known: Mapping[Key, State]) -> Standing:
    place = (dataset, model, str(seed))
    folder = layout.run(study, dataset, model, seed)
    logs = {rule: layout.log(study, rule, *place) for rule in RUN}
    told = {rule: known.get((rule, *place)) for rule in logs}
    beat = heartbeat.read(folder)
    if told["train"] == State.RUNNING or (beat is not None and beat.alive and told["train"] is None):
        return Standing(State.RUNNING, _progress(beat) if beat else "starts", beat.error if beat else None)
    fault = beat.fault if beat is not None and beat.fault else _log(logs["train"], "train")[0]
    if told["train"] == State.FAILED or (beat is not None and fault):
        return Standing(State.FAILED, fault)
    if beat is not None:
        return Standing(State.STOPPED, f"in epoch {beat.epoch} of {beat.epochs}", beat.error)
    if told["evaluate"] == State.RUNNING:
        return Standing(State.RUNNING, "test")
    trained = (folder / layout.RECORD).exists()
    fault, age = _log(logs["evaluate" if trained else "train"], "evaluate" if trained else "train")
    if trained and (folder / layout.METRICS).exists() and told["evaluate"] is None:
        try:
            metrics = Metrics.parse(read_json(folder / layout.METRICS, REMEDY), source=folder / layout.METRICS)
        except CrepeError as error:
            return Standing(State.FAILED, str(error))
        return Standing(State.DONE, error=metrics.error_pct)
    if fault or told["evaluate"] == State.FAILED:
        return Standing(State.FAILED, fault)
    if age < FRESH:
        return Standing(State.RUNNING, "test" if trained else "starts")
    return Standing(State.WAITING, "trained" if trained else "")


def _progress(beat: heartbeat.Heartbeat) -> str:
    silent = time.time() - beat.time
    quiet = f", silent for {silent / 60:.0f} min" if silent > FRESH and not beat.testing else ""
    return f"{beat.epoch}/{beat.epochs} {'test' if beat.testing else f'{beat.speed:,.0f}/s'}{quiet}"


def _log(path: Path, command: str) -> tuple[str, float]:
    """Return the error message at the end of a log, if there is one, and the seconds since the log was last written."""
    try:
        age = time.time() - path.stat().st_mtime
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 10_000))
            text = stream.read().decode(errors="replace")
    except OSError:
        return "", float("inf")
    begin = f"crepe {command}: "
    found = [line for line in text.splitlines() if line.startswith(begin) and line != f"{begin}interrupted"]
    return (found[-1][len(begin) :] if found else ""), age
