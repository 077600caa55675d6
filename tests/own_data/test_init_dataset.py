"""crepe init-dataset: what it takes for what, what it finds odd, and the archive and study that it writes."""

import csv
import errno
import hashlib
import io
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

import polars as pl
import pytest
import yaml

from crepe.cli import main
from crepe.config import load
from crepe.data.clean import clean
from crepe.own_data import init_dataset
from crepe.own_data.init_dataset import SEED, SHARE
from tests.support.study import project

WORDS = ("a", "short", "text", "of", "some", "words", "or", "more")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def texts(rows, seed=0):
    chance = random.Random(seed)
    return [f"{' '.join(chance.choices(WORDS, k=9))} {seed} {number}" for number in range(rows)]


def rows(count=300, labels=("cats", "dogs"), seed=0):
    return [[labels[number % len(labels)], text] for number, text in enumerate(texts(count, seed))]


def write(name, rows, header=("label", "text")):
    with Path(name).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows] if header else rows)


def run(capsys, *words, status=0):
    """What the command prints: lines of its output, or its error."""
    assert main(["init-dataset", *words]) == status
    said, errors = capsys.readouterr()
    if status == 0:
        return said.splitlines()
    assert "Traceback" not in errors
    return errors


def read(name):
    """The rows that the archive of a study comes to, by split."""
    config = load(f"config/{name}.yaml")
    (source,) = config.dataset(name).sources
    facts = clean(name, config.dataset(name), source.local, Path("clean"))
    frames = (pl.read_parquet(f"clean/{split}.parquet") for split in ("train", "test"))
    return facts.classes, *(frame.rows() for frame in frames)


def test_a_table_becomes_a_dataset_that_the_workflow_takes(capsys):
    content = rows()
    write("my pets.csv", content)
    said = run(capsys, "my pets.csv")
    assert said[:2] == [
        "my pets.csv: CSV, commas, quotes inside doubled, UTF-8, with a header",
        "label: label; texts: text",
    ]
    classes, train, test = read("my-pets")
    assert classes == ["cats", "dogs"]
    assert sorted([*train, *test]) == sorted((classes.index(label), text) for label, text in content)
    assert said[-10:-5] == [
        f"class cats: {sum(row[0] == 0 for row in train)} train rows, {sum(row[0] == 0 for row in test)} test rows",
        f"class dogs: {sum(row[0] == 1 for row in train)} train rows, {sum(row[0] == 1 for row in test)} test rows",
        f"in all: {len(train)} train rows, {len(test)} test rows (some 10%, by a hash of the text with seed 0)",
        "times a few batches of conv-small and conv-large",
        "written: data/own/my-pets.tgz, config/my-pets.yaml",
    ]
    assert said[-2:] == [
        "to run it: snakemake --cores all --resources gpu=1 all --configfile config/my-pets.yaml",
        "to run and record it with DVC: crepe pipeline --config config/my-pets.yaml"
        " && dvc repro results/my-pets/dvc.yaml",
    ]
    assert not [line for line in said if line.startswith("odd")]
    config = load("config/my-pets.yaml")
    assert (config.name, config.datasets, config.seeds) == ("my-pets", ("my-pets",), (0,))
    (source,) = config.dataset("my-pets").sources
    archive = Path("data/own/my-pets.tgz").read_bytes()
    assert (source.bytes, source.sha256) == (len(archive), hashlib.sha256(archive).hexdigest())
    assert [path.name for path in Path("data/own").iterdir()] == ["my-pets.tgz"]


def test_which_rows_are_for_tests_depends_on_their_text_alone(capsys):
    content = rows(2000)
    content += content[:200]
    write("a.csv", content)
    random.Random(1).shuffle(content)
    write("b.csv", [*content, *rows(100, seed=5)])
    run(capsys, "a.csv")
    run(capsys, "b.csv")
    _, train, test = read("a")
    assert {text for _, text in train}.isdisjoint(text for _, text in test)
    assert 0.07 < len(test) / 2200 < 0.13
    for _, text in test:
        digest = hashlib.sha256(f"{SEED}{text}".encode()).digest()
        assert int.from_bytes(digest[:8], "big") < SHARE * 2**64
    _, _, more = read("b")
    assert set(test) <= set(more)


def test_the_same_table_gives_the_same_bytes(capsys):
    write("a.csv", rows())
    run(capsys, "a.csv")
    first = [Path(name).read_bytes() for name in ("data/own/a.tgz", "config/a.yaml")]
    Path("config/a.yaml").unlink()
    run(capsys, "a.csv")
    assert [Path(name).read_bytes() for name in ("data/own/a.tgz", "config/a.yaml")] == first


