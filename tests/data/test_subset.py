"""Subsets: their rows come out of the whole archive or of a small one, and give the same files."""

import hashlib
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe import layout
from crepe.cli import main
from crepe.data import clean, subset
from crepe.errors import CrepeError
from tests.support.paths import inside
from tests.support.texts import archive, csv, dataset

ROWS = [(1 + number % 2, f"title {number}", f" text {number}\nof two lines ") for number in range(60)]
TRAIN, TEST = [ROWS[7], ROWS[50], ROWS[2], ROWS[31]], [ROWS[40], ROWS[3]]
"""A part of them, in an order of its own."""


def small(folder: Path, train=TRAIN, test=TEST) -> Path:
    """Write a small archive that has these rows and no others, and clean it; returns the clean text."""
    path = archive(folder / "small.tgz", csv(train), csv(test))
    clean.clean("small", dataset(len(train), len(test)), path, folder / "small")
    return folder / "small"


def name_rows(folder: Path, *options: str) -> Path:
    """Write the subset's file of the small archive, by the command."""
    path = folder / "rows.parquet"
    assert main(["subset", "small", "--clean", str(folder / "small"), "--output", str(path), *options]) == 0
    return path


def from_archive(folder: Path, file: Path, train, test, rows=TRAIN, test_rows=TEST) -> Path:
    """Clean an archive of these rows with a subset; returns the clean text."""
    path = archive(folder / "whole.tgz", csv(train), csv(test))
    clean.clean("part", dataset(len(rows), len(test_rows), subset=str(file)), path, folder / "part")
    return folder / "part"


def tables(folder: Path) -> list[bytes]:
    return [(folder / f"{split}.parquet").read_bytes() for split in layout.SPLITS]


def refuse(folder: Path, *arguments, **options) -> str:
    with pytest.raises(CrepeError) as caught:
        from_archive(folder, *arguments, **options)
    assert not list((folder / "part").glob("*.*")), "nothing may be written"
    return str(caught.value)


def test_whole_and_small_archive_give_the_same_bytes(tmp_path, monkeypatch):
    folder, file = small(tmp_path), name_rows(small(tmp_path).parent)
    assert tables(from_archive(tmp_path, file, ROWS[:40], ROWS[40:])) == tables(folder)
    # Whichever file of the archive has them, in whatever order and form, and read in whatever pieces.
    mixed = random.Random(1).sample(ROWS, len(ROWS))
    monkeypatch.setattr(clean, "CHUNK", 100)
    assert tables(from_archive(tmp_path, file, mixed[:5], mixed[5:])) == tables(folder)
    path = archive(tmp_path / "bare.tgz", csv(ROWS).replace(b"\n", b"\r\n"), csv(ROWS[:2]))
    clean.clean("bare", dataset(len(TRAIN), len(TEST), subset=str(file)), path, tmp_path / "bare")
    assert tables(tmp_path / "bare") == tables(folder)
    # And out of the small archive itself.
    assert tables(from_archive(tmp_path, file, TRAIN, TEST)) == tables(folder)


def test_rows_stand_in_the_order_of_the_file(tmp_path):
    small(tmp_path)
    part = from_archive(tmp_path, name_rows(tmp_path), ROWS, ROWS)
    assert pl.read_parquet(part / "train.parquet").rows() == [
        (label - 1, title, text.strip()) for label, title, text in TRAIN
    ]


def test_all_rows_of_the_test_set(tmp_path):
    folder = small(tmp_path)
    file = name_rows(tmp_path, "--all-test")
    assert pl.read_parquet(file)["split"].unique().to_list() == ["train"]
    assert tables(from_archive(tmp_path, file, ROWS, TEST)) == tables(folder)
    assert refuse(tmp_path / "x", file, ROWS, ROWS).endswith(
        "has 60 rows, not 2 as the configuration says (`test_rows`); fetch the archive again, or give another archive "
        "its own dataset in the configuration"
    )


def test_the_hash_is_of_label_and_fields_as_cleaned(tmp_path):
    small(tmp_path)
    found = pl.read_parquet(name_rows(tmp_path))
    text = b"0\x00title 50\x00text 50\nof two lines"
    assert found.row(1) == ("train", int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))


def test_fields_that_run_into_each_other_differ():
    frame = pl.DataFrame({"label": [1, 1, 11], "field_1": ["a", "ab", ""], "field_2": ["bc", "c", "abc"]})
    assert len(set(subset.row_hashes(frame))) == 3


def test_rows_that_are_wanted_twice_must_be_there_twice(tmp_path):
    twice = [TRAIN[0], TRAIN[1], TRAIN[0]]
    folder = small(tmp_path, twice)
    file = name_rows(tmp_path)
    for train in ([*ROWS, TRAIN[0]], [TRAIN[0]] * 5 + ROWS):
        assert tables(from_archive(tmp_path, file, train, TEST, rows=twice)) == tables(folder)
    message = refuse(tmp_path / "x", file, ROWS, ROWS[59:], rows=twice)
    assert ": lacks 1 of the 5 rows that the dataset's `subset` names; " in message


