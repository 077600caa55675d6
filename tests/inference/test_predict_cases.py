"""`crepe predict` with inputs as people have them: the texts that it takes, or the message that it gives."""

import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crepe.cli import main
from tests.support.classifiers import write
from tests.support.paths import ROOT

CASES = ROOT / "tests/cases"


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bag"), "bag")


def texts(bag: Path, capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> list[str]:
    """The texts that are classified."""
    assert main(["predict", str(bag), "--input", str(path), "--json", "--device", "cpu", *options]) == 0
    return [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        ("predict-backslash.csv", (), ['A "tensor" of zeros', "Draw"]),
        ("predict-name-with-comma.csv", ("--fields", "title, long"), ["A tensor"]),
        ("predict-name-with-comma.csv", ("--fields", '"title, long",id'), [["A tensor", "1"]]),
        ("predict-semicolons.csv", (), ["A tensor, of zeros", "Draw a histogram"]),
    ],
)
def test_files(bag, capsys, file, options, expected) -> None:
    assert texts(bag, capsys, CASES / file, *options) == expected


def test_an_open_quote_is_refused(bag, capsys, tmp_path: Path) -> None:
    words = ["predict", str(bag), "--input", str(CASES / "predict-open-quote.csv"), "--output", str(tmp_path / "x.csv")]
    assert main(words) == 1
    assert "predict-open-quote.csv: line 2: unexpected end of data; a field that holds" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_tabs_without_quoting(bag, capsys) -> None:
    rows = texts(bag, capsys, CASES / "tsv-open-quote.tsv")
    assert len(rows) == 40
    assert rows[2] == '"some text number 3'
    assert rows[8] == 'some text number 9"'


def test_a_line_end_at_the_end_of_a_block(bag, capsys, tmp_path: Path) -> None:
    head = b'id,text\r\n1,"'
    pad = b"x" * (4 * 2**20 - len(head) - 1)
    (tmp_path / "block.csv").write_bytes(head + pad + b'\r\ntail"\r\n2,"b"\r\n')
    assert texts(bag, capsys, tmp_path / "block.csv") == [f"{pad.decode()}\r\ntail", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.CSV", b"id,text\n1,purr\n2,fly\n"),
        ("a.csv", "id,text\n1,purr\n2,fly\n".encode("utf-16")),
        ("a.txt", b"id|text\n1|purr\n2|fly\n"),
        ("a.csv", b"text\npurr\nfly\n"),
        ("a.jsonl", b'{"text": "purr"}\n{"text": "fly"}\n'),
    ],
)
def test_forms(bag, capsys, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert texts(bag, capsys, tmp_path / name) == ["purr", "fly"]


def test_a_column_without_a_name_that_is_the_only_one(bag, capsys, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('continent\nAfrica\n\n"Asia, and\nmore"\n')
    assert texts(bag, capsys, tmp_path / "a.csv") == ["Africa", "", "Asia, and\nmore"]


def test_a_dictionary_of_texts(bag, capsys, tmp_path: Path) -> None:
    column = pa.array(["purr", "fly", None, "purr"]).dictionary_encode()
    pq.write_table(pa.table({"text": column, "n": [1, 2, 3, 4]}), tmp_path / "a.parquet")
    assert texts(bag, capsys, tmp_path / "a.parquet") == ["purr", "fly", "", "purr"]
    words = ["--input", str(tmp_path / "a.parquet"), "--output", str(tmp_path / "out.csv"), "--device", "cpu"]
    assert main(["predict", str(bag), *words]) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 5


def test_a_byte_order_mark_of_standard_input_is_no_text(bag, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfpurr\npurr\n")))
    assert main(["predict", str(bag), "--device", "cpu"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def test_a_byte_order_mark_that_arrives_in_pieces(bag, monkeypatch, capsys) -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return self.read(1)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Slow(b"\xef\xbb\xbfpurr\n")))
    assert main(["predict", str(bag), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("\tpurr\n")


@pytest.mark.parametrize("text", ["[/b] purr", "[red]purr", ":smile: purr"])
def test_marks_of_a_terminal_library_are_text(bag, capsys, monkeypatch, text: str) -> None:
    monkeypatch.setattr("crepe.inference.classifier.Classifier.classes", ["[/b]", "[red]", ":x:"])
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["predict", str(bag), text, "--explain", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.split()[0] in ("[/b]", "[red]", ":x:")
    assert text.split()[0].removesuffix("purr") in out
