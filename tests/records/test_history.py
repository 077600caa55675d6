"""crepe.records.history: written and read by the same class, or refused with the file's name."""

from pathlib import Path

import pytest

from crepe.errors import CrepeError
from crepe.io.files import digest
from crepe.records.history import COLUMNS, History
from crepe.records.run import RunRecord
from tests.support.records import record

LINE = dict(zip(COLUMNS, (1, 10, 1280, 0.01, 1.5, 70.0, 1.25, 1e-07), strict=True))


def record_of(folder: Path) -> RunRecord:
    return record(sha256={"history.csv": digest(folder / "history.csv")})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = History.of([LINE, LINE | {"epoch": 2, "batches": 20}])
    written.write(tmp_path)
    text = (tmp_path / "history.csv").read_text()
    assert text.splitlines()[:2] == [",".join(COLUMNS), "1,10,1280,0.01,1.5,70.0,1.25,1e-07"]
    assert History.read(tmp_path, record_of(tmp_path)) == written


def test_columns_of_format_1(tmp_path: Path) -> None:
    header = "epoch,minibatches,samples,rate,train_loss,train_error_pct,test_loss,test_error_pct"
    (tmp_path / "history.csv").write_text(f"{header}\n1,10,1280,0.01,1.5,70.0,1.25,1e-07\n")
    assert History.read(tmp_path, record_of(tmp_path)) == History.of([LINE])


@pytest.mark.parametrize("lines", ["", "1,10\n", "1,10,1280,0.01,1.5,70.0,1.25,\n", "x,10,1280,0.01,1.5,70.0,1.25,1\n"])
def test_what_is_no_history(tmp_path: Path, lines: str) -> None:
    (tmp_path / "history.csv").write_text(",".join(COLUMNS) + "\n" + lines)
    with pytest.raises(CrepeError, match=r"history.csv: (is not the history of a run|has no lines).*; run `crepe"):
        History.read(tmp_path, record_of(tmp_path))


def test_another_history(tmp_path: Path) -> None:
    History.of([LINE]).write(tmp_path)
    with pytest.raises(CrepeError, match=r"history.csv: is damaged, or not the file that run.json speaks of"):
        History.read(tmp_path, record())
