import json
from hashlib import sha256

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe import layout
from crepe.cli import main
from crepe.data import clean, encode, shards
from crepe.errors import CrepeError
from crepe.features import characters, words
from crepe.io.files import digest, write_json
from crepe.text import alphabet, tokens
from tests.support.paths import GOLDEN, contents
from tests.support.texts import cleaned, encoded, encodings

CHARS = characters.Settings(alphabet="crepe", max_length=1014)
WORDS = words.Settings(vocab_size=5)


def check_golden(folder, path):
    """Put every row of the dumps through CSV, cleaning and encoding, but for what is not UTF-8, which is refused."""
    rows = list(encodings(path))
    for count in {len(fields) for _, fields, _ in rows}:
        part = [row for row in rows if len(row[1]) == count]
        latin = [row for row in part if not all(map(_is_utf8, row[1]))]
        part = [row for row in part if row not in latin]
        # Rows that make sure that every class is there; they come last.
        fill = [(label, *["x"] * count) for label in range(1, 5)]
        found = encoded(folder / str(count), [(label, *fields) for label, fields, _ in part] + fill, CHARS)
        assert found.labels[:-4].tolist() == [label - 1 for label, _, _ in part]
        assert [row.tolist() for row in found][:-4] == [indices for _, _, indices in part]
        for label, fields, _ in latin:
            with pytest.raises(CrepeError, match=r"train.csv: line 1: is not UTF-8"):
                encoded(folder / "latin", [(label, *fields)], CHARS)


def _is_utf8(field):
    try:
        field.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_meets_the_original(tmp_path):
    check_golden(tmp_path, GOLDEN / "encodings.jsonl")


def test_meets_the_original_on_every_row(tmp_path, shared):
    check_golden(tmp_path, shared / "golden/encodings.jsonl")


texts = st.text(st.sampled_from('abAB -.\\n",é世Σσ\u00a0'), max_size=30)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 2), texts, texts), min_size=1, max_size=9), st.data())
def test_shards_hold_what_single_texts_give(tmp_path_factory, rows, data):
    rows = [(1, "a", ""), (2, "b", ""), *rows]
    name, length = data.draw(st.sampled_from(list(alphabet.ALPHABETS))), data.draw(st.integers(1, 30))
    folder = tmp_path_factory.mktemp("texts")
    found = encoded(folder, rows, characters.Settings(alphabet=name, max_length=length))
    fields = [row[1:] for row in pl.read_parquet(folder / "clean/train.parquet").rows()]
    assert [row.tolist() for row in found] == [alphabet.quantize(row, name, length).tolist() for row in fields]
    found = encoded(folder, rows, WORDS)
    index = {word: i for i, word in enumerate(pl.read_parquet(folder / "shards/vocabulary.parquet")["word"], 1)}
    assert [row.tolist() for row in found] == [tokens.quantize(row, index).tolist() for row in fields]


@pytest.mark.parametrize("feature", [CHARS, words.Settings(vocab_size=10_000)])
def test_rows_keep_their_order_over_shards_and_batches(tmp_path, monkeypatch, feature):
    monkeypatch.setattr(clean, "ROW_GROUP", 70)
    monkeypatch.setattr(shards, "ROWS", 100)
    monkeypatch.setattr(encode, "BATCH", 30)
    rows = [(row % 2 + 1, f"{row}" * (row % 7 > 0), "b " * (row % 5)) for row in range(950)]
    found = encoded(tmp_path, rows, feature, rows[:250])
    manifest = shards.Manifest.read(tmp_path / "shards")
    assert [shard.file for shard in manifest.shards["train"]] == shards.names("train", 950)
    assert [shard.rows for shard in manifest.shards["train"]] == [100] * 9 + [50]
    assert [shard.rows for shard in manifest.shards["test"]] == [100, 100, 50]
    assert found.labels.tolist() == [label - 1 for label, *_ in rows]
    fields = [[text.strip() for text in row[1:]] for row in rows]
    if feature is CHARS:
        expected = [alphabet.quantize(row) for row in fields]
    else:
        vocabulary = shards.read_vocabulary(tmp_path / "shards", manifest)["word"].to_pylist()
        expected = [tokens.quantize(row, {word: i for i, word in enumerate(vocabulary, 1)}) for row in fields]
    assert [row.tolist() for row in found] == [row.tolist() for row in expected]


