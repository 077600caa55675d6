"""Data for the report's comparisons: families of models, later work, the paper's table 3 and figure 3."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from crepe import layout
from crepe.config import Config, sgd
from crepe.data.clean_record import CleanRecord
from crepe.results import paper as tables
from crepe.results.grid import Cell, Grid

REFERENCES = "references"
FAMILIES = {
    "words": "Words",
    "n-grams": "n-grams",
    "means": "Means",
    "lstm": "LSTM",
    "word-convnets": "ConvNets over words",
    "character-convnets": "ConvNets over characters",
    REFERENCES: "References",
}
"""Names of the families of models by key. Networks of any other kind are a family of their own."""

COMPARED = {
    "bag-of-means": "Bag-of-means",
    "ngrams-tfidf": "n-grams TFIDF",
    "lstm": "LSTM",
    "w2v-conv-large": "word2vec ConvNet",
    "lk-conv-large": "Lookup table ConvNet",
    "full-conv-large": "Full alphabet ConvNet",
}
"""Models of the paper's figure 3, each compared with the large ConvNet over characters."""
ADDED = "sogou_news"
"""The paper's dataset that its figure 3 leaves out."""
NUMBERS = ("classes", "train_rows", "test_rows", "batches_per_epoch")
"""Columns of table 3 that are numbers."""
_CHARACTERS = "conv-large"
_THESAURUS = "-th"


def family(config: Config, model: str) -> str:
    """The family of a model of the catalog."""
    if model not in config.catalog.models:
        return REFERENCES
    spec = config.model(model)
    feature, network = spec.feature, spec.network
    if network.kind == "linear":
        return {"words": "words", "ngrams": "n-grams", "means": "means"}.get(feature.kind, feature.kind)
    if network.kind == "convnet":
        return "character-convnets" if feature.kind == "characters" else "word-convnets"
    return network.kind


@dataclass(frozen=True, slots=True)
class Reference:
    """A line of published errors to compare the study with."""

    title: str
    source: str
    errors: dict[str, float]
    """Test errors in percent by dataset of the grid."""
    later: bool = True
    """Whether the errors are those of later work."""


def references(grid: Grid, config: Config) -> list[Reference]:
    """Collect the errors of later work on the grid's datasets, and those of always naming the largest class.

    Raises:
        CrepeError: a table cannot be read.
    """
    figures: dict[str, dict[str, float]] = {}
    for result in tables.later_results():
        figures.setdefault(result.model, {})[result.dataset] = result.error_pct
    # Later work is compared on whole datasets only: the test rows of a part often differ from the whole's.
    lines = [
        Reference(model.title, model.source, figures[model.model])
        for model in tables.later_models()
        if grid.datasets.keys() & figures.get(model.model, {}).keys()
    ]
    guesses = {run.record.dataset: run.metrics.guess for run in grid.runs}
    if guesses:
        lines.append(Reference("Largest class", "always naming the test set's largest class", guesses, later=False))
    return lines


@dataclass(frozen=True, slots=True)
class Statistics:
    """A dataset's line of table 3, with keys as in table3.csv; empty where there are none."""

    title: str
    paper: dict[str, int]
    ours: dict[str, list[int]]
    """Several numbers where the runs differ."""


def statistics(found: list[Grid], config: Config) -> list[Statistics]:
    """Compare the sizes of the datasets with the paper's table 3; ours are from the clean data, else from the runs.

    Raises:
        CrepeError: the table or the record of clean text cannot be read.
    """
    table, lines = tables.datasets(), []
    for grid in found:
        for dataset, title in grid.datasets.items():
            compared = table.get(dataset if dataset in table else config.dataset(dataset).paper or "")
            theirs = {name: getattr(compared, name) for name in NUMBERS} if compared else {}
            records = [run.record for run in grid.runs if run.record.dataset == dataset]
            facts = [(len(record.classes), record.rows.train, record.rows.test) for record in records]
            if (layout.clean(dataset) / layout.CLEAN_RECORD).exists():
                clean = CleanRecord.read(layout.clean(dataset), dataset)
                facts = [(len(clean.classes), clean.rows["train"], clean.rows["test"])]
            recipes = [record.training for record in records]
            epochs = [recipe.batches_per_epoch or 0 for recipe in recipes if isinstance(recipe, sgd.Settings)]
            ours = dict(zip(NUMBERS, (*zip(*facts, strict=True), epochs) if facts else (), strict=False))
            known = {name: sorted(set(values)) for name, values in ours.items() if values}
            lines.append(Statistics(title, theirs, known))
    return lines


@dataclass(slots=True)
class Panel:
    """A panel of figure 3: a model's errors relative to those of the large ConvNet over characters."""

    title: str
    datasets: list[str] = field(default_factory=list)
    paper: list[float | None] = field(default_factory=list)
    """Differences in percent of the model's error by dataset; positive if the ConvNet over characters is better."""
    ours: list[float | None] = field(default_factory=list)


def figure3(found: list[Grid]) -> list[Panel]:
    """Compute the paper's figure 3 from its errors and from the study's, for datasets that have either.

    `ADDED` has an asterisk behind its name.

    Raises:
        CrepeError: a table cannot be read.
    """
    whole = tables.datasets()
    panels = []
    for model, title in COMPARED.items():
        panel = Panel(title)
        for grid in found:
            for dataset, name in grid.datasets.items():
                paper = _relative(grid, dataset, model, lambda cell: cell.paper_error)
                ours = _relative(grid, dataset, model, _learnt)
                if ours is not None or (paper is not None and dataset in whole):
                    panel.datasets.append(f"{name}*" if dataset == ADDED else name)
                    panel.paper.append(paper)
                    panel.ours.append(ours)
        panels.append(panel)
    return panels


def _relative(grid: Grid, dataset: str, model: str, error: Callable[[Cell], float | None]) -> float | None:
    """Compute the difference of two errors, in percent of the compared model's, as the paper does.

    Both ConvNets are trained with a thesaurus or, if there are no such errors, as in Chinese, both without.
    """
    for compared, characters in _pairs(model):
        cells: list[Cell | None] = [grid.cells.get((dataset, key)) for key in (compared, characters)]
        theirs, own = (error(cell) if cell else None for cell in cells)
        if theirs is not None and own is not None:
            return 100.0 * (theirs - own) / theirs if theirs else None
    return None


def _learnt(cell: Cell) -> float | None:
    """The error of a cell, or None if one of its runs is no better than guessing."""
    return None if "guessing" in cell.marks else cell.error


def _pairs(model: str) -> Iterator[tuple[str, str]]:
    thesaurus = model + _THESAURUS if model.endswith(_CHARACTERS) else model
    yield thesaurus, _CHARACTERS + _THESAURUS
    yield model, _CHARACTERS
