"""`crepe predict`: texts from anywhere, in order, with reasons."""

import io
import json
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import torch

import crepe
from crepe.cli import main
from tests.support.classifiers import CLASSES, KINDS, classifier, texts, write


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bag"), "bag")


@pytest.fixture
def typed(monkeypatch):
    """What stands in standard input."""

    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def predict(*options, status=0):
    assert main(["predict", *map(str, options), "--device", "cpu"]) == status


def test_a_line_a_text(bag, capsys):
    rows = ["purr purr purr", "howl\nbark\thowl"]
    predict(bag, *rows)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == crepe.load(bag, "cpu").predict(rows)
    assert [line[2] for line in lines] == ["purr purr purr", "howl bark howl"]
    assert all(1 / 3 < float(line[1]) <= 1 for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_order_and_company_do_not_matter(kind):
    some, rows = classifier(kind), texts(300)
    alone = np.concatenate([some.probabilities([text]) for text in rows[::30]])
    np.testing.assert_allclose(some.probabilities(rows)[::30], alone, rtol=1e-4, atol=1e-6)
    assert np.ptp(some.probabilities(rows), axis=0).min() > 0.01
    assert some.probabilities([]).shape == (0, 3)


def test_white_space_around_a_text_is_no_part_of_it():
    some = classifier("characters")
    pairs = some.probabilities(["purr howl", "\t purr howl \n", ("purr", "howl"), (" purr", "howl\n")])
    assert np.array_equal(pairs[0], pairs[1])
    assert np.array_equal(pairs[2], pairs[3])


def test_load_takes_the_file_or_its_folder(bag):
    assert crepe.load(bag, "cpu").classes == crepe.load(bag / "model.safetensors", "cpu").classes == CLASSES


def test_lines_of_standard_input(bag, typed, capsys):
    rows = texts(500)
    typed("\n".join(rows).encode())
    predict(bag)
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert [line.split("\t")[2] for line in lines] == rows
    assert [line.split("\t")[0] for line in lines] == crepe.load(bag, "cpu").predict(rows)


@pytest.mark.parametrize(("content", "rows"), [(b"", []), (b"\n\n", ["", ""]), (b"purr\r\nfly", ["purr", "fly"])])
def test_lines_are_counted_as_they_stand(bag, typed, capsys, content, rows):
    typed(content)
    predict(bag, "--json")
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == rows


def test_a_line_that_is_no_text_is_named(bag, typed, capsys):
    typed(b"purr\nfl\xffy\n")
    predict(bag, status=1)
    assert "standard input: line 2: is not UTF-8 from byte 3 on" in capsys.readouterr().err


def test_json(bag, capsys):
    predict(bag, "Purr, unknown", "--json", "--explain")
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == "Purr, unknown"
    assert list(answer["probabilities"]) == CLASSES
    assert answer["probability"] == answer["probabilities"][answer["class"]] == max(answer["probabilities"].values())
    assert [piece for piece, _ in answer["explanation"]] == ["Purr", ", ", "unknown"]
    assert answer["explanation"][0][1] > 0 == answer["explanation"][2][1]


def test_marks_and_colours(bag, capsys, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    predict(bag, "so purr, unknown", "--explain")
    assert capsys.readouterr().out.endswith("\tso {+purr+}, unknown\n")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    predict(bag, "so purr, unknown", "--explain")
    assert "\x1b[30;48;2;90;165;255mpurr\x1b[0m" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("source", [".csv", ".parquet"])
@pytest.mark.parametrize("target", [".csv", ".parquet"])
def test_files(bag, tmp_path, source, target):
    rows = texts(200)
    table = pa.table({"id": [f"{row:03d}" for row in range(200)], "field_1": rows, "field_2": rows[::-1]})
    write_table = pc.write_csv if source == ".csv" else pq.write_table
    write_table(table, tmp_path / f"in{source}")
    predict(bag, "--input", tmp_path / f"in{source}", "--output", tmp_path / f"out{target}", "--explain")
    out = (pc.read_csv if target == ".csv" else pq.read_table)(tmp_path / f"out{target}")
    names = ["id", "field_1", "field_2", "class", "probability", *(f"p_{name}" for name in CLASSES), "explanation"]
    assert out.column_names == names
    pairs = list(zip(rows, rows[::-1], strict=True))
    assert out["class"].to_pylist() == crepe.load(bag, "cpu").predict(pairs)
    shares = np.stack([out[f"p_{name}"].to_numpy() for name in CLASSES], axis=1)
    np.testing.assert_allclose(shares, crepe.load(bag, "cpu").probabilities(pairs), atol=1e-5)
    assert "".join(piece for piece, _ in json.loads(out["explanation"][7].as_py())) == " ".join(pairs[7])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({f"in{source}", f"out{target}"})


def test_fields_are_named(bag, tmp_path, capsys):
    pc.write_csv(pa.table({"title": ["purr", "sing"], "n": [1, 2]}), tmp_path / "in.csv")
    predict(bag, "--input", tmp_path / "in.csv", "--fields", "title")
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == ["purr", "sing"]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"title": ["a"], "n": [1]},
            [],
            "which columns are the text cannot be told; --fields names them; there are title, n",
        ),
        ({"text": ["a"]}, ["--fields", "title"], "has no column 'title'; there are text"),
        ({"text": [1]}, [], "column 'text' is int64, not text"),
        ({"text": ["a"], "class": ["b"]}, [], "would have two columns named 'class'; rename that of the input"),
        ({"text": ["a"]}, ["--fields", "te\nxt"], "--fields: is no line of CSV (new-line character seen"),
        ({"text": ["a"]}, ["--json"], "--json: is for lines"),
        ({"text": ["a"]}, ["a text"], "--input: texts are given, too"),
    ],
)
def test_refusals_leave_nothing_behind(bag, tmp_path, capsys, columns, options, message):
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    predict(bag, *options, "--input", tmp_path / "in.parquet", "--output", tmp_path / "out.csv", status=1)
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_objects_of_json_lines_are_no_texts(bag, tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text('{"data": [{"text": "purr"}]}\n')
    predict(bag, "--input", tmp_path / "in.jsonl", status=1)
    assert "column 'data' is JSON lists or objects, not text" in capsys.readouterr().err


def test_a_fault_in_the_middle_leaves_the_old_file(bag, tmp_path, capsys):
    (tmp_path / "in.csv").write_bytes(b"text,id\n" + (b"purr " * 1000 + b",1\n") * 1500 + b"fly\n")
    (tmp_path / "out.csv").write_text("old")
    predict(bag, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv", status=1)
    assert "in.csv: line 1502: has 1 fields where others have 2" in capsys.readouterr().err
    assert (tmp_path / "out.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_a_missing_model_is_named(tmp_path, capsys):
    predict(tmp_path, "text", status=1)
    assert "model.safetensors: is missing; run `crepe train` again" in capsys.readouterr().err


def test_a_mistyped_model_is_told_what_there_is(bag, tmp_path, capsys):
    shutil.copytree(bag, tmp_path / "pets/bow/0")
    predict(tmp_path / "pets/bow", "text", status=1)
    assert (
        f"model.safetensors: is missing; take {tmp_path}/pets/bow/0, or run `crepe train` " in capsys.readouterr().err
    )
    predict(tmp_path / "pets/bwo/0", "text", status=1)
    assert f"pets/bwo/0: is missing; {tmp_path}/pets has bow; or run `crepe train` " in capsys.readouterr().err


def test_a_mistyped_folder_of_the_output_is_not_made(bag, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("text\npurr\n")
    predict(bag, "--input", tmp_path / "in.csv", "--output", tmp_path / "nowhere/out.csv", status=1)
    assert f"there is no folder {tmp_path}/nowhere; make it first" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_want_of_memory_is_said_with_what_to_do(bag, capsys, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("crepe.evaluation.prediction.predict", full)
    predict(bag, "purr", status=1)
    assert "Tried to allocate 2.00 GiB.; give fewer texts at a time, " in capsys.readouterr().err
