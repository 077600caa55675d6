"""CSV and Parquet files in and out."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crepe.errors import CrepeError
from crepe.inference.streams import ROWS, Table, writing

TEXTS = ["plain", 'a "quote", and a comma', "two\nlines", "", "Ünïcödé \u2028", "  blanks  "]


def batch(**columns):
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_there_and_back(tmp_path, suffix):
    path, rows = tmp_path / f"texts{suffix}", batch(text=TEXTS, id=["1", "2", "x", "", "5", "6"])
    with writing(path, rows.schema) as file:
        file.write_batch(rows)
        file.write_batch(rows)
    table = Table(path)
    assert table.schema.names == ["text", "id"]
    assert [text for part in table for text in part["text"].to_pylist()] == 2 * TEXTS


def test_types_do_not_depend_on_the_first_rows(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("text,id\n" + "7,1\n" * 2_000_000 + "seven,one\n")
    last = list(Table(path))[-1]
    assert last.slice(last.num_rows - 1).to_pylist() == [{"text": "seven", "id": "one"}]


def test_memory_does_not_grow_with_the_rows(tmp_path):
    path, schema = tmp_path / "many.parquet", pa.schema({"text": pa.string()})
    text = "x" * 1000
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none") as file:
        for first in range(0, 60_000, 5000):
            file.write_table(pa.table({"text": [f"{first + row}{text}" for row in range(5000)]}))
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    with writing(tmp_path / "copy.csv", schema) as copy:
        for part in Table(path):
            assert part.num_rows <= ROWS
            rows += part.num_rows
            copy.write_batch(part)
            most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 60_000
    assert most < 40_000_000 < path.stat().st_size


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("texts.csv", None, "cannot be read as csv: "),
        ("texts.csv", b"", "cannot be read as csv: "),
        ("texts.csv", b"text,id\n1\n", "cannot be read as csv: "),
        ("texts.csv", b"text\n\xff\xfe\n", "cannot be read as csv: "),
        ("texts.csv", b"text,text\na,b\n", "has two columns named 'text'; rename one"),
        ("texts.parquet", b"PAR1 but no more", "cannot be read as parquet: "),
        ("texts.txt", b"text\n", "is neither .csv nor .parquet"),
    ],
)
def test_refusals(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CrepeError, match=message) as caught:
        list(Table(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_nothing_is_left_of_what_csv_cannot_hold(tmp_path):
    rows = batch(text=[["a", "list"]])
    with pytest.raises(CrepeError, match="cannot hold these columns"), writing(tmp_path / "x.csv", rows.schema) as file:
        file.write_batch(rows)
    assert not list(tmp_path.iterdir())
