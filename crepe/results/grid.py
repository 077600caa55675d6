"""A study's results beside the paper's: runs, read and checked, in a grid with table 4."""

import csv
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crepe.config import FOLDER, Config, load
from crepe.errors import CrepeError
from crepe.io.files import read_json
from crepe.text.word2vec import LEARNT

PAPER = FOLDER / "paper"

MARKS = {
    "subset": ("†", "trained on other rows than the paper's"),
    "short": ("‡", "ended early, or trained on fewer samples than the paper's schedule has"),
    "learnt": ("¶", "starts from word vectors learnt from its train rows, not from the paper's published ones"),
    "guessing": ("§", "no better than always naming the largest class: its interval reaches that error"),
}
"""What sets a run apart from the paper's: a sign and the meaning."""

DOUBTS = {
    "yes": ("", "the paper's figure is shown by a second source, too"),
    "rounded": ("~", "the paper's figure agrees with a second source after rounding"),
    "no": ("?", "the paper's figure has not been compared with a second source"),
}
"""How sure the paper's figures are, by table 4's column `checked`: a sign and the meaning."""

# What of a run's files is relied on: every key must be there, with a value of the type.
_NUMBER = int | float
_RECORD = {
    "dataset": str,
    "model": str,
    "seed": int,
    "rows": {"train": int, "test": int},
    "classes": list,
    "training": {"batch_size": int, "epochs": int, "batches_per_epoch": int},
    "epochs": int,
    "batches": int,
    "complete": bool,
    "code": {"commit": str | None, "dirty": bool | None, "digest": str},
    "data": {"archive": str, "clean": dict, "manifest": str},
    "device": str,
    "device_name": str,
    "precision": str,
    "threads": int,
    "platform": str,
    "versions": dict,
    "seconds": _NUMBER,
    "samples_per_second": _NUMBER,
    "sha256": {"history.csv": str},
}
_METRICS = {
    "rows": int,
    "errors": int,
    "error_pct": _NUMBER,
    "ci_low": _NUMBER,
    "ci_high": _NUMBER,
    "loss": _NUMBER,
    "confusion": list,
    "sha256": dict,
}


@dataclass(frozen=True, slots=True)
class Run:
    """A trained and tested model."""

    folder: Path
    record: dict[str, Any]
    """run.json."""
    metrics: dict[str, Any]
    """metrics.json."""

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.record["seed"])

    @property
    def error(self) -> float:
        """Test error in percent."""
        return float(self.metrics["error_pct"])

    @property
    def samples(self) -> int:
        """Texts drawn for training, repetitions counted."""
        return int(self.record["batches"] * self.record["training"]["batch_size"])

    @property
    def guess(self) -> float:
        """Test error in percent of always naming the test set's largest class."""
        return 100.0 - 100.0 * float(max(map(sum, self.metrics["confusion"]))) / int(self.metrics["rows"])


@dataclass(frozen=True, slots=True)
class Paper:
    """What the paper says of a model on a dataset."""

    dataset: str
    error: float | None
    """Test error in percent; None where the paper has none."""
    checked: str
    """Whether a second source has shown this figure: `yes`, `rounded` or `no`."""
    rows: int
    """Train rows."""
    samples: int
    """Samples that the paper's schedule trains on; 0 where the default configuration does not have the model."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A model on a dataset: the runs of the study's seeds, beside the paper's."""

    dataset: str
    model: str
    runs: tuple[Run, ...]
    paper: Paper | None
    """None for a dataset that is compared with none of the paper's."""

    @property
    def error(self) -> float | None:
        """Mean test error of the seeds in percent."""
        return statistics.fmean(run.error for run in self.runs) if self.runs else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the error over the seeds in percent points; None unless there are several."""
        return statistics.stdev(run.error for run in self.runs) if len(self.runs) > 1 else None

    @property
    def paper_error(self) -> float | None:
        """Test error in the paper in percent."""
        return self.paper.error if self.paper else None

    @property
    def delta(self) -> float | None:
        """The error less the paper's, in percent points."""
        return None if self.error is None or self.paper_error is None else self.error - self.paper_error

    @property
    def marks(self) -> list[str]:
        """The marks that any of the runs has."""
        found = {mark for run in self.runs for mark in self.marks_of(run)}
        return [mark for mark in MARKS if mark in found]

    def marks_of(self, run: Run) -> list[str]:
        """Which of `MARKS` a run has."""
        paper, rows = self.paper, run.record["rows"]["train"]
        subset = paper is not None and (self.dataset, rows) != (paper.dataset, paper.rows)
        short = not run.record["complete"] or (paper is not None and run.samples < paper.samples)
        learnt = run.record.get("vectors") == LEARNT
        holds = (subset, short, learnt, run.metrics["ci_high"] >= run.guess)
        return [mark for mark, held in zip(MARKS, holds, strict=True) if held]


