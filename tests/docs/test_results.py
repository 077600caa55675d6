"""docs/results.md: its figures are those of the records, and its files are there."""

import csv
import re

import pytest

from crepe import config, layout
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/results.md").read_text()
STUDIES = re.findall(r"--configfile (config/\w+\.yaml)$", PAGE, flags=re.M)


def tables(heading: str) -> list[list[str]]:
    """The cells of each line of the tables under a heading, without its head."""
    (text,) = re.findall(rf"^#+ {heading}.*?\n(.*?)(?=^#|\Z)", PAGE, flags=re.M | re.S)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def figures(study: str) -> dict[tuple[str, str], dict[str, str]]:
    """The lines of a study's table, by the paper's dataset and name of the model; where it was not run, the paper's."""
    settings = config.load(f"config/{study}.yaml")
    with (ROOT / layout.PAPER / "table4.csv").open() as stream:
        paper = {(line["dataset"], line["model"]): line for line in csv.DictReader(stream)}
    ours = {}
    if (path := ROOT / layout.table(study)).exists():
        with path.open() as stream:
            ours = {(line["dataset"], line["model"]): line for line in csv.DictReader(stream) if line["error_pct"]}
    found = {}
    for dataset, model in settings.cells:
        if theirs := paper.get((settings.dataset(dataset).paper, model)):
            line = ours.get((dataset, model), {})
            found[theirs["dataset"], theirs["paper_name"]] = {**line, "paper": theirs["error_pct"]}
    return found


def hundredths(value: str) -> str:
    return f"{float(value):.2f}"


@pytest.mark.parametrize("study", ["sample", "schedule"])
def test_figures_of_ag_news(study):
    lines = tables(f"`{study}`")
    assert lines
    for name, ours, interval, paper, _ in lines:
        line = figures(study)["ag_news", name]
        assert paper == hundredths(line["paper"])
        if ours:
            mean, low, high = (hundredths(line[key]) for key in ("mean_pct", "ci_low", "ci_high"))
            assert (ours, interval) == (mean, f"{low} to {high}")


def test_figures_of_the_linear_rows():
    datasets = [
        config.load("config/linear.yaml").dataset(key).paper for key in config.load("config/linear.yaml").datasets
    ]
    lines = tables("`linear`")
    assert lines
    for name, *cells in lines:
        for dataset, cell in zip(datasets, cells, strict=True):
            line = figures("linear")[dataset, name]
            ours, paper, delta = (part.strip() for part in cell.split("/"))
            assert paper == hundredths(line["paper"])
            if ours:
                assert (ours, delta) == (hundredths(line["mean_pct"]), f"{float(delta):+.2f}")
                # The table has rounded once, its CSV file rounds to four digits first.
                assert float(delta) == pytest.approx(float(line["delta"]), abs=0.00501)


def test_numbers_of_rows():
    for path in STUDIES:
        settings = config.load(path)
        for entry in map(settings.dataset, settings.datasets):
            assert f"{entry.train_rows:,}" in PAGE
            assert f"{entry.test_rows:,}" in PAGE or entry.paper == "ag_news"


def test_files_are_there():
    links = set(re.findall(r"\]\(([^)]+)\)", PAGE))
    assert len(STUDIES) == 4
    assert all((ROOT / "docs" / link).exists() for link in links)
