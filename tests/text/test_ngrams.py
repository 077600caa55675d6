import json
from collections import Counter
from itertools import chain

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe.data import clean, encode, shards
from crepe.errors import CrepeError
from crepe.features.ngrams import Settings
from crepe.text import ngrams
from crepe.text.tokens import tokenize
from tests.support.texts import dataset, encoded, frame


def fields(path):
    """The texts of a clean Parquet file."""
    return pl.read_parquet(path).drop("label").rows()


def grams(row, longest):
    """The n-grams of a row, by length."""
    words = tokenize(row)
    for length in range(1, longest + 1):
        yield from map(" ".join, zip(*(words[first:] for first in range(length)), strict=False))


def counted(rows, size, longest):
    """The first `size` n-grams by plain counting: text, count, rows."""
    counts = Counter(chain.from_iterable(grams(row, longest) for row in rows))
    least = min(sorted(counts.values())[-size:])
    frequent = [gram for gram, count in counts.items() if count >= least]
    order = sorted(frequent, key=lambda gram: (-counts[gram], gram.count(" "), gram.encode()))[:size]
    kept = set(order)
    held = Counter(chain.from_iterable(kept.intersection(grams(row, longest)) for row in rows))
    return [(gram, counts[gram], held[gram]) for gram in order]


def check_vocabulary(folder, feature, rows):
    """Compare the vocabulary in a folder of shards with plain counting of the train rows."""
    manifest = shards.Manifest.read(folder)
    table = pl.DataFrame(shards.read_vocabulary(folder, manifest))
    assert table.schema == {"word": pl.String, "count": pl.Int64, "rows": pl.Int64}
    assert table.rows() == counted(rows, feature.vocab_size, feature.max_n)
    assert (manifest.dtype, manifest.symbols) == ("int32", len(table))


def check_codes(folder, feature, split, rows):
    """Compare the shards of a split with what its rows have of the vocabulary, and with what `reader` makes of them."""
    vocabulary = pl.read_parquet(folder / "vocabulary.parquet")["word"].to_list()
    index = {gram: i for i, gram in enumerate(vocabulary, 1)}
    read = feature.reader(vocabulary)
    for row, codes in zip(rows, shards.read(folder, split), strict=True):
        whole = Counter(index[gram] for gram in grams(row, feature.max_n) if gram in index)
        assert Counter(codes.tolist()) <= whole
        assert len(codes) == min(whole.total(), feature.max_length or whole.total())
        assert codes.tolist() == read(row).tolist()


texts = st.lists(st.sampled_from(["a", "b", "c", "é", "ab", "A.", "世"]), max_size=8).map(" ".join)
rows_of_two = st.lists(st.tuples(texts, texts), min_size=1, max_size=12)


@settings(max_examples=300)
@given(
    rows_of_two,
    st.integers(1, 60),
    st.integers(1, 6),
    st.sampled_from([1, 2, 7, ngrams.PLACES]),
    st.sampled_from([1, 2, ngrams.ROWS]),
)
def test_vocabulary_equals_plain_counting(tmp_path_factory, rows, size, longest, places, batch):
    rows.append(("a", ""))
    path = tmp_path_factory.getbasetemp() / "train.parquet"
    frame(rows).with_row_index("label").write_parquet(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "PLACES", places)
        patch.setattr(ngrams, "ROWS", batch)
        found, _ = ngrams.vocabulary(path, size, longest)
    assert found.rows() == counted(rows, size, longest)


@settings(max_examples=40)
@given(rows_of_two, rows_of_two, st.integers(1, 40), st.integers(1, 5), st.none() | st.integers(1, 9))
def test_shards_hold_what_single_texts_give(tmp_path_factory, rows, test, size, longest, length):
    rows = [(1, "a", ""), (2, "b", ""), *((1, *row) for row in rows)]
    test = [(1, *row) for row in test] + [(1, "", ""), (2, "d a d a", "b")]
    folder = tmp_path_factory.mktemp("texts")
    feature = Settings(vocab_size=size, max_n=longest, max_length=length)
    encoded(folder, rows, feature, test)
    rows, test = (fields(folder / f"clean/{split}.parquet") for split in shards.SPLITS)
    check_vocabulary(folder / "shards", feature, rows)
    check_codes(folder / "shards", feature, "train", rows)
    check_codes(folder / "shards", feature, "test", test)


def test_ngrams(tmp_path):
    rows = [(1, "The cat", "sat. The cat!"), (2, "", "a cat sat"), (1, "", "")]
    feature = Settings(vocab_size=7, max_n=3)
    found = encoded(tmp_path, rows, feature, [(1, "A cat sat", "the cat"), (2, "dog", "")])
    table = pl.read_parquet(tmp_path / "shards/vocabulary.parquet")
    assert table.rows() == [
        ("cat", 3, 2),
        ("sat", 2, 2),
        ("the", 2, 1),
        ("cat sat", 2, 2),
        ("the cat", 2, 1),
        ("a", 1, 1),
        ("a cat", 1, 1),
    ]
    assert [row.tolist() for row in found] == [[3, 5, 1, 4, 2, 3, 5, 1], [6, 7, 1, 4, 2], []]
    assert [row.tolist() for row in shards.read(tmp_path / "shards", "test")] == [[6, 7, 1, 4, 2, 3, 5, 1], []]


def test_same_rows_same_bytes_however_they_are_counted(tmp_path, monkeypatch):
    rows = [(row % 2 + 1, f"word {row % 90} of", f"some {row % 7} words {row}") for row in range(3_000)]
    feature = Settings(vocab_size=1_000, max_n=4)
    encoded(tmp_path, rows, feature)
    first = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    monkeypatch.setattr(ngrams, "PLACES", 1_000)
    monkeypatch.setattr(ngrams, "ROWS", 70)
    encode.encode("toys", feature.kind, feature, tmp_path / "clean", tmp_path / "shards")
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == first


def test_a_train_set_without_words(tmp_path):
    with pytest.raises(CrepeError, match=r"clean/train.parquet: has no words"):
        encoded(tmp_path, [(1, "-", ""), (2, "", "...")], Settings(vocab_size=5, max_n=5))
    assert not (tmp_path / "shards").exists()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["ag_news", "dbpedia", "yelp_review_full", "yahoo_answers"])
def test_genuine_rows(tmp_path, shared, key):
    facts = json.loads((shared / "data2/index.json").read_text())[key]
    entry = dataset(facts["train_rows"], facts["test_rows"], facts["fields"], facts["classes"])
    clean.clean(key, entry, shared / "data2" / facts["file"], tmp_path / "clean")
    feature = Settings(vocab_size=50_000, max_n=5)
    encode.encode(key, "ngrams", feature, tmp_path / "clean", tmp_path / "shards")
    check_vocabulary(tmp_path / "shards", feature, fields(tmp_path / "clean/train.parquet"))
    check_codes(tmp_path / "shards", feature, "test", fields(tmp_path / "clean/test.parquet"))
