"""Learning curve of a training: history.csv in a run's folder, a line an epoch or iteration, typed."""

import csv
import io
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from crepe.errors import CrepeError
from crepe.io.files import check, write_text
from crepe.layout import HISTORY, RECORD
from crepe.records import format1
from crepe.records.run import RunRecord

REMEDY = "run `crepe train` again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """A line of history.csv: the state of a training by sgd after an epoch."""

    unit: ClassVar[str] = "epoch"

    epoch: int
    """Number of the epoch, counted from 1."""
    batches: int
    """Batches trained since the start."""
    samples: int
    """Texts drawn since the start."""
    learning_rate: float
    """Learning rate of the epoch."""
    train_loss: float
    """Mean loss over the epoch's batches, dropout on."""
    train_error_pct: float
    """Error in percent over the epoch's batches, dropout on."""
    test_loss: float
    """Mean loss on the test set after the epoch."""
    test_error_pct: float
    """Error in percent on the test set after the epoch."""

    @property
    def number(self) -> int:
        """Number of the epoch."""
        return self.epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class Iteration:
    """A line of history.csv: the state of a training by cg after an iteration."""

    unit: ClassVar[str] = "iteration"

    iteration: int
    """Number of the iteration, counted from 1."""
    batches: int
    """Passes over the train rows since the start."""
    samples: int
    """Texts in these passes."""
    objective: float
    """Mean loss over the train rows, and the penalty."""
    train_loss: float
    """Mean loss over the train rows after the iteration."""
    train_error_pct: float
    """Error in percent over the train rows after the iteration."""
    test_loss: float
    """Mean loss on the test set after the iteration."""
    test_error_pct: float
    """Error in percent on the test set after the iteration."""

    @property
    def number(self) -> int:
        """Number of the iteration."""
        return self.iteration


Line = Epoch | Iteration
COLUMNS = tuple(field.name for field in fields(Epoch))


@dataclass(frozen=True, slots=True)
class History:
    """Learning curve of a training, at least one line."""

    lines: tuple[Line, ...]

    @classmethod
    def of(cls, lines: Iterable[dict[str, float]]) -> Self:
        """The history with these lines, which have the keys of an `Epoch` or of an `Iteration`."""
        return cls(tuple(_kind(line)(**line) for line in lines))  # type: ignore[arg-type]

    @classmethod
    def read(cls, folder: Path, record: RunRecord) -> Self:
        """Read the history of the run in `folder`; columns of format 1 are renamed.

        Raises:
            CrepeError: the file is missing, is not the one that `record` names, or is no history.
        """
        path = folder / HISTORY
        check(path, record.sha256[HISTORY], RECORD, REMEDY)
        try:
            lines = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
            history = cls(tuple(_line(line) for line in lines))
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise CrepeError(path, f"is not the history of a run ({error})", REMEDY) from error
        if not history.lines:
            raise CrepeError(path, "has no lines", REMEDY)
        return history

    def write(self, folder: Path) -> None:
        """Write `history.csv`, whole or not at all."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(self.lines[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in self.lines)
        write_text(folder / HISTORY, text.getvalue())


def _kind(line: Collection[str]) -> type[Line]:
    """The class of a line with these columns."""
    return Iteration if "iteration" in line else Epoch


def _line(line: dict[str, str]) -> Line:
    kind = _kind(line)
    named = {format1.COLUMNS.get(name, name): text for name, text in line.items()}
    values: dict[str, Any] = {
        field.name: (int if field.type is int else float)(named[field.name]) for field in fields(kind)
    }
    return kind(**values)
