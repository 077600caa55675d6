import polars as pl
import pytest

from crepe.text.batches import batches


@pytest.mark.parametrize("size", [1, 3, 4, 10, 11])
def test_all_rows_come_in_their_order(tmp_path, size):
    pl.DataFrame({"number": range(10)}).write_parquet(tmp_path / "rows.parquet", row_group_size=4)
    rows = pl.scan_parquet(tmp_path / "rows.parquet").select(pl.col("number") * 2)
    found = list(batches(rows, size))
    assert all(len(batch) == size for batch in found[:-1])
    assert 1 <= len(found[-1]) <= size
    assert pl.concat(found)["number"].to_list() == list(range(0, 20, 2))


def test_a_part_of_the_rows(tmp_path):
    pl.DataFrame({"number": range(10)}).write_parquet(tmp_path / "rows.parquet")
    rows = pl.scan_parquet(tmp_path / "rows.parquet").slice(2, 5)
    assert [batch["number"].to_list() for batch in batches(rows, 3)] == [[2, 3, 4], [5, 6]]


def test_no_rows(tmp_path):
    pl.DataFrame({"number": []}).write_parquet(tmp_path / "rows.parquet")
    assert list(batches(pl.scan_parquet(tmp_path / "rows.parquet"), 3)) == []


def test_a_batch_is_read_when_it_is_wanted():
    read = []

    def note(value: int) -> int:
        read.append(value)
        return value

    rows = pl.LazyFrame({"number": range(6)}).select(pl.col("number").map_elements(note, return_dtype=pl.Int64))
    found = batches(rows, 2)
    next(found)
    assert read == [0, 1]