def test_what_the_manifest_says(tmp_path):
    encoded(tmp_path, [(1, "One", "a b"), (3, "x", "c"), (2, "", "")], CHARS, [(1, "a", "b")])
    manifest = json.loads((tmp_path / "shards/manifest.json").read_text())
    parts = manifest.pop("shards")
    assert manifest == {
        "dataset": "toys",
        "feature": "characters",
        "dtype": "uint8",
        "symbols": 69,
        "length": 1014,
        "source": sha256(alphabet.ALPHABETS["crepe"].encode()).hexdigest(),
        "classes": ["1", "2", "3"],
        "rows": {"train": 3, "test": 1},
        "archive": digest(tmp_path / "made-up.tgz"),
        "clean": {split: digest(tmp_path / f"clean/{split}.parquet") for split in ("train", "test")},
    }
    assert [shard["rows"] for shard in parts["train"]] == [3]
    assert [shard["sha256"] for shard in parts["test"]] == [digest(tmp_path / "shards/test-00000-of-00001.arrow")]


def test_words(tmp_path):
    rows = [(1, "The cat", "and the dog."), (2, "", "A bird; a cat!"), (1, "the", "zebra"), (2, "", "")]
    found = encoded(tmp_path, rows, WORDS, [(1, "A zebra saw", "the dog run fast")])
    table = pl.read_parquet(tmp_path / "shards/vocabulary.parquet")
    assert table.schema == {"word": pl.String, "count": pl.Int64, "rows": pl.Int64}
    assert table.rows() == [("the", 3, 2), ("a", 2, 1), ("cat", 2, 2), ("and", 1, 1), ("bird", 1, 1)]
    assert [row.tolist() for row in found] == [[1, 3, 4, 1], [2, 5, 2, 3], [1], []]
    assert found.values.dtype == np.int32
    assert [row.tolist() for row in shards.read(tmp_path / "shards", "test")] == [[2, 0, 0, 1]]
    manifest = shards.Manifest.read(tmp_path / "shards")
    assert (manifest.dtype, manifest.symbols, manifest.length) == ("int32", 5, None)
    assert shards.read_vocabulary(tmp_path / "shards", manifest)["word"].to_pylist() == table["word"].to_list()


@pytest.mark.parametrize("feature", [CHARS, WORDS])
def test_same_rows_same_bytes(tmp_path, feature):
    rows = [(row % 2 + 1, f"title {row}", "x" * (row % 90)) for row in range(25_000)]
    encoded(tmp_path, rows, feature)
    first = contents(tmp_path / "shards")
    encode.encode("toys", feature.kind, feature, tmp_path / "clean", tmp_path / "shards")
    assert contents(tmp_path / "shards") == first


def test_stale_shards_go(tmp_path, monkeypatch):
    rows = [(1, "a", "b"), (2, "c", "d"), (1, "e", "f")]
    with monkeypatch.context() as patch:
        patch.setattr(shards, "ROWS", 1)
        encoded(tmp_path, rows, CHARS)
    assert len(contents(tmp_path / "shards")) == 7
    (tmp_path / "shards/notes.txt").write_text("mine")
    (tmp_path / "shards/my.arrow").write_text("mine")
    encoded(tmp_path, rows, CHARS)
    assert sorted(contents(tmp_path / "shards")) == [
        "manifest.json",
        "my.arrow",
        "notes.txt",
        "test-00000-of-00001.arrow",
        "train-00000-of-00001.arrow",
    ]


