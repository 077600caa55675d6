import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crepe.data import shards
from crepe.data.shards import Manifest, names, read
from crepe.errors import CrepeError
from crepe.io.files import digest, write_json
from crepe.ragged import Ragged, trim

ROWS = [[1, 2, 3], [], [7], [0, 0, 5], [9, 9]]


def folder(path, dtype="uint8"):
    """A folder of two train shards, the first of two batches, and one test shard."""
    parts = [
        Ragged.from_rows(ROWS[:2], np.array([0, 1], np.int32), dtype),
        Ragged.from_rows(ROWS[2:3], np.array([1], np.int32), dtype),
    ]
    last = Ragged.from_rows(ROWS[3:], np.array([0, 1], np.int32), dtype)
    first, second = "train-00000-of-00002.arrow", "train-00001-of-00002.arrow"
    written = [shards.write(path / first, parts), shards.write(path / second, last)]
    manifest = Manifest(
        dataset="toys",
        feature="chars",
        dtype=dtype,
        symbols=69,
        length=1014,
        source="a" * 64,
        classes=["no", "yes"],
        rows={"train": 5, "test": 2},
        archive="b" * 64,
        clean={"train": "c" * 64, "test": "d" * 64},
        shards={"train": written, "test": [shards.write(path / "test-00000-of-00001.arrow", last)]},
    )
    manifest.write(path)
    return manifest


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_what_is_written_is_read(tmp_path, dtype):
    manifest = folder(tmp_path, dtype)
    assert Manifest.read(tmp_path) == manifest
    train = read(tmp_path, "train")
    assert [row.tolist() for row in train] == ROWS
    assert train.labels.tolist() == [0, 1, 1, 0, 1]
    assert train.lengths.tolist() == [3, 0, 1, 3, 2]
    assert [str(part.dtype) for part in (train.values, train.offsets, train.labels)] == [dtype, "int64", "int32"]
    assert train.values.flags.writeable, "torch takes no other arrays without a warning"
    assert len(read(tmp_path, "test", manifest)) == 2


def test_shards_know_what_they_hold(tmp_path):
    first, second = folder(tmp_path).shards["train"]
    assert (first.rows, first.values, second.rows, second.values) == (3, 4, 2, 5)
    assert first.sha256 == digest(tmp_path / first.file)


@pytest.mark.parametrize("key", ["rows", "values"])
@pytest.mark.parametrize("number", [-1, 10**15, 10**30])
def test_a_manifest_that_claims_other_numbers(tmp_path, key, number):
    manifest = folder(tmp_path)
    first, *others = manifest.shards["train"]
    shard = replace(first, **{key: number})
    manifest = replace(manifest, shards={**manifest.shards, "train": [shard, *others]})
    with pytest.raises(CrepeError, match="it has other numbers of rows and values than the manifest says"):
        read(tmp_path, "train", manifest)


def test_same_rows_same_bytes(tmp_path):
    folder(tmp_path / "a")
    folder(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_names():
    assert names("test", 1) == names("test", shards.ROWS) == ["test-00000-of-00001.arrow"]
    assert names("train", shards.ROWS + 1) == ["train-00000-of-00002.arrow", "train-00001-of-00002.arrow"]


def test_nothing_is_written_when_a_part_fails(tmp_path):
    def parts():
        yield Ragged.from_rows(ROWS)
        raise CrepeError("x", "no more")

    with pytest.raises(CrepeError, match="no more"):
        shards.write(tmp_path / "x.arrow", parts())
    assert not list(tmp_path.iterdir())


def test_damaged_shard(tmp_path):
    path = tmp_path / folder(tmp_path).shards["train"][1].file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CrepeError,
        match=r"train-00001-of-00002.arrow: is damaged, or not the file that manifest.json .* `crepe encode`",
    ):
        read(tmp_path, "train")
    assert len(read(tmp_path, "test")) == 2


def test_missing_shard(tmp_path):
    path = tmp_path / folder(tmp_path).shards["test"][0].file
    path.unlink()
    with pytest.raises(CrepeError, match=r"test-00000-of-00001.arrow: is missing; run `crepe encode` again"):
        read(tmp_path, "test")


def test_shard_of_another_format(tmp_path):
    folder(tmp_path)
    path = tmp_path / "test-00000-of-00001.arrow"
    path.write_text("no arrow")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["shards"]["test"][0]["sha256"] = digest(path)
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(CrepeError, match=r"test-00000-of-00001.arrow: is not an Arrow file"):
        read(tmp_path, "test")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda manifest: manifest.pop("symbols"), "symbols"),
        (lambda manifest: manifest.update(colour="red"), "colour"),
        (lambda manifest: manifest["shards"].pop("test"), "test"),
        (lambda manifest: manifest["shards"]["test"][0].pop("rows"), "rows"),
        (lambda manifest: manifest["rows"].update(train=6), "the shards of train do not add up"),
        (lambda manifest: manifest.update(shards=[]), "manifest: shards: expected keys and values"),
        (lambda manifest: manifest.update(dtype="object"), "dtype is 'object'; known: uint8, int32"),
        (lambda manifest: manifest.update(thesaurus="e" * 64), "synonyms"),
        (lambda manifest: manifest.update(classes=2), "manifest: classes: expected a list"),
    ],
)
def test_damaged_manifest(tmp_path, damage, reason):
    folder(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    damage(manifest)
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(CrepeError, match=f"manifest.json: is not a manifest of shards .*{reason}.*run `crepe encode`"):
        Manifest.read(tmp_path)


def test_manifest_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(CrepeError, match=r"manifest.json: is missing; run `crepe encode` again"):
        Manifest.read(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CrepeError, match=r"manifest.json: is damaged, .*; run `crepe encode` again"):
        Manifest.read(tmp_path)


def test_vocabulary_is_compared_with_the_manifest(tmp_path):
    path = tmp_path / shards.VOCABULARY
    pq.write_table(pa.table({"word": ["a"], "count": [2], "rows": [1]}), path)
    manifest = folder(tmp_path)
    with pytest.raises(
        CrepeError, match=r"vocabulary.parquet: is damaged, or not the file that manifest.json speaks of"
    ):
        shards.read_vocabulary(tmp_path, manifest)
    manifest = replace(manifest, source=digest(path))
    assert shards.read_vocabulary(tmp_path, manifest)["word"].to_pylist() == ["a"]


@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=20), st.integers(0, 9) | st.none())
def test_trim(rows, length):
    whole = Ragged.from_rows(rows)
    values, offsets = trim(whole.values, whole.offsets, length)
    expected = [np.trim_zeros(np.array(row[:length]), "b").tolist() for row in rows]
    assert [row.tolist() for row in Ragged(values, offsets, whole.labels)] == expected
    assert len(values) == offsets[-1]
    assert offsets.dtype == np.int64
