import gzip
import subprocess
import sys

import numpy as np
import pytest

from crepe.errors import CrepeError
from crepe.text import word2vec
from tests.support.texts import binary

# Two topics that never meet.
TEXTS = [["cat", "dog", "pet", "fur"], ["car", "road", "wheel", "gas"]] * 60


ENTRIES = [(f"w{number}", [number, -1.5, 0.25]) for number in range(50)]


def test_words_that_occur_together_are_near():
    words, vectors = word2vec.learn(TEXTS, size=10, min_count=5, epochs=20, seed=0)
    assert sorted(words) == sorted({word for text in TEXTS for word in text})
    assert vectors.shape == (8, 10)
    assert vectors.dtype == np.float32
    unit = dict(zip(words, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))
    assert unit["cat"] @ unit["dog"] > unit["cat"] @ unit["road"]


def test_rare_words_have_none():
    words, _ = word2vec.learn([*TEXTS, ["once"]], size=10, min_count=2, epochs=1, seed=0)
    assert "once" not in words
    assert word2vec.learn([["a"]], size=10, min_count=2, epochs=1, seed=0)[0] == []


@pytest.mark.slow
def test_another_process_learns_the_same_bytes():
    program = (
        "from hashlib import sha256; from crepe.text import word2vec; from tests.text.test_word2vec import TEXTS;"
        "print(sha256(word2vec.learn(TEXTS, 10, 5, 3, 7)[1].tobytes()).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True) for _ in range(2)]
    assert len({run.stdout for run in runs}) == 1
    assert len(runs[0].stdout) == 65, runs[0].stderr


@pytest.mark.parametrize("block", [50, 10**6])
def test_one_and_two_threads_learn_the_same_bytes(block, monkeypatch):
    monkeypatch.setattr(word2vec, "BLOCK", block)
    learnt = []
    for number in ("1", "2", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", number)
        learnt.append(word2vec.learn(TEXTS, size=10, min_count=5, epochs=4, seed=3)[1].tobytes())
    assert len(set(learnt)) == 1


def test_texts_of_one_block_are_learnt_as_gensim_does():
    from gensim.models import Word2Vec

    words, vectors = word2vec.learn(TEXTS, size=10, min_count=5, epochs=3, seed=4)
    plain = Word2Vec(TEXTS, vector_size=10, min_count=5, epochs=3, seed=4, sg=1, workers=1)
    assert words == plain.wv.index_to_key
    np.testing.assert_allclose(vectors, plain.wv.vectors, rtol=1e-5, atol=1e-7)


def test_blocks_learn_as_well_as_one_after_the_other(monkeypatch):
    monkeypatch.setattr(word2vec, "BLOCK", 40)
    words, vectors = word2vec.learn(TEXTS, size=10, min_count=5, epochs=60, seed=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    topic = np.array([word in TEXTS[0] for word in words])
    likeness = unit @ unit.T
    assert likeness[np.ix_(topic, topic)].mean() > likeness[np.ix_(topic, ~topic)].mean()
    assert likeness[np.ix_(~topic, ~topic)].mean() > likeness[np.ix_(topic, ~topic)].mean()


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("piece", [7, 2**20])
def test_published_files(tmp_path, monkeypatch, end, pack, piece):
    monkeypatch.setattr(word2vec, "PIECE", piece)
    path = tmp_path / "vectors.bin"
    path.write_bytes(pack(binary(ENTRIES, end)))
    assert [(word, vector.tolist()) for word, vector in word2vec.published(path)] == ENTRIES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not vectors",
        b"<html>no</html> x\n",
        binary(ENTRIES)[:-5],
        binary(ENTRIES, words=60),
        gzip.compress(binary(ENTRIES))[:-30],
        b"\x1f\x8bgarbage",
    ],
)
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "vectors.bin"
    path.write_bytes(content)
    with pytest.raises(CrepeError, match=r"vectors\.bin: is not a whole file"):
        list(word2vec.published(path))


def test_a_look_at_the_first_entry_and_at_all(tmp_path):
    path = tmp_path / "vectors.bin"
    path.write_bytes(binary(ENTRIES))
    word2vec.sniff(path)
    word2vec.check(path)
    path.write_bytes(binary(ENTRIES, words=60))
    word2vec.sniff(path)
    with pytest.raises(CrepeError):
        word2vec.check(path)
    path.write_bytes(b"<html>")
    with pytest.raises(CrepeError):
        word2vec.sniff(path)
