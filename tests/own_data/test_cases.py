"""Tables as people have them, each after a public bug report: what becomes of it, or the message that it gets.

The files are in `tests/cases/`; `OWN` are further ones, with the report that they are made after.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from crepe.cli import main
from crepe.config import load
from crepe.data.clean import clean
from tests.support.paths import ROOT
from tests.support.study import project

CASES = ROOT / "tests/cases"


@dataclass(frozen=True)
class Case:
    """What `crepe init-dataset` makes of a file."""

    file: str
    columns: str
    """The columns that it takes."""
    classes: dict[str, int]
    """Rows of each class."""
    first: str
    """The text of the first row."""
    about: str = ""
    """Part of what it says of the file's form."""
    odd: tuple[str, ...] = ()
    """What it finds odd, but for classes without test rows."""
    options: tuple[str, ...] = ()


NEG_POS = {"neg": 20, "pos": 20}
SOME = "some text number 1"
MOVIE = "great acting and a fine score number 0 of them"
WHOLE = {"neg": 30, "pos": 30}
LEFT = "left out, --text takes it"

ODD_NAMES = (
    *("#1", "$HOME", "'quote'", "-- dash", "50%", "<b>", "[/b]", "__label__x", "a,b", 'c"d', "e/f", "smile😀"),
    *("two lines", "x: y", "{}", "ü"),
)

