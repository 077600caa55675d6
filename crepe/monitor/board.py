"""Where a study stands: every step of its workflow and every run, as the study's own files tell.

Nothing is asked of the programs that do the work, so any terminal, and any machine with the same disk, can look. What
a running workflow knows besides, which jobs it has under way and which have failed, goes before what files tell.
"""

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crepe.config import Config
from crepe.config.catalog import WEIGHTS
from crepe.errors import CrepeError
from crepe.io.files import read_json
from crepe.training import heartbeat

FRESH = 120.0
"""Seconds after its last line in which a step is taken to be under way if its log alone tells."""

Key = tuple[str, ...]
"""A rule of the workflow and its wildcards' values."""


class State(StrEnum):
    """Of a step or a run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Standing:
    """A state, and what there is to say of it."""

    state: State
    note: str = ""
    error: float | None = None
    """Of a run: its test error in percent, of the last whole epoch where it is not done."""


@dataclass(frozen=True, slots=True)
class Board:
    """A study at a moment."""

    config: Config
    steps: dict[Key, Standing]
    """All steps but training and testing, in their order."""
    runs: dict[tuple[str, str, int], Standing]
    """By dataset, model and seed."""

    @property
    def done(self) -> bool:
        """Whether every run is."""
        return all(run.state == State.DONE for run in self.runs.values())

    def count(self, state: State) -> int:
        """The runs in a state."""
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
    """The board of a study, from the files in the working directory.

    Args:
        config: the study.
        known: of jobs of a running workflow, those that are `RUNNING` or `FAILED`.
    """
    known = known or {}
    steps = {}
    for key, output in _steps(config):
        log = Path("logs", *([config.name, key[0]] if len(key) == 1 else key)).with_suffix(".log")
        steps[key] = Standing(known[key]) if key in known else _step(output, log, key[0])
    for key in known:
        if key not in steps and key[0] not in ("train", "evaluate", "all"):
            steps[key] = Standing(known[key])
    runs = {
        (dataset, model, seed): _run(config.name, dataset, model, seed, known)
        for dataset in config.datasets
        for model in config.models
        for seed in config.seeds
        if config.chosen(dataset, model)
    }
    return Board(config, steps, runs)


def _steps(config: Config) -> Iterator[tuple[Key, Path]]:
    """Every step but training and testing with the file that is there when it is done, as `workflow/rules` has them."""
    pairs = [
        (dataset, config.catalog.models[model])
        for dataset in config.datasets
        for model in config.models
        if config.chosen(dataset, model)
    ]
    raw, data = Path("data/raw"), Path("data")
    for dataset in config.datasets:
        yield ("download", dataset), raw / f"{dataset}.tgz"
    thesauri = (config.feature(model.feature).thesaurus for _, model in pairs)
    for thesaurus in dict.fromkeys(thesauri):
        if thesaurus and Path(thesaurus).parent == raw:
            yield ("thesaurus", Path(thesaurus).stem), Path(thesaurus)
    starts = {model.weights: config.vectors(model.weights) for _, model in pairs if model.weights not in WEIGHTS}
    for name, vectors in starts.items():
        if vectors.sources:
            yield ("published", name), raw / f"{name}.bin.gz"
    for dataset in config.datasets:
        yield ("clean", dataset), data / "clean" / dataset / "clean.json"
    for feature, dataset in dict.fromkeys((model.feature, dataset) for dataset, model in pairs):
        yield ("encode", feature, dataset), data / "shards" / feature / dataset / "manifest.json"
    embedded = [(model.weights, model.feature, dataset) for dataset, model in pairs if model.weights in starts]
    for name, feature, dataset in dict.fromkeys(embedded):
        yield ("vectors", name, feature, dataset), data / "vectors" / name / feature / f"{dataset}.safetensors"
    for rule, file in (("table", "table.csv"), ("report", "report.html")):
        yield (rule,), Path("results") / config.name / file


def _step(output: Path, log: Path, rule: str) -> Standing:
    if output.exists():
        return Standing(State.DONE)
    fault, age = _log(log, rule)
    if fault:
        return Standing(State.FAILED, fault)
    return Standing(State.RUNNING if age < FRESH else State.WAITING)


def _run(study: str, dataset: str, model: str, seed: int, known: Mapping[Key, State]) -> Standing:
    place = (dataset, model, str(seed))
    folder = Path("results", study, "runs", *place)
    logs = {rule: Path("logs", study, rule, *place).with_suffix(".log") for rule in ("train", "evaluate")}
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
    trained = (folder / "run.json").exists()
    fault, age = _log(logs["evaluate" if trained else "train"], "evaluate" if trained else "train")
    if trained and (folder / "metrics.json").exists() and told["evaluate"] is None:
        try:
            return Standing(State.DONE, error=float(read_json(folder / "metrics.json", "")["error_pct"]))
        except (CrepeError, KeyError, TypeError, ValueError):
            return Standing(State.FAILED, f"{folder / 'metrics.json'} is damaged")
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
    """The fault that ends a log, if one does, and how many seconds ago the log was last written to."""
    try:
        age = time.time() - path.stat().st_mtime
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 10_000))
            text = stream.read().decode(errors="replace")
    except OSError:
        return "", float("inf")
    begin = f"crepe {command}: "
    found = [line for line in text.splitlines() if line.startswith(begin) and line != f"{begin}interrupted"]
    return (found[-1].removeprefix(begin) if found else ""), age
