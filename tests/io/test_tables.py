"""crepe.io.tables: CSV in its many forms, JSON lines, Parquet, Arrow, and files that are refused."""

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crepe.errors import CrepeError
from crepe.io import dialect, tables
from crepe.io.tables import as_text, open_table

ROWS = [["1", "A first text, with a comma"], ["2", 'A second "text"'], ["1", "A third\ntext; in two lines"]] * 4


@pytest.fixture
def load(tmp_path):
    def load(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path)

    return load


def read(path):
    """The table, its rows as tuples of text, and the lines in which they begin."""
    table = open_table(path)
    rows: list[Any] = []
    lines: list[Any] = []
    for batch, begins in table.read():
        rows += zip(*(as_text(column).to_pylist() for column in batch.columns), strict=True)
        lines += begins
    return table, rows, lines


def written(rows, **form):
    stream = io.StringIO()
    csv.writer(stream, **form).writerows(rows)
    return stream.getvalue()


FORMS: dict[str, dict[str, Any]] = {
    "commas": {},
    "semicolons": {"delimiter": ";"},
    "tabs": {"delimiter": "\t"},
    "bars": {"delimiter": "|"},
    "all quoted, unix": {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"},
    "backslashes": {"doublequote": False, "escapechar": "\\"},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_forms(load, form, header, encoding):
    content = [["class", "text"], *ROWS] if header else ROWS
    table, rows, _ = load(written(content, **FORMS[form]).encode(encoding))
    assert table.names == (["class", "text"] if header else ["column 1", "column 2"])
    assert rows == [tuple(row) for row in ROWS]
    assert ("with a header" in table.about) == header
    assert {"utf-8": "UTF-8,", "utf-8-sig": "UTF-8 with a byte-order mark", "utf-16": "UTF-16"}[encoding] in table.about


def test_no_quoting(load):
    table, rows, _ = load('label\ttext\n1\t"Well\n2\the said "so" and went\n1\tno\n')
    assert "tabs, no quoting" in table.about
    assert [text for _, text in rows] == ['"Well', 'he said "so" and went', "no"]


TEXTS = [f"a text of some words, number {number}" for number in range(40)]


@pytest.mark.parametrize("every", [1, 20])
@pytest.mark.parametrize("end", ["line\ttwo", "\treturn x"])
def test_quotes_with_tabs_that_hold_line_ends_and_tabs(load, every, end):
    texts = [f"{text}\n{end}" if number % every == 0 else text for number, text in enumerate(TEXTS)]
    table, rows, _ = load("label\ttext\n" + "".join(f'{"ab"[n % 2]}\t"{text}"\n' for n, text in enumerate(texts)))
    assert "quotes inside doubled" in table.about
    assert [text for _, text in rows] == texts


def test_a_quote_with_tabs_that_joins_rows_with_ids(load):
    texts = ['"' * (number == 5) + text + '"' * (number == 12) for number, text in enumerate(TEXTS)]
    table, rows, _ = load("id\ttext\n" + "".join(f"x{n}\t{text}\n" for n, text in enumerate(texts)))
    assert "no quoting" in table.about
    assert [text for _, text in rows] == texts


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"Sep=;"'])
def test_a_line_that_names_the_delimiter(load, first):
    table, rows, _ = load(f"{first}\nlabel;text\n" + "".join(f"{n % 2};{text}\n" for n, text in enumerate(TEXTS)))
    assert table.names == ["label", "text"]
    assert len(rows) == len(TEXTS)


def test_lines_are_those_of_the_file(load):
    table, _, lines = load('a,b\n1,"x\ny"\n\n2,z\r\n3,w')
    assert table.unit == "line"
    assert lines == [2, 5, 6]


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)] * 2),
        min_size=1,
        max_size=8,
    )
)
def test_any_rows_come_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    content = written([("label", "text"), ("1", "one word"), *rows], quoting=csv.QUOTE_ALL)
    (folder / "a.csv").write_text(content, newline="", encoding="utf-8")
    _, found, _ = read(folder / "a.csv")
    null = [tuple(None if value == dialect.NULL else value for value in row) for row in rows]
    assert found == [("1", "one word"), *null]


def test_long_files_are_taken_in_pieces(load, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 7)
    monkeypatch.setattr(dialect, "SAMPLE", 100)
    table, rows, lines = load("label,text\n" + "".join(f'{n % 3},"text ""{n}"",\nand on"\n' for n in range(100)))
    assert table.names == ["label", "text"]
    assert [text for _, text in rows] == [f'text "{n}",\nand on' for n in range(100)]
    assert lines == [2 + 2 * n for n in range(100)]


COLUMNS = {
    "label": pa.array(["b", "a", "b"]).dictionary_encode(),
    "n": pa.array([1, None, 3]),
    "share": pa.array([0.5, float("nan"), 2.0]),
    "text": pa.array(["x", None, "z"]),
}


@pytest.mark.parametrize("kind", ["Parquet", "Arrow file", "Arrow stream"])
def test_columns_of_any_plain_type(tmp_path, kind):
    path, content = tmp_path / "a.data", pa.table(COLUMNS)
    if kind == "Parquet":
        pq.write_table(content, path)
    else:
        new = pa.ipc.new_file if kind == "Arrow file" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, new(sink, content.schema) as writer:
            writer.write_table(content)
    table, rows, lines = read(path)
    assert (table.names, table.about, table.unit) == (list(COLUMNS), kind.split()[0], "row")
    assert rows == [("b", "1", "0.5", "x"), ("a", None, None, None), ("b", "3", "2", "z")]
    assert lines == [1, 2, 3]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.binary(), pa.struct([("a", pa.int64())])])
