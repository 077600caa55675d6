"""crepe.inference.streams: CSV and Parquet files that are written some rows at a time."""

import pyarrow as pa
import pytest

from crepe.errors import CrepeError
from crepe.inference.streams import writing
from crepe.io.tables import open_table

TEXTS = ["plain", 'a "quote", and a comma', "two\nlines", "", "Ünïcödé \u2028", "  blanks  "]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_there_and_back(tmp_path, suffix):
    path = tmp_path / f"texts{suffix}"
    rows = pa.record_batch({"text": TEXTS, "id": ["1", "2", "x", "", "5", "6"]})
    with writing(path, rows.schema) as file:
        file.write_batch(rows)
        file.write_batch(rows)
    table = open_table(path)
    assert table.names == ["text", "id"]
    assert [text for part, _ in table.read() for text in part["text"].to_pylist()] == 2 * TEXTS


def test_a_name_of_another_kind_is_refused(tmp_path):
    with (
        pytest.raises(CrepeError, match=r"x.txt: is neither .csv nor .parquet by its name"),
        writing(tmp_path / "x.txt", pa.schema({"text": pa.string()})),
    ):
        pass


def test_nothing_is_left_of_what_csv_cannot_hold(tmp_path):
    rows = pa.record_batch({"text": pa.array([["a", "list"]])})
    with pytest.raises(CrepeError, match="cannot hold these columns"), writing(tmp_path / "x.csv", rows.schema) as file:
        file.write_batch(rows)
    assert not list(tmp_path.iterdir())


def test_what_parquet_cannot_hold_is_not_sent_to_parquet(tmp_path):
    schema = pa.schema({"text": pa.month_day_nano_interval()})
    with (
        pytest.raises(CrepeError, match=r"cannot hold these columns .*; leave them out of the input"),
        writing(tmp_path / "x.parquet", schema),
    ):
        pass
    assert not list(tmp_path.iterdir())