def test_the_study_says_how_it_was_made(capsys):
    write("a.csv", rows())
    run(capsys, "a.csv")
    text = Path("config/a.yaml").read_text()
    assert "#   1: cats\n#   2: dogs\n" in text
    words = shlex.split(text.splitlines()[0].removeprefix("# Made by: "))
    Path("config/a.yaml").unlink()
    run(capsys, *words[2:])
    assert Path("config/a.yaml").read_text() == text


@pytest.mark.parametrize(("count", "batches"), [(6000, 5 * 5400 / 128), (40, 20)])
def test_an_epoch_is_five_times_the_train_rows(capsys, count, batches):
    write("a.csv", rows(count))
    run(capsys, "a.csv")
    entry = yaml.safe_load(Path("config/a.yaml").read_text())["catalog"]["datasets"]["a"]
    assert entry["batches_per_epoch"] == pytest.approx(batches, rel=0.02)


def test_train_and_test_files(capsys):
    write("train.csv", rows(100))
    write("test.csv", [*rows(50, seed=1), *rows(3)])
    said = run(capsys, "train.csv", "--test", "test.csv", "--name", "pets")
    assert "odd: test.csv: rows with a text of train.csv: 3" in said
    assert "in all: 100 train rows, 53 test rows" in said
    _, train, test = read("pets")
    # In the order of the files.
    assert [text for _, text in train] == texts(100)
    assert [text for _, text in test] == [*texts(50, 1), *texts(3)]


def test_parquet(capsys):
    content = rows()
    pl.DataFrame(content, ["label", "text"], orient="row").write_parquet("a.parquet")
    write("b.csv", content)
    run(capsys, "a.parquet")
    run(capsys, "b.csv")
    assert read("a") == read("b")


def test_what_the_format_writes_otherwise(capsys):
    awkward = ['two\nlines, a comma and "quotes"', "two\r\nlines of Windows", "café – 東京 \u2028 and on", "a \\ b"]
    content = [["1", text] for text in awkward] + [["2", text] for text in texts(20)]
    write("a.csv", content)
    write("b.csv", content)
    run(capsys, "a.csv", "--test", "b.csv")
    _, train, _ = read("a")
    assert [text for label, text in train if label == 0] == [text.replace("\r\n", "\n") for text in awkward]


@pytest.mark.parametrize(
    ("header", "row", "label", "found"),
    [
        (("id", "topic", "subject", "body", "date"), ["{n}", "{label}", "{text}", "{text}", "2024-01-{n}"], "topic", 2),
        (None, ["{number}", "{text}", "{text}"], "column 1", 2),
        (None, ["{text}", "{label}"], "column 2", 1),
        (("review", "stars"), ["{text}", "{number}"], "stars", 1),
        (("text", "label", "lang"), ["{text}", "{label}", "{other}"], "label", 1),
        (("Text", "Category"), ["{text}", "the {label} of it"], "Category", 1),
    ],
)
def test_columns_are_found(capsys, header, row, label, found):
    content = []
    for n, text in enumerate(texts(100)):
        values = {"n": n, "text": text, "label": ("cats", "dogs")[n % 2], "number": n % 3 + 1, "other": "ab"[n % 2] * 2}
        content.append([cell.format(**values) for cell in row])
    write("a.csv", content, header)
    (line,) = [line for line in run(capsys, "a.csv") if line.startswith("label: ")]
    assert line.startswith(f"label: {label}; texts: ")
    assert len(line.partition("texts: ")[2].split(", ")) == found


def test_columns_that_are_named_stand_in_their_order(capsys):
    write("a.csv", [[*row, row[1].upper(), "x"] for row in rows(50)], ("label", "text", "loud", "mark"))
    run(capsys, "a.csv", "--text", "loud", "--text", "text")
    _, train, _ = read("a")
    assert all(loud == text.upper() for _, loud, text in train)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["b", " a ", "c  d"], ["a", "b", "c d"]),
        (["-1", "1.5", "0"], ["-1", "0", "1.5"]),
        (["n/a", "2", "10"], ["2", "10", "n/a"]),
    ],
)
def test_classes_are_in_order(capsys, labels, names):
    write("a.csv", rows(90, labels))
    run(capsys, "a.csv")
    assert read("a")[0] == names


