"""Draw docs/growth.svg: processor time and peak memory of steps by rows, as docs/growth.csv has them.

    python docs/growth.py
    python docs/growth.py rehearsal/0.1/costs.csv rehearsal/1/costs.csv    # measured anew

The table has the columns of `costs.csv`, which a rehearsal writes (tests/support/rehearsal.py). Files that are named
replace it: their lines of `DATASET`, one for each step and number of rows.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

TABLE = Path(__file__).with_suffix(".csv")
DATASET = "amazon_review_polarity"
PANELS = (("cpu_seconds", "processor time, s"), ("memory_mb", "peak memory, MB"))


@dataclass(frozen=True)
class Point:
    """A step on a number of rows."""

    step: str
    rows: int
    cpu_seconds: float
    memory_mb: float


def read(path: Path) -> dict[tuple[str, int], Point]:
    """The points of a table of costs, by step and rows."""
    found = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            keys = line["keys"].split()
            if DATASET in keys and line["rule"] in ("clean", "encode", "train", "evaluate"):
                others = [key for key in keys if key not in (DATASET, "0")]
                step = " ".join([line["rule"], *others])
                rows = int(line["rows"])
                found[step, rows] = Point(step, rows, float(line["cpu_seconds"]), float(line["memory_mb"]))
    return found


def write(points: dict[tuple[str, int], Point]) -> None:
    """Write the table."""
    with TABLE.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["rule", "keys", "rows", "cpu_seconds", "memory_mb"])
        for (step, rows), point in sorted(points.items()):
            rule, *others = step.split()
            writer.writerow(
                [rule, " ".join([*others, DATASET]), rows, f"{point.cpu_seconds:g}", f"{point.memory_mb:g}"]
            )


def draw(points: dict[tuple[str, int], Point], path: Path) -> None:
    """Draw the picture: a panel for time and one for memory, a line for each step that was measured more than once."""
    # The same table makes the same bytes.
    mpl.rcParams |= {"svg.hashsalt": "growth", "font.size": 9}
    figure, panels = plt.subplots(1, len(PANELS), figsize=(11, 5), layout="constrained")
    steps = sorted({step for step, _ in points})
    for panel, (name, title) in zip(panels, PANELS, strict=True):
        for number, step in enumerate(steps):
            some = sorted((point for point in points.values() if point.step == step), key=lambda point: point.rows)
            if len(some) < 2:
                continue
            values = [getattr(point, name) for point in some]
            marker = "os^vDP*X"[number % 8]
            panel.plot([point.rows for point in some], values, marker=marker, markersize=4, linewidth=1, label=step)
        panel.set(xscale="log", yscale="log", xlabel="rows", title=title)
        panel.grid(visible=True, which="both", linewidth=0.3)
    bottom, top = panels[0].get_ylim()
    left, right = panels[0].get_xlim()
    for start in (bottom, bottom * 10):
        panels[0].plot([left, right], [start, start * right / left], color="0.6", linestyle=":", linewidth=1)
    panels[0].set(xlim=(left, right), ylim=(bottom, top))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Draw the table, or make it anew before."""
    points: dict[tuple[str, int], Point] = {}
    if sys.argv[1:]:
        for name in sys.argv[1:]:
            points |= read(Path(name))
        write(points)
    draw(read(TABLE), TABLE.with_suffix(".svg"))


if __name__ == "__main__":
    main()
