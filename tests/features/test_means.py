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


def groups(seed, number=40, each=25, size=12):
    """Vectors about `number` centers, in any order."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(0, 3, (number, size))
    return generator.permutation(np.repeat(centers, each, 0) + generator.normal(0, 1, (number * each, size)), 0)


def inertia(vectors, labels):
    """Sum of squared distances to the means of the clusters."""
    parts = [vectors[labels == label] for label in np.unique(labels)]
    return sum(((part - part.mean(0)) ** 2).sum() for part in parts)


@pytest.mark.parametrize("clusters", [20, 150])
def test_clusters_are_as_good_as_scikit_learns(clusters):
    from sklearn.cluster import KMeans

    ours, plain = [], []
    for seed in range(5):
        vectors = groups(seed).astype(np.float32)
        ours.append(inertia(vectors, means.cluster(vectors, clusters)))
        plain.append(KMeans(clusters, n_init=1, max_iter=means.ROUNDS, random_state=seed).fit(vectors).inertia_)
    assert np.mean(ours) < 1.1 * np.mean(plain)


def test_rounds_end_where_each_vector_is_nearest_to_its_mean():
    vectors = groups(1).astype(np.float32)
    labels = means.cluster(vectors, 8)
    centers = np.stack([vectors[labels == label].mean(0) for label in range(8)])
    distances = ((vectors[:, None] - centers) ** 2).sum(2)
    assert (distances.argmin(1) == labels).mean() > 0.99


def test_one_and_two_threads_cluster_alike(monkeypatch):
    monkeypatch.setattr(means, "BLOCK", 300)
    vectors, threads, found = groups(2, size=300).astype(np.float32), torch.get_num_threads(), []
    for number in (1, 2):
        torch.set_num_threads(number)
        found.append(means.cluster(vectors, 100))
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[1])


def test_starts_are_drawn_by_their_squared_distance():
    # Of the points 0, 1, 3, the first start is any; the second is drawn by the squared distance to it.
    counts = np.zeros((3, 3))
    x = np.array([[0.0], [1.0], [3.0]], np.float32)
    for seed in range(3000):
        first, second = means.starts(x, 2, seed)
        counts[first, second] += 1
    shares = counts / counts.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, [[0, 0.1, 0.9], [0.2, 0, 0.8], [9 / 13, 4 / 13, 0]], atol=0.06)


def test_candidates_drawn_together_are_drawn_as_one_after_the_other(monkeypatch):
    # The last start of five of eight points, by how it is drawn: at most one, or several candidates at a time.
    x = np.array([[0], [1], [3], [7], [8], [12], [20], [21]], np.float32)
    shares = []
    for candidates in (1, 128):
        monkeypatch.setattr(means, "CANDIDATES", candidates)
        monkeypatch.setattr(means, "GROWTH", 1)
        last = [means.starts(x, 5, seed)[-1] for seed in range(3000)]
        shares.append(np.bincount(last, minlength=8) / 3000)
    np.testing.assert_allclose(shares[0], shares[1], atol=0.05)


def test_equal_vectors_are_divided_into_as_many_clusters_as_there_are():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, 0)
    labels = means.cluster(vectors, 6)
    assert len(set(labels.tolist())) == 3
    assert len(set(means.starts(vectors, 6).tolist())) == 6


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
    models = {"weighted": Model(feature="means", network="linear-tfidf", training="tfidf")}
    catalog = dataclasses.replace(config.catalog, models={**config.catalog.models, **models}, datasets={"toys": TOYS})
    config = dataclasses.replace(config, datasets=("toys",), catalog=catalog)
    with pytest.raises(CrepeError, match="means does not count the rows of each symbol"):
        prepare(config, "toys", "weighted", 0, tmp_path / "shards", torch.device("cpu"))