GOOD = [
    Case(
        "backslash-escapes.csv",
        "label: label; texts: text",
        NEG_POS,
        # The archive's format has the two characters \n for a line end.
        'some text number 1 "so" first\nsecond C:\\temp',
        "quotes inside behind a backslash",
        (r"texts with the two characters \n, now a line end: 40 (line 2, 3, 4, ...)",),
    ),
    Case(
        "chinese-text-and-source.csv",
        "label: label; texts: text",
        NEG_POS,
        "这部电影很好看1",
        odd=(f"column source has the same value in all rows; {LEFT}", "80% of the characters are of scripts without"),
    ),
    Case(
        "chinese.csv",
        "label: label; texts: text",
        {"好评": 400, "差评": 400},
        "我觉得味道鲜美，服务周到，值得推荐！",
        odd=("rows with a text that stood before: 79 of 800", "84% of the characters are of scripts without spaces"),
    ),
    Case(
        "chinese-spaced.csv",
        "label: label; texts: text",
        {"好评": 400, "差评": 400},
        "我 觉 得 味 道 鲜 美   服 务 周 到   值 得 推 荐",
        odd=("rows with a text that stood before: 79 of 800", "of the characters are of scripts without spaces"),
    ),
    Case(
        "column-line.csv",
        "label: character; texts: line",
        WHOLE,
        MOVIE,
        odd=(f"column id has a value of its own in each row, as an id; {LEFT}",),
    ),
    Case("column-star.csv", "label: label; texts: *", NEG_POS, SOME),
    Case("data.arrow", "label: label; texts: text", WHOLE, MOVIE, "Arrow"),
    Case(
        "header-empty-first-name.csv",
        "label: label; texts: text",
        NEG_POS,
        SOME,
        "with a header",
        (f"column column 1 has a value of its own in each row, as an id; {LEFT}",),
    ),
    Case("header-excel-sep.csv", "label: label; texts: text", NEG_POS, SOME, "with a header"),
    Case(
        "header-long-name.csv",
        "label: label; texts: What would you tell a friend about our shop?",
        NEG_POS,
        SOME,
        "with a header",
    ),
    Case("header-word-in-column.csv", "label: spam; texts: message", {"ham": 20, "spam": 20}, SOME, "with a header"),
    Case("hf-classlabel.parquet", "label: label; texts: text", {"negative": 30, "positive": 30}, MOVIE, "Parquet"),
    Case(
        "label-as-text.csv",
        "label: label; texts: text",
        {"0": 293, "1": 307},
        "iota gamma zeta theta beta alpha theta eps",
        odd=(f"column label_text fixes label or is fixed by it, as a label in words; {LEFT}",),
    ),
    Case("label-decimal.parquet", "label: stars; texts: text", dict.fromkeys("12345", 12), MOVIE, "Parquet"),
    Case(
        "label-nan.parquet",
        "label: label; texts: text",
        {"0": 30, "1": 24},
        MOVIE,
        odd=("rows without a label, left out: 6 (row 10, 20, 30, ...)",),
    ),
    Case("lines.jsonl", "label: label; texts: text", NEG_POS, SOME, "JSON lines, UTF-8"),
    Case(
        "mysql-null.csv",
        "label: label; texts: text",
        {"neg": 30, "pos": 24},
        'the worst hour of my week number 1 of them "so" he',
        "quotes inside behind a backslash",
        ("rows without a label, left out: 6 (line 2, 12, 22, ...)",),
    ),
    Case("name-with-line-end.csv", "label: label; texts: my text", NEG_POS, SOME, "line ends inside quotes: 1"),
    Case(
        "odd-class-names.csv",
        "label: label; texts: text",
        dict.fromkeys(ODD_NAMES, 20),
        "text of a,b and number 0 with words",
        "line ends inside quotes: 20",
    ),
    Case("parquet-name/reviews[1].parquet", "label: label; texts: text", WHOLE, MOVIE),
    Case(
        "tsv-open-quote.tsv",
        "label: label; texts: text",
        NEG_POS,
        SOME,
        "tabs, no quoting, UTF-8, with a header; so every line has 2 fields, line ends that quotes would hold: 6",
    ),
    Case(
        "zero-width.csv",
        "label: label; texts: text",
        {"neg": 30, "pos": 15, "pos\u200b": 15},
        MOVIE,
        odd=(r"classes 'pos' and 'pos\u200b': look alike, and are two classes; write them the same way",),
    ),
    Case("date-column.csv", "label: intent; texts: text", {}, MOVIE, options=("--test", f"{CASES}/date-column.csv")),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def made(capsys, path, *options):
    """What is printed; and of the dataset that is made the classes and the rows, in order of their texts."""
    assert main(["init-dataset", str(path), *options, "--name", "mine"]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out.splitlines()
    config = load("config/mine.yaml")
    (source,) = config.dataset("mine").sources
    facts = clean("mine", config.dataset("mine"), source.local, Path("clean"))
    texts = pl.exclude("label")
    rows = pl.concat([pl.read_parquet(f"clean/{split}.parquet") for split in ("train", "test")])
    return said, [
        (facts.classes[label], text) for label, text in rows.select("label", pl.concat_str(texts, separator="|")).rows()
    ]


def check(capsys, case, path):
    said, rows = made(capsys, path, *case.options)
    assert case.about in said[0]
    assert case.columns in said
    found = Counter(label for label, _ in rows)
    if case.classes:
        assert found == case.classes
        assert case.first in {text for _, text in rows}
    odd = [line for line in said if line.startswith("odd: ") and " test rows" not in line and " train rows" not in line]
    if case.classes:
        assert len(odd) == len(case.odd), odd
    for line, part in zip(odd, case.odd, strict=False):
        assert part in line


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.file)
def test_files_that_are_read(capsys, case):
    check(capsys, case, CASES / case.file)


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("nul.csv", (), "line 7: holds a NUL byte; take it out"),
        ("r.csv.bz2", (), "is compressed by bzip2; unpack it: bunzip2 -k"),
        ("date-column.csv", (), "has too few rows to keep some for tests; name a test file by --test"),
        ("predict-open-quote.csv", (), "line 2: unexpected end of data; a field that holds a delimiter, a quote"),
        ("train.csv", ("--test", f"{CASES}/test-empty-label.csv"), "test-empty-label.csv: has no row with a label"),
    ],
)
def test_files_that_are_refused(capsys, file, options, message):
    assert main(["init-dataset", str(CASES / file), *options, "--name", "mine"]) == 1
    assert message in capsys.readouterr().err
    assert not list(Path("data").rglob("*.tgz"))
    assert not Path("config/mine.yaml").exists()


