"""Learning curve of a training: history.csv in a run's folder, a line an epoch, typed."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from crepe.errors import CrepeError
from crepe.io.files import check, write_text
from crepe.layout import HISTORY, RECORD
from crepe.records import format1
from crepe.records.run import RunRecord

REMEDY = "run `crepe train` again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """A line of history.csv: the state of a training after an epoch."""

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


COLUMNS = tuple(field.name for field in fields(Epoch))


@dataclass(frozen=True, slots=True)
class History:
    """Learning curve of a training, at least one epoch."""

    epochs: tuple[Epoch, ...]

    @classmethod
    def of(cls, lines: Iterable[dict[str, float]]) -> Self:
        """The history with these lines, which have the keys of `COLUMNS`."""
        return cls(tuple(Epoch(**line) for line in lines))  # type: ignore[arg-type]

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
            history = cls(tuple(_epoch(line) for line in lines))
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise CrepeError(path, f"is not the history of a run ({error})", REMEDY) from error
        if not history.epochs:
            raise CrepeError(path, "has no lines", REMEDY)
        return history

    def write(self, folder: Path) -> None:
        """Write `history.csv`, whole or not at all."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in self.epochs)
        write_text(folder / HISTORY, text.getvalue())


def _epoch(line: dict[str, str]) -> Epoch:
    named = {format1.COLUMNS.get(name, name): text for name, text in line.items()}
    values: dict[str, Any] = {
        field.name: (int if field.type is int else float)(named[field.name]) for field in fields(Epoch)
    }
    return Epoch(**values)
