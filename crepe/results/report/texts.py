"""Find the test texts that a run classifies wrongly with the highest probability."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from crepe import layout
from crepe.io.files import digest
from crepe.layout import PREDICTIONS
from crepe.records import predictions
from crepe.results.grid import Run

SHOWN = 5
"""Number of texts shown for a run."""
LONGEST = 400
"""Characters shown of a text."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A test text with a wrong predicted class."""

    row: int
    """Number of the row in the test set, counted from 1."""
    text: str
    label: str
    predicted: str
    probability: float
    """Probability of the predicted class, 0 to 1."""


class Texts:
    """The clean test texts of a study's datasets; computes each file's digest once."""

    def __init__(self) -> None:
        self._digests: dict[Path, str] = {}

    def surest_errors(self, run: Run) -> list[Wrong] | str:
        """Return the most confident errors of `run`, the most confident first, or the reason why they are not known.

        Raises:
            CrepeError: predictions are damaged or contradict the run's figures.
        """
        path = run.folder / PREDICTIONS
        clean = layout.clean(run.record.dataset) / "test.parquet"
        for needed, what in ((path, "predictions"), (clean, "clean texts")):
            if not needed.exists():
                return f"The {what} are not on this machine ({needed})."
        if clean not in self._digests:
            self._digests[clean] = digest(clean)
        if self._digests[clean] != run.record.data.clean.get("test"):
            return f"The texts on this machine ({clean}) are not those that the run was tested on."
        found = predictions.read(run.folder, run.record, run.metrics)
        wrong = np.flatnonzero(found["label"] != found["predicted"])
        wrong = wrong[np.argsort(-found["probability"][wrong], kind="stable")][:SHOWN]
        texts = (
            pl.scan_parquet(clean)
            .select(pl.concat_str(pl.exclude("label"), separator=" — ").alias("text"))
            .with_row_index("row")
            .filter(pl.col("row").is_in(wrong.tolist()))
            .collect()
        )
        by_row = dict(texts.iter_rows())
        classes = run.record.classes
        return [
            Wrong(
                row=row + 1,
                text=_cut(by_row[row]),
                label=classes[found["label"][row]],
                predicted=classes[found["predicted"][row]],
                probability=float(found["probability"][row]),
            )
            for row in wrong.tolist()
        ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(maxsplit=1)[0] + " …"