def test_no_manifest_while_shards_change(tmp_path, monkeypatch):
    rows = [(1, "a", "b"), (2, "c", "d")]
    encoded(tmp_path, rows, CHARS)

    def full(*_):
        raise CrepeError("x.arrow", "the disk is full")

    monkeypatch.setattr(shards, "write", full)
    with pytest.raises(CrepeError, match="disk is full"):
        encoded(tmp_path, rows, CHARS)
    with pytest.raises(CrepeError, match=r"manifest.json: is missing; run `crepe encode` again"):
        shards.read(tmp_path / "shards", "train")


def test_a_train_set_without_words(tmp_path):
    with pytest.raises(CrepeError, match=r"clean/train.parquet: has no words"):
        encoded(tmp_path, [(1, "-", ""), (2, "", "...")], WORDS)
    assert not (tmp_path / "shards").exists()


def test_unknown_alphabet(tmp_path):
    with pytest.raises(CrepeError, match="alphabet 'runes': is unknown"):
        encoded(tmp_path, [(1, "a", "b"), (2, "c", "d")], characters.Settings(alphabet="runes", max_length=9))


def damage_parquet(folder):
    path = folder / "test.parquet"
    path.write_bytes(path.read_bytes()[:-1])


def damage_facts(folder):
    facts = json.loads((folder / "clean.json").read_text())
    del facts["rows"]
    write_json(folder / "clean.json", facts)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            damage_parquet,
            r"test.parquet: is damaged, or not the file that clean.json speaks of .* run `crepe clean toys` again",
        ),
        (lambda folder: (folder / "test.parquet").unlink(), r"test.parquet: is missing; run `crepe clean toys` again"),
        (damage_facts, r"clean.json: rows: is missing; run `crepe clean toys` again"),
        (
            lambda folder: (folder / "clean.json").write_text("{"),
            r"clean.json: is damaged, .* run `crepe clean toys` again",
        ),
        (lambda folder: (folder / "clean.json").unlink(), r"clean.json: is missing; run `crepe clean toys` again"),
    ],
)
def test_damaged_clean_files(tmp_path, damage, message):
    rows = [(1, "a", "b"), (2, "c", "d")]
    encoded(tmp_path, rows, CHARS)
    before = contents(tmp_path / "shards")
    damage(tmp_path / "clean")
    with pytest.raises(CrepeError, match=message):
        encode.encode("toys", CHARS.kind, CHARS, tmp_path / "clean", tmp_path / "shards")
    assert contents(tmp_path / "shards") == before


def test_clean_files_of_another_dataset(tmp_path):
    folder = cleaned(tmp_path, [(1, "a", "b"), (2, "c", "d")])
    with pytest.raises(CrepeError, match=r"clean.json: is of toys, not of games; give the right folder with --clean"):
        encode.encode("games", "chars", CHARS, folder, tmp_path / "shards")


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(layout, "CONFIG", layout.CONFIG.absolute())
    monkeypatch.chdir(tmp_path)
    cleaned(tmp_path, [(1, "a", "b"), (2, "c", "d")]).rename("moved")
    assert main(["encode", "toys", "chars", "--clean", "moved"]) == 0
    assert shards.Manifest.read("data/shards/chars/toys").feature == "chars"
    overlay = json.dumps({"catalog": {"features": {"chars": {"max_length": 2}}}})
    assert main(["encode", "toys", "chars", "--clean", "moved", "--output", "out", "--config", overlay]) == 0
    assert [row.tolist() for row in shards.read("out", "train")] == [[1], [3]]
    assert main(["encode", "toys", "chars"]) == 1
    assert "crepe encode: data/clean/toys/clean.json: is missing" in capsys.readouterr().err
    assert main(["encode", "toys", "runes", "--clean", "moved"]) == 1
    assert "feature 'runes' is not in the catalog" in capsys.readouterr().err
