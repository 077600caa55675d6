import pytest

from crepe.data.clean_record import CleanRecord
from crepe.errors import CrepeError
from crepe.io.files import read_json, write_json
from crepe.layout import CLEAN_RECORD

RECORD = CleanRecord(
    dataset="toys",
    archive="a" * 64,
    rows={"train": 30, "test": 10},
    classes=["1", "2"],
    sha256={"train": "b" * 64, "test": "c" * 64},
)


def test_a_record_is_read_as_it_was_written(tmp_path):
    RECORD.write(tmp_path / CLEAN_RECORD)
    assert CleanRecord.read(tmp_path, "toys") == RECORD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": {"train": 30}}, "rows: expected train and test, found train; run `crepe clean toys` again"),
        ({"sha256": {}}, "sha256: expected train and test, found nothing; run `crepe clean toys` again"),
        ({"classes": None}, "classes: expected a list, found None; run `crepe clean toys` again"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, change, message):
    RECORD.write(tmp_path / CLEAN_RECORD)
    write_json(tmp_path / CLEAN_RECORD, read_json(tmp_path / CLEAN_RECORD, "") | change)
    with pytest.raises(CrepeError) as caught:
        CleanRecord.read(tmp_path, "toys")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / CLEAN_RECORD}: ")
