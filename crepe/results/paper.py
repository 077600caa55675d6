"""The paper's figures and those of later work: the tables in config/paper, typed."""

import csv
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crepe.errors import CrepeError
from crepe.layout import PAPER, installed

Line = TypeVar("Line")

REMEDY = "restore it, as by `git checkout`"


@dataclass(frozen=True, slots=True)
class PaperDataset:
    """A line of the paper's table 3."""

    dataset: str
    """Key of the dataset."""
    title: str
    classes: int
    train_rows: int
    test_rows: int
    batches_per_epoch: int = field(metadata={"column": "epoch_minibatches"})
    """Batches of an epoch."""


@dataclass(frozen=True, slots=True)
class PaperResult:
    """A cell of the paper's table 4."""

    dataset: str
    model: str
    """Key of the model."""
    paper_name: str
    """Name of the model in the paper."""
    error_pct: float | None
    """Test error in percent; None where the paper has none."""


@dataclass(frozen=True, slots=True)
class LaterResult:
    """A published result of later work on one of the paper's datasets."""

    model: str
    """Key of a `LaterModel`."""
    dataset: str
    error_pct: float


@dataclass(frozen=True, slots=True)
class LaterModel:
    """A model of later work."""

    model: str
    title: str
    source: str
    """Citation of the publication."""


def datasets() -> dict[str, PaperDataset]:
    """Read the paper's table 3, by dataset.

    Raises:
        CrepeError: the table cannot be read, or a line is wrong.
    """
    return {line.dataset: line for line in _read("table3.csv", PaperDataset)}


def results() -> dict[tuple[str, str], PaperResult]:
    """Read the paper's table 4, by dataset and model.

    Raises:
        CrepeError: the table cannot be read, a line is wrong, or two lines give a model different names.
    """
    lines, names = _read("table4.csv", PaperResult), dict[str, str]()
    for number, line in enumerate(lines, 2):
        name = names.setdefault(line.model, line.paper_name)
        if line.paper_name != name:
            fault = f"paper_name of {line.model} is {line.paper_name!r}, and {name!r} in a line above"
            raise CrepeError(f"{installed(PAPER / 'table4.csv')}: line {number}", fault, REMEDY)
    return {(line.dataset, line.model): line for line in lines}


def later_results() -> list[LaterResult]:
    """Read the published results of later work.

    Raises:
        CrepeError: the table cannot be read, or a line is wrong.
    """
    return _read("later_work.csv", LaterResult)


def later_models() -> list[LaterModel]:
    """Read the models of later work, in the order in which reports list them.

    Raises:
        CrepeError: the table cannot be read, or a line is wrong.
    """
    return _read("later_models.csv", LaterModel)


def _read(name: str, kind: type[Line]) -> list[Line]:
    """Read the lines of a table, of each the columns that are the fields of `kind`."""
    path = installed(PAPER / name)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except OSError as error:
        fault = f"cannot be read: {error.strerror or error}"
        raise CrepeError(path, fault, "run this in the project's folder") from error
    except (ValueError, csv.Error) as error:
        raise CrepeError(path, f"is not a table in CSV ({error})", REMEDY) from error
    if not lines:
        raise CrepeError(path, "has no lines", REMEDY)
    return [_line(f"{path}: line {number}", line, kind) for number, line in enumerate(lines, 2)]


def _line(subject: str, line: dict[str, str], kind: type[Line]) -> Line:
    values = {}
    for part in dataclasses.fields(kind):  # type: ignore[arg-type]
        column = part.metadata.get("column", part.name)
        text = line.get(column)
        if text is None:
            raise CrepeError(subject, f"lacks {column}", REMEDY)
        try:
            values[part.name] = _VALUES[part.type](text)
        except ValueError:
            raise CrepeError(subject, f"{column} is {text!r}", REMEDY) from None
    return kind(**values)


def _word(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _optional(text: str) -> float | None:
    return float(text) if text else None


_VALUES: dict[Any, Callable[[str], Any]] = {str: _word, int: int, float: float, float | None: _optional}
"""Functions that read a value of a type from its text, or raise ValueError."""