def test_a_first_text_that_is_longer_than_the_sample(capsys, tmp_path):
    lines = [f'{"ab"[n % 2]},"{"word " * (400_000 if n == 0 else 8)}{n}"\n' for n in range(60)]
    (tmp_path / "long.csv").write_text("label,text\n" + "".join(lines))
    _, rows = made(capsys, tmp_path / "long.csv")
    assert len(rows) == 60
    assert max(len(text) for _, text in rows) == 2_000_001


def test_a_first_text_of_many_lines_that_is_longer_than_the_sample(capsys, tmp_path):
    text = "two words\n" * 200_000
    lines = [f'{"ab"[n % 2]},"{text if n == 0 else ""}{n} and so on"\n' for n in range(60)]
    (tmp_path / "long.csv").write_text("label,text\n" + "".join(lines))
    said, rows = made(capsys, tmp_path / "long.csv")
    assert said[0].endswith("with a header; line ends inside quotes: 200,000")
    assert (len(rows), max(len(text) for _, text in rows)) == (60, len(text) + len("0 and so on"))


def test_a_table_called_paper_is_no_part_of_the_paper(capsys, tmp_path):
    (tmp_path / "paper.csv").write_bytes((CASES / "train.csv").read_bytes())
    assert main(["init-dataset", str(tmp_path / "paper.csv")]) == 1
    assert "'paper': is a study with results of its own, results/paper; give another name" in capsys.readouterr().err


# --- Of our own

TEXTS = [f"a text of {word} words or more, number {number}" for number, word in enumerate(["some", "few", "many"] * 30)]


@dataclass(frozen=True)
class Own:
    """A table made after a report: its lines, from label and text, and its header."""

    report: str
    header: str
    row: str
    columns: str
    first: str = TEXTS[0]
    about: str = ""
    end: str = "\n"
    classes: tuple[str, str] = ("neg", "pos")
    odd: tuple[str, ...] = field(default=())


