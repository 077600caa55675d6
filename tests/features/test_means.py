import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

from crepe.config import load
from crepe.config.catalog import Dataset, Model
from crepe.errors import CrepeError
from crepe.features import FeatureSettings, means
from crepe.features.means import Settings
from crepe.training.setup import prepare
from tests.support.texts import encoded

MEANS = Settings(clusters=2, vector_size=8, min_count=5, epochs=10)
TOYS = Dataset(fields=1, classes=2, train_rows=120, test_rows=120)
ROWS = [(1, "Cat dog pet, fur!"), (2, "car road wheel gas rare")] * 60


def lines(folder):
    return pl.read_parquet(folder / "shards/vocabulary.parquet")["word"].to_list()


def test_words_become_the_index_of_their_mean(tmp_path):
    found = encoded(tmp_path, [*ROWS, (1, "rarest cat Rarest road"), (2, "")], MEANS)
    vocabulary = lines(tmp_path)
    assert 1 <= len(vocabulary) <= 2
    mean = {word: index for index, line in enumerate(vocabulary, 1) for word in line.split(" ")}
    assert mean.keys() == {"cat", "dog", "pet", "fur", "car", "road", "wheel", "gas", "rare"}
    assert found[0].tolist() == [mean[word] for word in ("cat", "dog", "pet", "fur")]
    assert found[120].tolist() == [mean["cat"], mean["road"]]
    assert found[121].tolist() == []
    read = MEANS.reader(vocabulary)
    assert read(("rarest cat Rarest road",)).tolist() == found[120].tolist()
    assert read("").tolist() == []


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        encoded(tmp_path / name, ROWS, MEANS)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name / "shards").iterdir()} for name in ("a", "b")]
    assert files[0] == files[1]


def test_means_are_of_near_vectors():
    vectors = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [0, 0.5]], np.float32)
    found = means.cluster(vectors, 2)
    assert len(set(found[[0, 1, 4]])) == len(set(found[[2, 3]])) == 1
    assert found[0] != found[2]


def test_no_more_means_than_words(tmp_path):
    encoded(tmp_path, ROWS, Settings(clusters=5000, vector_size=8, min_count=5, epochs=1))
    assert len(lines(tmp_path)) == 9


def test_without_frequent_words(tmp_path):
    with pytest.raises(CrepeError, match="no word occurs 999 times"):
        encoded(tmp_path, ROWS, Settings(clusters=2, vector_size=8, min_count=999, epochs=1))


def test_no_longer_than_asked(tmp_path):
    feature = Settings(clusters=2, vector_size=8, min_count=5, epochs=1, max_length=3)
    found = encoded(tmp_path, ROWS, feature)
    assert {len(row) for row in found} == {3}
    assert feature.reader(lines(tmp_path))(ROWS[0][1:]).tolist() == found[0].tolist()


def test_a_thesaurus_is_refused():
    with pytest.raises(CrepeError, match=r"means\.thesaurus: unknown key; known here: kind, max_length, clusters, "):
        FeatureSettings.parse(MEANS.as_dict() | {"thesaurus": "any"}, "means")


def test_means_have_no_document_frequencies(tmp_path):
    encoded(tmp_path, ROWS, MEANS)
    config = load()
    models = {"weighted": Model(feature="means", network="linear-tfidf", training="counts")}
    catalog = dataclasses.replace(config.catalog, models={**config.catalog.models, **models}, datasets={"toys": TOYS})
    config = dataclasses.replace(config, datasets=("toys",), catalog=catalog)
    with pytest.raises(CrepeError, match="means does not count the rows of each symbol"):
        prepare(config, "toys", "weighted", 0, tmp_path / "shards", torch.device("cpu"))
