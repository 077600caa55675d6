"""docs/own-data.md: every command in it, run as written."""

import csv
import random
import re
import shlex

import pytest

from tests.support import tiny
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/own-data.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^    (\S.*)$", PAGE, flags=re.M)]
(SAMPLE,) = re.findall(r"```csv\n(.*?)```", PAGE, flags=re.S)

GOOD, BAD = ("warm", "kind", "funny", "wept"), ("gone", "dull", "hours", "noise")


def texts(rows):
    """Rows of whether a text is good, and the text."""
    chance = random.Random(0)
    for row in range(rows):
        good = row % 2 == 0
        words = chance.choices(GOOD if good else BAD, k=6) + chance.choices(("the", "film", "of", "it"), k=6)
        yield good, f"{' '.join(words).capitalize()}, {row}."


def write(path, header, rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the page's commands print, in a project with the page's files."""
    folder = tmp_path_factory.mktemp("own")
    tiny.copy(folder)
    (folder / "reviews.csv").write_text(SAMPLE)
    with (folder / "reviews.csv").open("a", newline="") as stream:
        csv.writer(stream).writerows([5 if good else 1, text] for good, text in texts(600))
    queues = [["praise" if good else "blame", text[:20], text, "2024-05-01"] for good, text in texts(400)]
    write(folder / "train.csv", ["queue", "subject", "body", "day"], queues[:300])
    write(folder / "test.csv", ["queue", "subject", "body", "day"], [*queues[300:], queues[0]])
    return [tiny.run(folder, *words) for words in COMMANDS], folder


def test_every_command_does_what_the_page_says(said):
    said, folder = said
    assert [" ".join(words[:2]) for words in COMMANDS] == [
        "crepe init-dataset",
        "snakemake -n",
        "snakemake --cores",
        "crepe watch",
        "crepe predict",
        "crepe predict",
        "crepe compare",
        "crepe scores",
        "crepe table",
        "crepe init-dataset",
    ]
    first, plan, _, watched, predicted, _, compared, scores, by_metric, second = said
    assert "label: stars; texts: review\n" in first
    printed = re.findall("^to run it: (.*)$", first, flags=re.M)
    assert printed == ["snakemake --cores all --resources gpu=1 all --configfile config/reviews.yaml"]
    assert re.search("^train +1$", plan, flags=re.M)
    assert re.search("^conv-small would take about .* on this machine$", first, flags=re.M)
    assert re.search(r"bow-tfidf-l2 +│ +\d\.\d\d │", watched)
    assert predicted.startswith("5\t")
    assert (folder / "classes.csv").read_text().startswith('"stars","review","class","probability",')
    assert "label: queue; texts: subject, body\n" in second
    assert "test.csv: rows with a text of train.csv: 1\n" in second
    assert re.search(r"^McNemar's test \(exact\): p = [\d.]+$", compared, flags=re.M)
    assert re.search(r"^macro-F1: A [\d.]+, B [\d.]+$", compared, flags=re.M)
    assert "macro-F1" in scores
    assert re.search(r"^\| BoW TFIDF, length 1 \| [01]\.\d{4}", by_metric, flags=re.M)
    table = (folder / "results/reviews/table.csv").read_text()
    # The words tell the class.
    assert float(re.search(r"^reviews,bow-tfidf-l2,0,([\d.]+),", table, flags=re.M)[1]) < 10