def test_columns_of_other_types_are_named(tmp_path, kind):
    pq.write_table(pa.table({"text": pa.nulls(3, kind), "n": [1, 2, 3]}), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    with pytest.raises(CrepeError, match=r"column 'text' is of type .*, not text; write it as strings"):
        table.check("text")
    table.check("n")


def test_columns_of_intervals_are_none_of_text(tmp_path):
    table = pa.table({"text": pa.nulls(3, pa.month_day_nano_interval())})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    with pytest.raises(CrepeError, match="column 'text' is of type month_day_nano_interval, not text"):
        open_table(tmp_path / "a.arrow").check("text")


def test_a_text_that_is_not_utf8_is_named(tmp_path):
    texts = pa.array([b"a", b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    with pytest.raises(CrepeError, match=r"rows 1 to 2: column 'text': .*UTF8.*; write it again, its texts as UTF-8"):
        list(open_table(tmp_path / "a.parquet").read())


@pytest.mark.parametrize(
    ("names", "classes"),
    [(["no", "yes"], ["no", "yes"]), (["no", "no"], None), (["no", None], None), (["no", ""], None)],
)
def test_names_of_classes(tmp_path, names, classes):
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table({"label": [0, 1]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_table(tmp_path / "a.parquet").classes("label") == classes


def test_blank_lines_before_json(load):
    table, rows, lines = load('\n \n{"text": "a, b"}\n')
    assert (table.about, rows, lines) == ("JSON lines, UTF-8", [("a, b",)], [3])


def test_json_lines(load):
    table, rows, lines = load(
        '{"text": "a\\nb", "n": 1}\n\n{"n": 1.5, "text": null, "more": true}\n{"text": "é", "tags": ["a", 1]}\n'
    )
    assert (table.names, table.about) == (["text", "n", "more", "tags"], "JSON lines, UTF-8")
    assert rows == [("a\nb", "1", None, None), (None, "1.5", "true", None), ("é", None, None, '["a", 1]')]
    assert lines == [1, 3, 4]
    with pytest.raises(CrepeError, match="column 'tags' is JSON lists or objects, not text"):
        table.check("tags")


def test_memory_does_not_grow_with_the_rows(tmp_path):
    path, text = tmp_path / "many.parquet", "x" * 1000
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()}), use_dictionary=False, compression="none") as file:
        for first in range(0, 60_000, 5000):
            file.write_table(pa.table({"text": [f"{first + row}{text}" for row in range(5000)]}))
    before, most, count = pa.total_allocated_bytes(), 0, 0
    for batch, _ in open_table(path).read():
        assert batch.num_rows <= tables.ROWS
        count += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert count == 60_000
    assert most < 40_000_000 < path.stat().st_size


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04..", "is a zip archive or an Excel sheet; unpack it, or save the sheet as CSV"),
        (b"\x1f\x8b\x08..", "is compressed by gzip; unpack it: gunzip"),
        (b"\x04\x22\x4d\x18..", "is compressed by lz4; unpack it: unlz4"),
        (b'["a", "a text"]\n["b", "a text"]\n', "has a JSON list a line; write one object a line"),
        (b'{"a": 1}\n{"a": 1, "a": 2}\n', r"line 2: is not JSON \(a name stands twice in an object\)"),
        (b"PAR1 and no more", r"is no whole Parquet file \("),
        (b"one\ntwo\nthree\n", "its lines are not divided into the same two fields or more by any of commas, tabs"),
        (b"label,text\n" + b"1,a text\n" * 9 + b"2,a text, too\n", "line 11: has 3 fields where others have 2"),
        (b"label,text\n" + b"1,a text\n" * 9 + b"2\n", "line 11: has 1 fields where others have 2"),
        (b"label,text\n" + b"1,a text\n" * 9 + b'2,"a text\n1,b\n', "line 11: unexpected end of data; a field that"),
        (b"label,text\n" + b'1,"a text"\n' * 9 + b'2,"a" text\n', "line 11: ',' expected after '\"'; a field that"),
        (b"a,a\n1,one text\n2,two\n", "line 1: column 'a' stands twice; rename one"),
        (b"a,b\n1,caf\xe9\n2,ok\n3,\xff\n", "is not UTF-8 in lines 2, 4; convert it, .*: iconv -f WINDOWS-1252"),
        (b"a,b\n" + b"1,caf\xe9\n" * 9, "is not UTF-8 in lines 2, 3, 4, 5, 6 and 4 more"),
        (b"a\0,b\n1,2\n", "line 1: holds a NUL byte; take it out"),
        (b"\xff\xfea\0,\0b\0\n\0\x00\xd8", "is not UTF-16 throughout"),
    ],
)
def test_what_is_refused(load, content, fault):
    with pytest.raises(CrepeError, match=fault):
        load(content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CrepeError, match=r"nowhere.csv: cannot be read: No such file"):
        open_table(tmp_path / "nowhere.csv")
    with pytest.raises(CrepeError, match="cannot be read: Is a directory"):
        open_table(tmp_path)