def test_what_is_odd(capsys):
    content = rows(400)
    content[3][1] = content[5][1] = " "
    content[7][0] = ""
    content[20][1] = content[22][1] = content[24][1]
    content[31][1] = content[30][1]
    content[40][1] = "x" * 2000
    content[50][1] += r" a\nb"
    content += [["rare", text] for text in texts(4, 9)]
    write("a.csv", content)
    odd = [line.removeprefix("odd: ") for line in run(capsys, "a.csv") if line.startswith("odd: ")]
    middle = statistics.median(len(text.strip(" ") or " ") for label, text in content if label)
    assert odd == [
        "a.csv: rows without a label, left out: 1 (line 9)",
        "a.csv: rows without text: 2 (line 5, 7)",
        r"a.csv: texts with the two characters \n, now a line end: 1 (line 52)",
        "a.csv: rows with a text that stood before: 4 of 403",
        "a.csv: texts that stand there with different labels: 1",
        "a.csv: texts of more than the 1,014 bytes that the paper's character models see: 1 of 403 "
        f"(median {middle:.0f}, longest 2,000)",
        "class rare: has few train rows: 4",
        "class rare: has no test rows",
    ]
    _, train, test = read("a")
    assert len(train) + len(test) == 403
    assert sum(label == 2 for label, _ in train) == 4


def test_many_odd_rows_are_counted_and_some_named(capsys):
    content = rows(100)
    for row in content[::10]:
        row[1] = ""
    write("a.csv", content)
    assert "odd: a.csv: rows without text: 10 (line 2, 12, 22, ...)" in run(capsys, "a.csv")


def test_a_large_class_and_another_alphabet(capsys):
    write("a.csv", [["да" if n % 10 else "нет", f"короткий текст из слов {n}"] for n in range(300)])
    said = "\n".join(run(capsys, "a.csv"))
    assert "odd: a.csv: 7" in said
    assert "of the characters are in no alphabet of the paper's; take models of words" in said
    assert "odd: class да: has 90% of the train rows" in said


# --- What is refused


def refused(capsys, *words):
    error = run(capsys, *words, status=1)
    # Nothing is left behind.
    assert not list(Path("data").rglob("*.*"))
    return error.removeprefix("crepe init-dataset: ").rstrip("\n")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--label", "topic"], "a.csv: has no column 'topic'; it has label, text"),
        (["--text", "body"], "a.csv: has no column 'body'; it has label, text"),
        (["--text", "text", "--text", "text"], "--label, --text: a column is named twice"),
        (["--label", "text", "--text", "text"], "--label, --text: a column is named twice"),
        (["--label", "text"], "a.csv: which columns are the texts cannot be told; name one to three by --text: label"),
        (["--name", "../x"], "'../x': cannot be a folder's name; give one of letters, digits, '.', '_', '-' by --name"),
        (["--name", "ag_news"], "'ag_news': is a dataset of config/datasets.yaml; give another name by --name"),
        (["--name", "demo"], "config/demo.yaml: is there already; delete it, or give another name by --name"),
        (["--test", "nowhere.csv"], "nowhere.csv: cannot be read: No such file or directory"),
        (["--test", "others.csv"], "others.csv: has no column 'label', as a.csv has; it has topic, text"),
        (["--test", "birds.csv"], "birds.csv: class 'birds' is not in a.csv, which can teach nothing of it"),
    ],
)
def test_what_is_asked_for_must_be_there(capsys, words, fault):
    write("a.csv", rows(50))
    write("others.csv", rows(50), ("topic", "text"))
    write("birds.csv", rows(50, ("cats", "birds")))
    assert refused(capsys, "a.csv", *words) == fault


def test_a_label_that_cannot_be_told(capsys):
    write("a.csv", [[*row, "xyz"[n % 3]] for n, row in enumerate(rows(60))], ("kind", "text", "mark"))
    fault = "which column is the label cannot be told; name it by --label: kind (2 values), mark (3 values)"
    assert refused(capsys, "a.csv") == f"a.csv: {fault}"
    assert "label: mark; texts: text" in run(capsys, "a.csv", "--label", "mark")


def test_more_text_than_a_row_takes(capsys):
    write("a.csv", [[label, *[text] * 4] for label, text in rows(60)], ("label", "a", "b", "c", "d"))
    fault = "a.csv: has more than three columns of text; name one to three by --text: a, b, c, d"
    assert refused(capsys, "a.csv") == fault
    words = [word for name in "abcd" for word in ("--text", name)]
    assert refused(capsys, "a.csv", *words) == "--text: names more than three columns"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([["cats", text] for text in texts(50)], "a.csv: has 1 class; two or more can be told apart"),
        (rows(12), "a.csv: has too few rows to keep some for tests; name a test file by --test"),
        (
            [*rows(20), ["dogs", "a text\0of words"]],
            "a.csv: line 22: holds a NUL byte; take it out, or, if the file is UTF-16 without a "
            "byte-order mark, convert it to UTF-8",
        ),
    ],
)
def test_tables_that_cannot_be_used(capsys, content, fault, monkeypatch):
    write("a.csv", content)
    # Behind the sample from which a file's form is found.
    monkeypatch.setattr("crepe.io.dialect.SAMPLE", 600)
    assert refused(capsys, "a.csv", "--label", "label") == fault


