import numpy as np
import polars as pl
import pytest

from crepe import shards
from crepe.config import Feature
from crepe.errors import CrepeError
from crepe.features import means
from tests.test_encode import cleaned, encode

MEANS = Feature(kind="means", means=2, size=8, least=5, epochs=10)
ROWS = [(1, "Cat dog pet, fur!"), (2, "car road wheel gas rare")] * 60


def encoded(folder, rows, feature=MEANS):
    encode.encode("toys", "means", feature, cleaned(folder, rows), folder / "shards")
    return shards.read(folder / "shards", "train")


def lines(folder):
    return pl.read_parquet(folder / "shards/vocabulary.parquet")["word"].to_list()


def test_words_become_the_index_of_their_mean(tmp_path):
    found = encoded(tmp_path, [*ROWS, (1, "rarest cat Rarest road"), (2, "")])
    vocabulary = lines(tmp_path)
    assert 1 <= len(vocabulary) <= 2
    mean = {word: index for index, line in enumerate(vocabulary, 1) for word in line.split(" ")}
    assert mean.keys() == {"cat", "dog", "pet", "fur", "car", "road", "wheel", "gas", "rare"}
    assert found[0].tolist() == [mean[word] for word in ("cat", "dog", "pet", "fur")]
    assert found[120].tolist() == [mean["cat"], mean["road"]]
    assert found[121].tolist() == []
    read = means.reader(MEANS, vocabulary)
    assert read(("rarest cat Rarest road",)).tolist() == found[120].tolist()
    assert read("").tolist() == []


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        encoded(tmp_path / name, ROWS)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name / "shards").iterdir()} for name in ("a", "b")]
    assert files[0] == files[1]


def test_means_are_of_near_vectors():
    vectors = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [0, 0.5]], np.float32)
    found = means.cluster(vectors, 2)
    assert len(set(found[[0, 1, 4]])) == len(set(found[[2, 3]])) == 1
    assert found[0] != found[2]


def test_no_more_means_than_words(tmp_path):
    encoded(tmp_path, ROWS, Feature(kind="means", means=5000, size=8, least=5, epochs=1))
    assert len(lines(tmp_path)) == 9


def test_without_frequent_words(tmp_path):
    with pytest.raises(CrepeError, match="no word occurs 999 times"):
        encoded(tmp_path, ROWS, Feature(kind="means", means=2, size=8, least=999, epochs=1))