@dataclass(frozen=True, slots=True)
class Grid:
    """Models by datasets, each a key with what the table calls it."""

    title: str
    datasets: dict[str, str]
    models: dict[str, str]
    cells: dict[tuple[str, str], Cell]
    """By dataset and model; all are there."""

    def __iter__(self) -> Iterator[Cell]:
        """Dataset by dataset, then model by model."""
        return (self.cells[dataset, model] for dataset in self.datasets for model in self.models)

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order of the cells, then by seed."""
        return [run for cell in self for run in cell.runs]


def grids(config: Config) -> list[Grid]:
    """The paper's grid of 22 models by 8 datasets with the study's runs in it, and one of the datasets of its own.

    There is no second where the study has no dataset of its own; it comes first if none of the paper's was run.

    Raises:
        CrepeError: a table of the paper or a run is missing, damaged or not what its place says.
    """
    table3 = {line["dataset"]: line for line in read_csv(PAPER / "table3.csv")}
    table4 = {(line["dataset"], line["model"]): line for line in read_csv(PAPER / "table4.csv")}
    reference = load()

    def grid(title: str, datasets: dict[str, str], models: dict[str, str]) -> Grid:
        found = {}
        for dataset in datasets:
            compared = dataset if dataset in table3 else config.dataset(dataset).paper
            if compared is not None and compared not in table3:
                key = f"catalog.datasets.{dataset}.paper"
                raise CrepeError(f"configuration: {key}: {compared!r} is none of the paper's: {', '.join(table3)}")
            for model in models:
                runs, paper = tuple(_runs(config, dataset, model)), None
                if compared is not None:
                    paper = _paper(table3[compared], table4.get((compared, model)), reference, model)
                found[dataset, model] = Cell(dataset, model, runs, paper)
        return Grid(title, datasets, models, found)

    models = {line["model"]: line["paper_name"] for line in table4.values()}
    models |= {key: key for key in config.models if key not in models}
    paper = grid("The paper's datasets", {key: line["title"] for key, line in table3.items()}, models)
    own = {key: config.dataset(key).title for key in config.datasets if key not in table3}
    if not own:
        return [paper]
    others = grid("The study's own datasets", own, {key: models[key] for key in models if key in config.models})
    return [paper, others] if paper.runs else [others, paper]


def provenance(runs: list[Run]) -> str:
    """Commits and devices of the runs in a sentence each."""
    code = {
        (run.record["code"]["commit"] or "unknown")[:12]
        + (" with uncommitted changes" if run.record["code"]["dirty"] else "")
        for run in runs
    }
    devices = {f"{run.record['device_name']} ({run.record['device']}, {run.record['precision']})" for run in runs}
    return f"Code: {', '.join(sorted(code))}. Trained on: {', '.join(sorted(devices))}."


def commands(config: Config, dataset: str, model: str, seed: int) -> tuple[str, str]:
    """The commands that train and test a run; with `config/STUDY.yaml` laid over the default if there is one."""
    overlay = FOLDER / f"{config.name}.yaml"
    study = f" --config {overlay}" if overlay.exists() else ""
    shards = f"data/shards/{config.catalog.models[model].feature}/{dataset}"
    train = f"crepe train {dataset} {model} --seed {seed}{study}"
    return train, f"crepe evaluate {_folder(config, dataset, model, seed)} --shards {shards}"


def _folder(config: Config, dataset: str, model: str, seed: int) -> Path:
    return Path("results") / config.name / "runs" / dataset / model / str(seed)


def _runs(config: Config, dataset: str, model: str) -> Iterator[Run]:
    """The runs of a cell that are trained and tested, by seed; only those that the configuration names."""
    if config.chosen(dataset, model):
        for seed in sorted(config.seeds):
            folder = _folder(config, dataset, model, seed)
            if (folder / "metrics.json").exists():
                yield _read_run(folder, (dataset, model, seed), commands(config, dataset, model, seed))


def _read_run(folder: Path, place: tuple[str, str, int], again: tuple[str, str]) -> Run:
    train, evaluate = again
    record = read_record(folder, train)
    if (record["dataset"], record["model"], record["seed"]) != place:
        fault = f"is of {record['model']} on {record['dataset']} with seed {record['seed']}"
        raise CrepeError(f"{folder / 'run.json'}: {fault}; delete it and run `{train}`")
    return Run(folder, record, read_metrics(folder, record, evaluate))


def read_record(folder: Path, again: str = "crepe train") -> dict[str, Any]:
    """A run's run.json, checked.

    Raises:
        CrepeError: it is missing, damaged, or is not what `again`, a command, writes.
    """
    path, remedy = folder / "run.json", f"delete it and run `{again}`"
    record = _read_json(path, again)
    fault = _fault(record, _RECORD, "")
    if fault:
        raise CrepeError(f"{path}: {fault}; {remedy}")
    return record


def read_metrics(folder: Path, record: dict[str, Any], again: str = "crepe evaluate") -> dict[str, Any]:
    """A run's metrics.json, checked; `record` is its run.json.

    Raises:
        CrepeError: it is missing or damaged, contradicts itself or the record, or is not what `again`, a command,
            writes.
    """
    path, remedy = folder / "metrics.json", f"delete it and run `{again}`"
    metrics = _read_json(path, again)
    fault = _fault(metrics, _METRICS, "") or _contradiction(metrics, record)
    if fault:
        raise CrepeError(f"{path}: {fault}; {remedy}")
    return metrics


def _read_json(path: Path, again: str) -> dict[str, Any]:
    if not path.exists():
        raise CrepeError(f"{path}: is missing; run `{again}`")
    return read_json(path, f"delete it and run `{again}`")


def _fault(value: Any, shape: Any, key: str) -> str:
    """What is wrong with a value, given the type it should have, or the keys and their shapes."""
    if not isinstance(shape, dict):
        fits = isinstance(value, shape) and (shape is bool or shape == bool | None or not isinstance(value, bool))
        return "" if fits else f"{key}: is {value!r}, not {getattr(shape, '__name__', shape)}"
    if not isinstance(value, dict):
        return f"{key or 'its content'}: is {value!r}, not keys and values"
    for name, part in shape.items():
        inner = f"{key}.{name}" if key else name
        fault = _fault(value[name], part, inner) if name in value else f"{inner}: is missing"
        if fault:
            return fault
    return ""


def _contradiction(metrics: dict[str, Any], record: dict[str, Any]) -> str:
    """What in the metrics contradicts the run or itself."""
    tested, trained = metrics["sha256"], record["sha256"]
    if any(tested[name] != trained[name] for name in tested.keys() & trained.keys()):
        return "sha256: is of weights of another training"
    rows, errors, confusion, classes = metrics["rows"], metrics["errors"], metrics["confusion"], record["classes"]
    if rows != record["rows"]["test"] or rows < 1:
        return f"rows: {rows} were tested, but the test set of run.json has {record['rows']['test']}"
    square = len(confusion) == len(classes) and all(
        isinstance(line, list) and len(line) == len(classes) for line in confusion
    )
    if not square or not all(isinstance(count, int) and count >= 0 for line in confusion for count in line):
        return f"confusion: is not a matrix of {len(classes)} x {len(classes)} counts, the classes of run.json"
    hits = sum(line[index] for index, line in enumerate(confusion))
    if sum(map(sum, confusion)) != rows or rows - hits != errors:
        return f"confusion: does not add up to {rows} rows with {errors} errors"
    if abs(metrics["error_pct"] - 100 * errors / rows) > 1e-4:
        return f"error_pct: is {metrics['error_pct']}, but {errors} errors in {rows} rows are {100 * errors / rows:.4f}"
    if not metrics["ci_low"] <= metrics["error_pct"] <= metrics["ci_high"]:
        return f"ci_low, ci_high: {metrics['ci_low']} to {metrics['ci_high']} does not hold error_pct"
    return ""


def _paper(dataset: dict[str, str], figure: dict[str, str] | None, reference: Config, model: str) -> Paper:
    """From lines of table 3 and, if there is one, table 4; `reference` holds the paper's schedules."""
    error, checked = (_figure(figure["error_pct"]), figure["checked"]) if figure else (None, "")
    samples = 0
    if model in reference.catalog.models:
        *_, recipe = reference.model(model)
        samples = recipe.epochs * int(dataset["epoch_minibatches"]) * recipe.batch_size
    return Paper(dataset["dataset"], error, checked, int(dataset["train_rows"]), samples)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The lines of one of the tables in `config/paper`, each with the columns that are relied on.

    Raises:
        CrepeError: it cannot be read, or a line is not as it should be.
    """
    again = "restore it, as by `git checkout`"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except OSError as error:
        raise CrepeError(
            f"{path}: cannot be read: {error.strerror or error}; run this in the project's folder"
        ) from error
    except (ValueError, csv.Error) as error:
        raise CrepeError(f"{path}: is not a table in CSV ({error}); {again}") from error
    if not lines:
        raise CrepeError(f"{path}: has no lines; {again}")
    for number, line in enumerate(lines, 2):
        for name, take in _COLUMNS[path.name].items():
            text = line.get(name)
            try:
                take("" if text is None else text)
            except ValueError:
                fault = f"lacks {name}" if text is None else f"{name} is {text!r}"
                raise CrepeError(f"{path}: line {number}: {fault}; {again}") from None
    return lines


def _word(text: str) -> None:
    if not text:
        raise ValueError


def _figure(text: str) -> float | None:
    """The paper has none in some cells."""
    return float(text) if text else None


def _doubt(text: str) -> None:
    if text and text not in DOUBTS:
        raise ValueError


_COLUMNS: dict[str, dict[str, Callable[[str], Any]]] = {
    "table3.csv": {
        **{"dataset": _word, "title": _word, "classes": int},
        **{"train_rows": int, "test_rows": int, "epoch_minibatches": int},
    },
    "table4.csv": {"dataset": _word, "model": _word, "paper_name": _word, "error_pct": _figure, "checked": _doubt},
    "later_work.csv": {"model": _word, "dataset": _word, "error_pct": float},
    "later_models.csv": {"model": _word, "title": _word, "source": _word},
}
"""What takes the text of each column, or raises ValueError."""
