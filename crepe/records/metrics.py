"""Results on the test set: metrics.json in a run's folder, typed, written and read by `Metrics`."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from crepe.errors import CrepeError
from crepe.io.files import read_json, write_json
from crepe.layout import METRICS
from crepe.records.quality import OF_CONFUSION, Estimate, Quality, marginals, of_confusion
from crepe.records.run import RunRecord

REMEDY = "delete it and run `crepe evaluate` again"
UNEVEN = 2.0
"""Classes are uneven if the largest has this many times the test rows of the smallest, or more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics(Quality):
    """Results of a trained model on the test set."""

    rows: int
    """Rows tested."""
    errors: int
    """Rows with a wrong class."""
    error_pct: float
    """Test error in percent."""
    ci_low: float
    """Lower end of the error's 95 % interval (Wilson), in percent."""
    ci_high: float
    """Upper end of the interval, in percent."""
    loss: float
    """Mean of -log p of the label."""
    confusion: list[list[int]]
    """Rows of each true class (first axis) by predicted class."""
    sha256: dict[str, str]
    """Digests of the tested model and of the predictions by file name."""

    @property
    def guess(self) -> float:
        """Test error in percent of always naming the test set's largest class."""
        return 100.0 - 100.0 * max(map(sum, self.confusion)) / self.rows

    @property
    def uneven(self) -> bool:
        """Whether the classes have such different numbers of test rows that macro-F1 says more than the error."""
        support = [sum(line) for line in self.confusion]
        return max(support) >= UNEVEN * min(support)

    def value(self, name: str) -> float | None:
        """A metric by its name: `error_pct` or a key of `crepe.records.quality.LABELS`; None where it is not known."""
        if name == "error_pct":
            return self.error_pct
        estimate: Estimate | None = getattr(self, name)
        if estimate is None:
            # Files of earlier versions have the log loss without an interval.
            return self.loss if name == "log_loss" else None
        return estimate.value

    def with_quality(self, quality: Quality) -> Self:
        """The metrics with other metrics beyond the test error."""
        return replace(self, **{field.name: getattr(quality, field.name) for field in fields(quality)})

    @classmethod
    def read(cls, folder: Path, record: RunRecord) -> Self:
        """Read the metrics of the run in `folder`, and compare them with the run's record.

        In a file of an earlier version, metrics that the confusion matrix determines are missing; they are computed.

        Raises:
            CrepeError: the file is missing or damaged, lacks a key, or contradicts itself or the record.
        """
        path = folder / METRICS
        content = read_json(path, REMEDY if path.exists() else "run `crepe evaluate`")
        try:
            metrics = cls.parse(content, source=path)
        except CrepeError as error:
            raise CrepeError(error.subject, error.fault, REMEDY) from error
        fault = metrics.contradiction(record)
        if fault:
            raise CrepeError(path, fault, REMEDY)
        return metrics if metrics.by_class else metrics.with_quality(of_confusion(np.array(metrics.confusion)))

    def write(self, folder: Path) -> None:
        """Write `metrics.json`, the last file of an evaluation to appear."""
        write_json(folder / METRICS, self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The metrics as plain values that `parse` takes back, those of the test error first."""
        content = super(Metrics, self).as_dict()
        others = {field.name for field in fields(Quality)}
        return dict(sorted(content.items(), key=lambda item: item[0] in others))

    def contradiction(self, record: RunRecord) -> str:
        """The first thing in the metrics that contradicts the run's record or another metric; empty if nothing does."""
        if any(self.sha256[name] != record.sha256[name] for name in self.sha256.keys() & record.sha256.keys()):
            return "sha256: is of weights of another training"
        if self.rows != record.rows.test:
            return f"rows: {self.rows} were tested, but the test set of run.json has {record.rows.test}"
        classes = len(record.classes)
        if [len(line) for line in self.confusion] != [classes] * classes or min(map(min, self.confusion)) < 0:
            return f"confusion: is not a matrix of {classes} x {classes} counts, the classes of run.json"
        hits = sum(line[index] for index, line in enumerate(self.confusion))
        if sum(map(sum, self.confusion)) != self.rows or self.rows - hits != self.errors:
            return f"confusion: does not add up to {self.rows} rows with {self.errors} errors"
        error = 100 * self.errors / self.rows
        if abs(self.error_pct - error) > 1e-4:
            return f"error_pct: is {self.error_pct}, but {self.errors} errors in {self.rows} rows are {error:.4f}"
        if not self.ci_low <= self.error_pct <= self.ci_high:
            return f"ci_low, ci_high: {self.ci_low} to {self.ci_high} does not hold error_pct"
        return self._contradiction_of_quality() if self.by_class else ""

    def _contradiction_of_quality(self) -> str:
        matrix = np.array(self.confusion)
        for name, metric in OF_CONFUSION.items():
            found, value = getattr(self, name), float(metric(*marginals(matrix)))
            if found is None or abs(found.value - value) > 1e-9:
                return f"{name}: is not {value:.6f}, which follows from confusion"
        for name in (field.name for field in fields(Quality)):
            found = getattr(self, name)
            if isinstance(found, Estimate) and not found.low <= found.value <= found.high:
                return f"{name}: {found.low} to {found.high} does not hold its value"
        if [found.support for found in self.by_class or []] != matrix.sum(1).tolist():
            return "by_class: has not the rows of confusion"
        if self.reliability is not None:
            rows, right = (sum(getattr(part, name) for part in self.reliability) for name in ("rows", "right"))
            if (rows, right) != (self.rows, self.rows - self.errors):
                return "reliability: does not add up to the rows and errors"
        return ""