def test_missing_rows(tmp_path):
    small(tmp_path)
    message = refuse(tmp_path / "x", name_rows(tmp_path), ROWS[:10], ROWS[35:40])
    assert message == (
        f"{tmp_path}/x/whole.tgz: lacks 3 of the 6 rows that the dataset's `subset` names; name another archive that "
        "holds all of them, or make the file anew by `crepe subset`"
    )


def test_malformed_lines_are_refused_by_their_number(tmp_path):
    small(tmp_path)
    file, path = name_rows(tmp_path), archive(tmp_path / "whole.tgz", csv(ROWS) + b"x\n", csv(ROWS))
    with pytest.raises(CrepeError, match=r"train\.csv: line 61: "):
        clean.clean("part", dataset(4, 2, subset=str(file)), path, tmp_path / "part")


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (None, "is missing (a dataset's `subset` names it)"),
        (pl.DataFrame({"split": ["train"], "hash": [1]}), "does not name the rows of a subset, by `split` and `hash`"),
        (pl.DataFrame({"hash": [1]}), "does not name the rows of a subset, by `split` and `hash`"),
        ({"split": [], "hash": []}, "does not name the rows of a subset, by `split` and `hash`"),
        ({"split": ["train"] * 4, "hash": [1, 2, None, 4]}, "does not name the rows of a subset, by `split` and"),
        ({"split": ["dev"], "hash": [1]}, "names rows of 'dev', not of train or test"),
        ({"split": ["train"], "hash": [1]}, "train: names 1 rows, not 4 as the configuration says (`train_rows`)"),
    ],
)
def test_files_that_do_not_fit(tmp_path, frame, fault):
    file = tmp_path / "rows.parquet"
    if frame is not None:
        frame = pl.DataFrame(frame, {"split": pl.String, "hash": pl.UInt64}) if isinstance(frame, dict) else frame
        frame.write_parquet(file)
    message = refuse(tmp_path, file, ROWS, ROWS)
    assert message.startswith(str(file))
    assert fault in message


def test_a_damaged_file(tmp_path):
    small(tmp_path)
    file = name_rows(tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    assert "is damaged, or no Parquet file" in refuse(tmp_path, file, ROWS, ROWS)


def test_command_refuses_what_is_not_clean(tmp_path, capsys):
    with inside(tmp_path):
        assert main(["subset", "toys", "--output", "x.parquet"]) == 1
        assert "run `crepe clean toys` again" in capsys.readouterr().err
    folder = small(tmp_path)
    (folder / "test.parquet").write_bytes(b"other")
    assert main(["subset", "small", "--clean", str(folder), "--output", str(tmp_path / "x.parquet")]) == 1
    assert "run `crepe clean small` again" in capsys.readouterr().err
    assert not (tmp_path / "x.parquet").exists()


TEXT = st.text(st.sampled_from("ab \n\"',"), max_size=3)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 2), TEXT, TEXT), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 2), TEXT, TEXT), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 2), TEXT, TEXT), max_size=12),
    st.randoms(use_true_random=False),
)
def test_any_part_of_any_archive(tmp_path_factory, train, test, others, randomness):
    folder = tmp_path_factory.mktemp("any")
    train = [(1, "", ""), (2, "", ""), *train]
    expected = small(folder, train, test)
    rows = [*train, *test, *others]
    randomness.shuffle(rows)
    cut = randomness.randrange(1, len(rows))
    part = from_archive(folder, name_rows(folder), rows[:cut], rows[cut:], train, test)
    assert tables(part) == tables(expected)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1), st.integers(1, 4))
def test_counts_of_rows(had, wanted, size):
    frames = [
        pl.DataFrame({"label": part, "field_1": map(str, part)})
        for part in (had[i : i + size] for i in range(0, len(had), size))
    ]
    hashes = subset.row_hashes(pl.DataFrame({"label": wanted, "field_1": map(str, wanted)}))
    missing = Counter(wanted) - Counter(had)
    if missing:
        with pytest.raises(CrepeError, match=f"lacks {missing.total()} of the {len(wanted)} rows"):
            subset.pick("a", frames, {"train": hashes})
    else:
        assert subset.pick("a", frames, {"train": hashes})["train"]["label"].to_list() == wanted


def test_other_rows_take_no_memory():
    def frames():
        for start in range(0, 40_000, 1_000):
            numbers = range(start, start + 1_000)
            yield pl.DataFrame({"label": 0, "field_1": [f"{number} {'x' * 2_000}" for number in numbers]})

    wanted = np.concatenate([subset.row_hashes(frame[:1]) for frame in frames()])
    tracemalloc.start()
    table = subset.pick("a", frames(), {"train": wanted})["train"]
    tracemalloc.stop()
    assert len(table) == 40
    # Eighty megabytes of text have passed by; those of the rows kept are 80 kB.
    assert (
        sum(
            len(buffer)
            for column in table.to_arrow().columns
            for chunk in column.chunks
            for buffer in chunk.buffers()
            if buffer
        )
        < 1_000_000
    )
