import pytest
import torch
from safetensors import safe_open

from crepe.config.catalog import Model, Source, Vectors
from crepe.data.vectors import vectors
from crepe.errors import CrepeError
from crepe.features import words
from crepe.models import lstm
from crepe.records.run import LEARNT as LEARNT_ORIGIN
from crepe.training.setup import prepare
from tests.support.texts import binary

LEARNT = Vectors(vector_size=6, min_count=2, epochs=1)
PUBLISHED = Vectors(vector_size=3, sources=(Source(url="vectors.bin"),))


def made(path):
    with safe_open(path, framework="np") as file:
        table = zip(file.get_tensor("indices").tolist(), file.get_tensor("vectors").tolist(), strict=True)
        return dict(table), file.metadata()["crepe"]


@pytest.fixture
def start(tiny):
    """A function that prepares an LSTM on the tiny words, its look-up table started from vectors."""
    import dataclasses

    def prepared(path, size):
        catalog = dataclasses.replace(
            tiny.config.catalog,
            features={"words": words.Settings(vocab_size=40, max_length=100)},
            networks={"lstm": lstm.Settings(embedding_dim=size, hidden_size=4)},
            models={"lstm": Model(feature="words", network="lstm", training="lstm", vectors="learnt")},
            vectors={"learnt": LEARNT},
        )
        config = dataclasses.replace(tiny.config, models=("lstm",), catalog=catalog)
        return prepare(config, "tiny", "lstm", 0, tiny.folder / "words", torch.device("cpu"), path)

    return prepared


def test_learnt_vectors_are_where_the_network_starts(tiny, tmp_path, start):
    path = tmp_path / "a/learnt.safetensors"
    vectors(LEARNT, tmp_path / "none", tiny.folder / "words", path)
    table, about = made(path)
    assert list(table) == list(range(1, 41))
    assert LEARNT_ORIGIN in about
    found = start(path, 6)
    assert found.vectors_origin == LEARNT_ORIGIN
    assert found.model.network.embedding[1:].tolist() == list(table.values())


def test_published_vectors_by_case_and_order(tiny, tmp_path, start):
    entries = [("W03", [1, 1, 1]), ("nothing", [2, 2, 2]), ("w03", [3, 3, 3]), ("W05", [4, 4, 4]), ("W05", [5, 5, 5])]
    (tmp_path / "vectors.bin").write_bytes(binary(entries))
    path = tmp_path / "published.safetensors"
    vectors(PUBLISHED, tmp_path / "vectors.bin", tiny.folder / "words", path)
    table, about = made(path)
    # The vocabulary of the tiny words is w00, w01, ...; indices begin at 1.
    assert table == {4: [3, 3, 3], 6: [4, 4, 4]}
    assert "vectors.bin, sha256 " in about
    network = start(path, 3).model.network
    assert network.embedding[4].tolist() == [3, 3, 3]
    assert 0 < network.embedding[5].abs().max() < 1


def test_messages(tiny, tmp_path, start):
    path = tmp_path / "made.safetensors"
    with pytest.raises(CrepeError, match="none: is missing"):
        vectors(PUBLISHED, tmp_path / "none", tiny.folder / "words", path)
    with pytest.raises(CrepeError, match="has no vocabulary"):
        vectors(LEARNT, tmp_path / "none", tiny.folder / "chars", path)
    with pytest.raises(CrepeError, match="none of its words has a vector"):
        vectors(Vectors(vector_size=6, min_count=9999), tmp_path / "none", tiny.folder / "words", path)
    (tmp_path / "vectors.bin").write_bytes(binary([("w01", [1, 2])]))
    with pytest.raises(CrepeError, match="have 2 numbers, not 3"):
        vectors(PUBLISHED, tmp_path / "vectors.bin", tiny.folder / "words", path)
    assert not path.exists()
    with pytest.raises(CrepeError, match=r"made\.safetensors: is missing"):
        start(path, 6)
    path.write_bytes(b"junk")
    with pytest.raises(CrepeError, match=r"is damaged, .*; run `crepe vectors` again"):
        start(path, 6)
    vectors(LEARNT, tmp_path / "none", tiny.folder / "words", path)
    with pytest.raises(CrepeError, match="is for another vocabulary or size"):
        start(path, 5)
