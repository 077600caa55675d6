"""Measured speeds of steps on machines: config/speeds.csv, which `crepe bench --save` extends.

`crepe plan` computes from them what a study takes, and the workflow the time limits of jobs on a cluster. A line has

- `machine`: the name of a GPU or processor, as torch or the system gives it;
- `step`: a rule of the workflow: `clean`, `encode`, `train`, `evaluate`;
- `kind`: key of a network (train, evaluate); kind of a feature, `... with synonyms` if it has them (encode); empty for
  clean;
- `codes`: codes of a row that were read, on average: characters, words, n-grams; bytes of text for clean and
  encode. Empty if the speed holds for any;
- `rows_per_second`;
- `source`: how it was measured.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from statistics import median

from crepe import layout
from crepe.errors import CrepeError
from crepe.io.files import write_text

UNKNOWN = 1000.0
"""Rows per second of a network that no machine has been measured with."""
NETWORKS = ("train", "evaluate")
STEPS = ("clean", "encode", *NETWORKS)
GUESS = "guess"
"""`source` of a speed that was not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """A measured speed."""

    machine: str
    step: str
    kind: str
    codes: float | None
    rows_per_second: float
    source: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a step takes for a row."""

    seconds: float
    basis: str
    """`measured` on the machine; `scaled` from another one; `guessed`."""


class Speeds:
    """Measured speeds, which can be asked for any machine, step and length of texts."""

    def __init__(self, found: Iterable[Speed]) -> None:
        self.all = tuple(found)

    @classmethod
    def read(cls, path: Path | None = None) -> "Speeds":
        """Read the table of the project, or the one that comes with the package.

        Raises:
            CrepeError: the file is missing, or a line of it is wrong; the message names the line.
        """
        path = path or layout.installed(layout.SPEEDS)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CrepeError(path, f"cannot be read: {error}", "restore it from git") from error
        reader = csv.DictReader(io.StringIO(text))
        names = [field.name for field in fields(Speed)]
        if reader.fieldnames != names:
            raise CrepeError(path, f"line 1: expected {','.join(names)}", "restore it from git")
        return cls(_parsed(path, number, line) for number, line in enumerate(reader, start=2))

    @property
    def machines(self) -> list[str]:
        """Machines that training was measured on, in the order of the table."""
        return list(dict.fromkeys(speed.machine for speed in self.all if speed.step == "train"))

    def cost(self, machine: str, step: str, kind: str, codes: float) -> Cost:
        """Seconds that a step takes for a row with so many codes.

        Between lengths that were measured it is interpolated; beyond them, it is proportional to the length. A network
        that was measured elsewhere is scaled by what both machines were measured with; a test that was measured nowhere
        takes as long as training. Steps that prepare data run on the processor, which may be that of any machine.
        """
        if seconds := self._measured(machine, step, kind, codes):
            return Cost(seconds, "guessed" if machine in self._guessed else "measured")
        found = [
            (name, seconds * median(ratios))
            for name in dict.fromkeys(speed.machine for speed in self.all)
            if name not in (machine, *self._guessed)
            and (seconds := self._measured(name, step, kind, codes))
            and (ratios := [1.0] if step not in NETWORKS else self._ratios(machine, name, step))
        ]
        if found:
            return Cost(found[0][1], "scaled")
        if step == "evaluate":
            return self.cost(machine, "train", kind, codes)
        return Cost(1 / UNKNOWN, "guessed")

    @property
    def _guessed(self) -> set[str]:
        """Machines with guesses in place of measurements."""
        return {speed.machine for speed in self.all if speed.source == GUESS}

    def _measured(self, machine: str, step: str, kind: str, codes: float) -> float | None:
        """Seconds for a row, None if there is no measurement on this machine."""
        points = sorted(
            (speed.codes or 0.0, 1 / speed.rows_per_second)
            for speed in self.all
            if (speed.machine, speed.step, speed.kind) == (machine, step, kind)
        )
        return interpolated(points, codes) if points else None

    def _ratios(self, machine: str, other: str, step: str) -> list[float]:
        """Divide the times of `machine` by those of `other`, of the measurements that both have."""
        return [
            1 / speed.rows_per_second / seconds
            for speed in self.all
            if (speed.machine, speed.step) == (machine, step)
            and (seconds := self._measured(other, step, speed.kind, speed.codes or 0.0))
        ]

    def extended(self, new: Sequence[Speed]) -> "Speeds":
        """These speeds with new ones, which replace those of the same machine, step, kind and codes."""
        places = {_place(speed) for speed in new}
        return Speeds([*(speed for speed in self.all if _place(speed) not in places), *new])

    def write(self, path: Path = layout.SPEEDS) -> None:
        """Write the table, whole or not at all."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, [field.name for field in fields(Speed)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {**asdict(speed), "codes": "" if speed.codes is None else f"{speed.codes:g}"} for speed in self.all
        )
        write_text(path, stream.getvalue())


def interpolated(points: Sequence[tuple[float, float]], codes: float) -> float:
    """Seconds at a number of codes, between or beyond measured (codes, seconds) in ascending order."""
    if points[-1][0] == 0:
        return points[-1][1]
    if codes <= points[0][0] or len(points) == 1:
        return points[0][1] * codes / points[0][0]
    if codes >= points[-1][0]:
        return points[-1][1] * codes / points[-1][0]
    (low, below), (high, above) = next(pair for pair in pairwise(points) if codes <= pair[1][0])
    return below + (above - below) * (codes - low) / (high - low)


def _place(speed: Speed) -> tuple[str, str, str, float]:
    return speed.machine, speed.step, speed.kind, round(speed.codes or 0.0)


def _parsed(path: Path, number: int, line: dict[str, str]) -> Speed:
    def wrong(fault: str) -> CrepeError:
        return CrepeError(f"{path}: line {number}", fault, "mend the line")

    if None in line or None in line.values():
        raise wrong("has another number of fields than the first line")
    if line["step"] not in STEPS:
        raise wrong(f"step: {line['step']!r} is not known; known: {', '.join(STEPS)}")
    try:
        codes = float(line["codes"]) if line["codes"] else None
        rate = float(line["rows_per_second"])
    except ValueError:
        raise wrong("codes and rows_per_second must be numbers") from None
    if not 0 < rate < float("inf") or (codes is not None and not 0 < codes < float("inf")):
        raise wrong("codes and rows_per_second must be more than 0")
    return Speed(
        machine=line["machine"],
        step=line["step"],
        kind=line["kind"],
        codes=codes,
        rows_per_second=rate,
        source=line["source"],
    )
