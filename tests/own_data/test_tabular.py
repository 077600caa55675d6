"""crepe.own_data.tabular: CSV in its many forms, and files that are refused."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crepe.errors import CrepeError
from crepe.own_data import tabular
from crepe.own_data.tabular import LINE, read

ROWS = [["1", "A first text, with a comma"], ["2", 'A second "text"'], ["1", "A third\ntext; in two lines"]] * 4


@pytest.fixture
def load(tmp_path):
    def load(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        table = read(path, tmp_path / "out.parquet")
        return table, table.scan().collect()

    return load


def written(rows, **form):
    stream = io.StringIO()
    csv.writer(stream, **form).writerows(rows)
    return stream.getvalue()


FORMS = {
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
    rows = [["class", "text"], *ROWS] if header else ROWS
    table, frame = load(written(rows, **FORMS[form]).encode(encoding))
    assert table.names == (["class", "text"] if header else ["column 1", "column 2"])
    assert frame.select(table.names).rows() == [tuple(row) for row in ROWS]
    assert ("with a header" in table.about) == header
    assert {"utf-8": "UTF-8,", "utf-8-sig": "UTF-8 with a byte-order mark", "utf-16": "UTF-16"}[encoding] in table.about


def test_no_quoting(load):
    table, frame = load('label\ttext\n1\t"Well\n2\the said "so" and went\n1\tno\n')
    assert "tabs, no quoting" in table.about
    assert frame["text"].to_list() == ['"Well', 'he said "so" and went', "no"]


def test_lines_are_those_of_the_file(load):
    table, frame = load('a,b\n1,"x\ny"\n\n2,z\r\n3,w')
    assert table.unit == "line"
    assert frame[LINE].to_list() == [2, 5, 6]


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
    frame = read(folder / "a.csv", folder / "out.parquet").scan().collect()
    assert frame.select("label", "text").rows() == [("1", "one word"), *rows]


def test_long_files_are_taken_in_pieces(load, monkeypatch):
    monkeypatch.setattr(tabular, "ROWS", 7)
    monkeypatch.setattr(tabular, "SAMPLE", 100)
    table, frame = load("label,text\n" + "".join(f'{n % 3},"text ""{n}"",\nand on"\n' for n in range(100)))
    assert table.names == ["label", "text"]
    assert frame["text"].to_list() == [f'text "{n}",\nand on' for n in range(100)]
    assert frame[LINE].to_list() == [2 + 2 * n for n in range(100)]


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame(
        {
            "label": pl.Series(["b", "a", "b"], dtype=pl.Categorical),
            "n": [1, None, 3],
            "list": [[1], [2], [3]],
            "text": ["x", None, "z"],
        }
    )
    frame.write_parquet(path)
    table = read(path, tmp_path / "unused")
    assert (table.names, table.about, table.unit) == (["label", "n", "text"], "Parquet", "row")
    assert table.scan().collect().rows() == [(1, "b", "1", "x"), (2, "a", None, None), (3, "b", "3", "z")]
    assert pl.concat(table.batches(["text", "label"])).rows() == [("x", "b"), (None, "a"), ("z", "b")]
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04..", "is a zip archive or an Excel sheet; make a CSV or Parquet file of it"),
        (b"\x1f\x8b\x08..", "is compressed by gzip; make"),
        (b"PAR1 and no more", r"is no whole Parquet file \("),
        (b"one\ntwo\nthree\n", "its lines are not divided into the same two fields or more by any of commas, tabs"),
        (b"label,text\n" + b"1,a text\n" * 9 + b"2,a text, too\n", "line 11: has 3 fields where others have 2"),
        (b"label,text\n" + b"1,a text\n" * 9 + b"2\n", "line 11: has 1 fields where others have 2"),
        (b"label,text\n" + b"1,a text\n" * 9 + b'2,"a text\n1,b\n', "line 11: unexpected end of data; a field that"),
        (b"label,text\n" + b'1,"a text"\n' * 9 + b'2,"a" text\n', "line 11: ',' expected after '\"'; a field that"),
        (b"a,a\n1,one text\n2,two\n", "line 1: column 'a' stands twice; rename it"),
        (b"line,a\n1,one text\n2,two\n", "line 1: column 'line' is; rename it"),
        (b"a,b\n1,caf\xe9\n2,ok\n3,\xff\n", "is not UTF-8 in lines 2, 4; convert it, .*: iconv -f WINDOWS-1252"),
        (b"a,b\n" + b"1,caf\xe9\n" * 9, "is not UTF-8 in lines 2, 3, 4, 5, 6 and 4 more"),
        (b"a\0,b\n1,2\n", "holds NUL bytes"),
        (b"\xff\xfea\0,\0b\0\n\0\x00\xd8", "is not UTF-16 throughout"),
    ],
)
def test_what_is_refused(load, content, fault):
    with pytest.raises(CrepeError, match=fault):
        load(content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CrepeError, match=r"nowhere.csv: cannot be read: No such file"):
        read(tmp_path / "nowhere.csv", tmp_path / "out")
    with pytest.raises(CrepeError, match="cannot be read: Is a directory"):
        read(tmp_path, tmp_path / "out")
