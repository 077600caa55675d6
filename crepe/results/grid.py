"""Runs of a study in a grid with the paper's table 4: models by datasets."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crepe import layout
from crepe.config import Config, load
from crepe.errors import CrepeError
from crepe.records.metrics import Metrics
from crepe.records.run import LEARNT, RunRecord
from crepe.results import paper
from crepe.results.paper import PaperDataset, PaperResult

MARKS = {
    "subset": ("†", "trained on other rows than the paper's"),
    "short": ("‡", "ended early, or trained on fewer samples than the paper's schedule has"),
    "learnt": ("¶", "starts from word vectors learnt from its train rows, not from the paper's published ones"),
    "guessing": ("§", "no better than always naming the largest class: its interval reaches that error"),
}
"""Differences between a run and the paper's: a sign and its meaning."""


@dataclass(frozen=True, slots=True)
class Run:
    """A trained and tested model."""

    folder: Path
    record: RunRecord
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Paper:
    """The paper's result of a model on a dataset, and how it was trained."""

    dataset: str
    error: float | None
    """Test error in percent; None where the paper has none."""
    rows: int
    """Train rows."""
    samples: int
    """Samples that the paper's schedule trains on; 0 where there is no schedule: the default configuration does not
    have the model, or has a recipe that ends at the minimum of the loss."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A model on a dataset: the runs of the study's seeds, and the paper's figure."""

    dataset: str
    model: str
    runs: tuple[Run, ...]
    paper: Paper | None
    """None for a dataset that is compared with none of the paper's."""

    @property
    def error(self) -> float | None:
        """Mean test error of the seeds in percent."""
        return self.mean("error_pct")

    @property
    def spread(self) -> float | None:
        """Standard deviation of the error over the seeds, in percentage points; None for fewer than two seeds."""
        return self.deviation("error_pct")

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the seeds, by its name in `Metrics.value`; None where a run does not tell."""
        values = self._values(metric)
        return statistics.fmean(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """Standard deviation of a metric over the seeds; None for fewer than two, or where a run does not tell."""
        values = self._values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def _values(self, metric: str) -> list[float]:
        values = [run.metrics.value(metric) for run in self.runs]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else []

    @property
    def paper_error(self) -> float | None:
        """Test error in the paper in percent."""
        return self.paper.error if self.paper else None

    @property
    def delta(self) -> float | None:
        """The error minus the paper's, in percentage points."""
        return None if self.error is None or self.paper_error is None else self.error - self.paper_error

    @property
    def uneven(self) -> bool:
        """Whether macro-F1 is to be read before the error: classes are uneven, and there is no error of the paper's."""
        return self.paper is None and any(run.metrics.uneven for run in self.runs)

    @property
    def marks(self) -> list[str]:
        """Keys of `MARKS` that any of the runs has."""
        found = {mark for run in self.runs for mark in self.marks_of(run)}
        return [mark for mark in MARKS if mark in found]

    def marks_of(self, run: Run) -> list[str]:
        """Keys of `MARKS` that `run` has."""
        paper = self.paper
        held = {
            "subset": paper is not None and (self.dataset, run.record.rows.train) != (paper.dataset, paper.rows),
            "short": not run.record.complete or (paper is not None and run.record.samples < paper.samples),
            "learnt": run.record.vectors_origin == LEARNT,
            "guessing": run.metrics.ci_high >= run.metrics.guess,
        }
        return [mark for mark in MARKS if held[mark]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Models by datasets."""

    title: str
    datasets: dict[str, str]
    """Titles of the datasets by key."""
    models: dict[str, str]
    """Names of the models by key."""
    cells: dict[tuple[str, str], Cell]
    """Every cell, by dataset and model."""

    def __iter__(self) -> Iterator[Cell]:
        """Dataset by dataset, then model by model."""
        return (self.cells[dataset, model] for dataset in self.datasets for model in self.models)

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order of the cells, then by seed."""
        return [run for cell in self for run in cell.runs]


def grids(config: Config, current: bool = False) -> list[Grid]:
    """Read a study's runs into the paper's grid of 22 models by 8 datasets, and into one of the study's own datasets.

    The second grid is left out if it is empty, and comes first if the study has no run on the paper's datasets.

    Args:
        config: the study.
        current: whether to leave out runs that were trained with other settings than the configuration has now.

    Raises:
        CrepeError: a table of the paper or a run is missing, damaged, or in the wrong place.
    """
    table3, table4 = paper.datasets(), paper.results()
    reference = load()

    def grid(title: str, datasets: dict[str, str], models: dict[str, str]) -> Grid:
        cells = {}
        for dataset in datasets:
            compared = dataset if dataset in table3 else config.dataset(dataset).paper
            if compared is not None and compared not in table3:
                fault = f"{compared!r} is none of the paper's: {', '.join(table3)}"
                raise CrepeError(f"configuration: catalog.datasets.{dataset}.paper", fault)
            for model in models:
                runs, beside = tuple(_runs(config, dataset, model, current)), None
                if compared is not None:
                    beside = _paper(table3[compared], table4.get((compared, model)), reference, model)
                cells[dataset, model] = Cell(dataset, model, runs, beside)
        return Grid(title, datasets, models, cells)

    models = {key: key for key in [*(model for _, model in table4), *config.models]}
    models |= {line.model: line.paper_name for line in table4.values()}
    models |= {key: entry.title for key, entry in config.catalog.models.items() if key in models and entry.title}
    papers = grid("The paper's datasets", {key: line.title for key, line in table3.items()}, models)
    own = {key: config.dataset(key).title for key in config.datasets if key not in table3}
    if not own:
        return [papers]
    others = grid("The study's own datasets", own, {key: models[key] for key in models if key in config.models})
    return [papers, others] if papers.runs else [others, papers]


def provenance(runs: list[Run]) -> str:
    """Name the commits and the devices of the runs, in a sentence each."""
    code = {
        (run.record.code.commit or "unknown")[:12] + (" with uncommitted changes" if run.record.code.dirty else "")
        for run in runs
    }
    devices = {
        f"{run.record.machine.device_name} ({run.record.machine.device}, {run.record.precision})" for run in runs
    }
    return f"Code: {', '.join(sorted(code))}. Trained on: {', '.join(sorted(devices))}."


def commands(config: Config, dataset: str, model: str, seed: int) -> tuple[str, str]:
    """Return the commands that train and test a run, with `config/STUDY.yaml` as overlay if it exists."""
    overlay = layout.overlay(config.name)
    study = f" --config {overlay}" if overlay.exists() else ""
    shards = layout.shards(config.catalog.models[model].feature, dataset)
    train = f"crepe train {dataset} {model} --seed {seed}{study}"
    return train, f"crepe evaluate {layout.run(config.name, dataset, model, seed)} --shards {shards}"


def _runs(config: Config, dataset: str, model: str, current: bool) -> Iterator[Run]:
    """Read the runs of a cell that are trained and tested, by seed; only those that the configuration names."""
    if config.chosen(dataset, model):
        for seed in sorted(config.seeds):
            folder = layout.run(config.name, dataset, model, seed)
            if (folder / layout.METRICS).exists():
                run = _read_run(folder, (dataset, model, seed), *commands(config, dataset, model, seed))
                if not current or _is_current(config, run.record):
                    yield run


def _is_current(config: Config, record: RunRecord) -> bool:
    """Whether a run was trained with the settings that the configuration has now."""
    spec = config.model(record.model)
    recipe = spec.recipe.for_dataset(config.dataset(record.dataset).batches_per_epoch)
    now = (spec.feature.as_dict(), spec.network.as_dict(), recipe.as_dict())
    then = (record.feature, record.network, record.training.as_dict())
    # As JSON, which knows no tuples.
    return json.dumps(now, sort_keys=True) == json.dumps(then, sort_keys=True)


def _read_run(folder: Path, place: tuple[str, str, int], train: str, evaluate: str) -> Run:
    """Read a run; the remedies of errors name the commands `train` and `evaluate`."""
    path, command = folder / layout.RECORD, train
    try:
        record = RunRecord.read(folder)
        if (record.dataset, record.model, record.seed) != place:
            raise CrepeError(path, f"is of {record.model} on {record.dataset} with seed {record.seed}")
        path, command = folder / layout.METRICS, evaluate
        return Run(folder, record, Metrics.read(folder, record))
    except CrepeError as error:
        remedy = f"delete it and run `{command}`" if path.exists() else f"run `{command}`"
        raise CrepeError(error.subject, error.fault, remedy) from error


def _paper(dataset: PaperDataset, result: PaperResult | None, reference: Config, model: str) -> Paper:
    """Join a line of table 3 with a cell of table 4; `reference` is the default configuration, with its schedules."""
    samples = 0
    if model in reference.catalog.models:
        samples = reference.model(model).recipe.schedule(dataset.batches_per_epoch)
    return Paper(dataset.dataset, result.error_pct if result else None, dataset.train_rows, samples)
