"""The test texts that a run gets most surely wrong, where its predictions and the clean texts are on this machine."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crepe.errors import CrepeError
from crepe.files import check, digest
from crepe.results import Run

SHOWN = 5
"""Texts of a run."""
LONGEST = 400
"""Characters that are shown of a text."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A test text that a run names the wrong class of."""

    row: int
    """Of the test set, counted from 1."""
    text: str
    label: str
    predicted: str
    probability: float
    """Of the predicted class, 0 to 1."""


class Texts:
    """The clean test texts of a study's datasets, each file looked at once."""

    def __init__(self) -> None:
        self._digests: dict[Path, str] = {}

    def surest_errors(self, run: Run) -> list[Wrong] | str:
        """What `run` gets most surely wrong, the surest first; or why that cannot be said.

        Raises:
            CrepeError: predictions are damaged or contradict the run's figures.
        """
        path = run.folder / "predictions.parquet"
        clean = Path("data/clean") / run.record["dataset"] / "test.parquet"
        for needed, what in ((path, "predictions"), (clean, "clean texts")):
            if not needed.exists():
                return f"The {what} are not on this machine ({needed})."
        if clean not in self._digests:
            self._digests[clean] = digest(clean)
        if self._digests[clean] != run.record["data"].get("clean", {}).get("test"):
            return f"The texts on this machine ({clean}) are not those that the run was tested on."
        check(path, run.metrics["sha256"].get(path.name), "metrics.json", _again(run))
        found = _read(path, run)
        rows = found["row"].to_list()
        texts = (
            pl.scan_parquet(clean)
            .select(pl.concat_str(pl.exclude("label"), separator=" — ").alias("text"))
            .with_row_index("row")
            .filter(pl.col("row").is_in(rows))
            .collect()
        )
        by_row = dict(texts.iter_rows())
        classes = run.record["classes"]
        return [
            Wrong(row + 1, _cut(by_row[row]), classes[label], classes[predicted], probability)
            for row, label, predicted, probability in found.iter_rows()
        ]


def _read(path: Path, run: Run) -> pl.DataFrame:
    """Row, label, predicted class and its probability of the surest errors."""
    again = _again(run)
    try:
        table = pl.read_parquet(path, columns=["label", "predicted", "probability"])
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]
        raise CrepeError(f"{path}: is no table of predictions ({reason}); {again}") from error
    wrong = table.with_row_index("row").filter(pl.col("label") != pl.col("predicted"))
    if (len(table), len(wrong)) != (run.metrics["rows"], run.metrics["errors"]):
        raise CrepeError(
            f"{path}: has {len(wrong)} errors in {len(table)} rows, metrics.json beside it "
            f"{run.metrics['errors']} in {run.metrics['rows']}; {again}"
        )
    known = pl.all_horizontal(pl.col("label", "predicted").is_between(0, len(run.record["classes"]) - 1))
    if not table.select(known.all()).item():
        raise CrepeError(f"{path}: has a class that run.json beside it does not; {again}")
    return wrong.sort("probability", "row", descending=[True, False]).head(SHOWN)


def _again(run: Run) -> str:
    return f"run `crepe evaluate {run.folder}` again"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(maxsplit=1)[0] + " …"