def test_a_table_without_a_column_of_text(capsys):
    Path("a.json").write_text('{"data": [{"label": "a", "text": "some words"}]}\n')
    assert "a.json: has no column of text, but data; write lists, objects" in run(capsys, "a.json", status=1)


def test_labels_that_are_no_text_are_named(capsys):
    pl.DataFrame({"label": [b"a", b"b"] * 20, "text": texts(40)}).write_parquet("a.parquet")
    assert " values) (label: of types that are no text)" in run(capsys, "a.parquet", status=1)


def test_names_cannot_command_a_terminal(capsys):
    write("a.csv", rows(), ("label\x1b[31m", "text"))
    assert r"label: label\x1b[31m; texts: text" in run(capsys, "a.csv")


def test_a_full_standard_output_is_not_the_folder(capsys, monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    write("a.csv", rows())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        assert main(["init-dataset", "a.csv"]) == 1
    assert "standard output: cannot be written: No space left on device" in capsys.readouterr().err
    assert not list(Path("data").rglob("*.tgz"))


def test_what_a_killed_run_left_is_removed_by_the_next(capsys, folder):
    write("a.csv", rows())
    code = (
        "import os, signal; from crepe.own_data import init_dataset; "
        "init_dataset.oddities = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "from crepe.cli import main; main(['init-dataset', 'a.csv', '--name', 'other'])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -signal.SIGKILL
    assert list(Path("data/own").glob(".other.*.part"))
    run(capsys, "a.csv")
    assert [path.name for path in Path("data/own").iterdir()] == ["a.tgz"]


def test_an_archive_is_the_bytes_of_its_rows_alone(capsys):
    write("a.csv", rows())
    run(capsys, "a.csv")
    with tarfile.open("data/own/a.tgz") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["a_csv/classes.txt", "a_csv/train.csv", "a_csv/test.csv"]
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}


def test_the_study_trains_in_seconds_and_says_what_larger_models_take(capsys):
    write("even.csv", [(("a", "b")[n % 2], f"text {n}") for n in range(400)])
    said = run(capsys, "even.csv")
    command = "snakemake --cores all --resources gpu=1 all --configfile config/even.yaml"
    assert said[-5:-1] == [
        "conv-small would take about 13 min on this machine",
        "conv-large would take about 4 days on this machine",
        f"to train one of these, too: {command} --config 'models=[bow-tfidf-l2, conv-small]'",
        f"to run it: {command}",
    ]
    assert "# conv-small would take about 13 min on this machine.\n" in Path("config/even.yaml").read_text()
    config = load("config/even.yaml")
    assert config.models == ("bow-tfidf-l2",)
    assert {recipe.as_dict().get("sampling", "rows") for recipe in config.training.values()} == {"rows"}


@pytest.mark.parametrize(
    ("options", "models", "sampling"),
    [
        ([], {"bow-tfidf-l2": "cg", "bow-tfidf-l2-classes": "classes"}, "rows"),
        (["--sampling", "rows"], {"bow-tfidf-l2": "cg"}, "rows"),
        (["--sampling", "classes"], {"bow-tfidf-l2": "classes"}, "classes"),
    ],
)
def test_uneven_classes_are_drawn_in_both_ways_unless_one_is_asked_for(capsys, options, models, sampling):
    write("uneven.csv", [("ab"[n % 5 == 0], f"text {n}") for n in range(400)])
    run(capsys, "uneven.csv", *options)
    config = load("config/uneven.yaml")
    recipes = {key: config.model(key).recipe.as_dict() for key in config.models}
    assert {key: recipe.get("sampling", recipe["kind"]) for key, recipe in recipes.items()} == models
    assert config.training["convnet"].as_dict()["sampling"] == sampling


def test_rows_that_are_timed_come_from_the_whole_table():
    sample = init_dataset._Sample()
    for number in range(20_000):
        sample.add(str(number))
    assert len(set(sample.texts)) == init_dataset.SAMPLE
    assert abs(sum(map(int, sample.texts)) / init_dataset.SAMPLE - 10_000) < 1000