OWN = [
    Own(
        "python/cpython#119123: commas in brackets are taken for the delimiter",
        "id;has_data;label;text",
        "{n};False;{label};['{text}', '112']",
        "label: label; texts: text",
        f"['{TEXTS[0]}', '112']",
        "semicolons",
        odd=(f"column id has a value of its own in each row, as an id; {LEFT}", "has_data has the same value in all"),
    ),
    Own(
        "python/cpython#97611: a comma in every text is taken for the delimiter, without a header",
        "",
        "{label};{text}",
        "label: column 1; texts: column 2",
        about="semicolons, quotes inside doubled, UTF-8, without a header",
    ),
    Own(
        "alan-turing-institute/CleverCSV#35: colons of times are taken for the delimiter",
        "",
        'bytearray(b"fake data"),20:53:06,{label},"{text}"',
        "label: column 3; texts: column 4",
        about="commas",
        odd=("column column 1 has the same value in all rows", "column column 2 has the same value in all rows"),
    ),
    Own(
        "alan-turing-institute/CleverCSV#99: Markdown in a cell, of many lines",
        "label,text",
        '{label},"# {text}\n\n* one\n* **two**, and\n| a | b |"',
        "label: label; texts: text",
        f"# {TEXTS[0]}\n\n* one\n* **two**, and\n| a | b |",
        "commas, quotes inside doubled, UTF-8, with a header; line ends inside quotes: 360",
    ),
    Own(
        "duckdb/duckdb#13305: blanks between commas and quotes",
        '"LABEL", "TEXT"',
        '"{label}", "{text}, \'and\', more"',
        "label: LABEL; texts: TEXT",
        f"{TEXTS[0]}, 'and', more",
        about="commas",
    ),
    Own(
        "huggingface/datasets#622: carriage returns alone end the lines",
        "label\ttext",
        "{label}\t{text}",
        "label: label; texts: text",
        about="tabs",
        end="\r",
    ),
    Own(
        "wbolster/jsonlines#53: NEL and LINE SEPARATOR inside a string of JSON lines",
        "",
        '{{"label": "{label}", "text": "{text}\x85and\u2028on"}}',
        "label: label; texts: text",
        f"{TEXTS[0]}\x85and\u2028on",
        "JSON lines",
    ),
    Own(
        "datasets/country-codes#38: the country code of Namibia is taken for a missing value",
        "country,text",
        '{label},"{text}"',
        "label: country; texts: text",
        classes=("NA", "ZA"),
        odd=("class NA: looks like a missing value; leave the label of its 45 rows empty if it is one",),
    ),
    Own(
        "oracle/tribuo#30, jazzband/tablib#334: blank lines between the rows and at the end",
        "label,text",
        '{label},"{text}"\n',
        "label: label; texts: text",
    ),
    Own(
        "openspending/openspending#532: blanks at the ends of names",
        " label , text ",
        '{label},"{text}"',
        "label: label; texts: text",
    ),
    Own(
        "Sentiment140: dates with names of months, a query that is always the same, no header",
        "",
        '"{label}","{n}","Mon Apr 06 22:{n}:45 PDT 2009","NO_QUERY","user","{text}"',
        "label: column 1; texts: column 6",
        classes=("0", "4"),
        about="without a header",
        odd=(
            f"column column 2 has a value of its own in each row, as an id; {LEFT}",
            f"column column 3 has dates; {LEFT}",
            "column column 4 has the same value in all rows",
            "column column 5 has the same value in all rows",
        ),
    ),
    Own(
        "setfit/amazon_reviews: a label and its name, neither called so",
        "stars,stars_text,review",
        '{label},rated {label},"{text}"',
        "label: stars; texts: review",
        classes=("1", "5"),
        odd=(f"column stars_text fixes stars or is fixed by it, as a label in words; {LEFT}",),
    ),
    Own(
        "rilldata/rill#2001: no header is found where all columns hold words",
        "animal,remark",
        '{label},"{text}"',
        "label: animal; texts: remark",
        about="with a header",
    ),
]


@pytest.mark.parametrize("own", OWN, ids=lambda own: own.report.partition(":")[0])
def test_tables_after_other_reports(capsys, tmp_path, own):
    lines = [own.header] if own.header else []
    lines += [own.row.format(n=n, label=own.classes[n % 2], text=text) for n, text in enumerate(TEXTS)]
    path = tmp_path / "table.txt"
    path.write_bytes("".join(f"{line}{own.end}" for line in lines).encode())
    classes = dict.fromkeys(own.classes, 45)
    check(capsys, Case("", own.columns, classes, own.first, own.about, own.odd), path)


@pytest.mark.parametrize(
    ("report", "content", "message"),
    [
        ("apple/turicreate#1692", 'a, b\n"a", "b"\n"c", "d\n', "line 3: unexpected end of data"),
        ("duckdb/duckdb#17431", "label,text\n", "has no rows"),
        ("git-lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a pointer of Git LFS"),
        ("a page for a file", "<!DOCTYPE html>\n<html>,\n", "is HTML or XML, not a table; download the file itself"),
        (
            "kedro-org/kedro#227",
            '[\n {"label": 1, "text": "a"}\n]\n',
            "is JSON as one value; make JSON lines of it: jq",
        ),
        (
            "fastText",
            "__label__pos a text\n__label__neg another\n",
            "is a file for fastText (__label__NAME TEXT); make",
        ),
    ],
)
def test_tables_after_other_reports_that_are_refused(capsys, tmp_path, report, content, message):
    (tmp_path / "table.csv").write_text(content)
    assert main(["init-dataset", str(tmp_path / "table.csv")]) == 1
    assert message in capsys.readouterr().err
