"""What decided, by occlusion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crepe import features
from crepe.features import characters
from crepe.inference.explain import MOST, explain, strong
from tests.support.classifiers import KINDS, classifier

CHARACTERS = characters.Settings.units
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def length(texts):
    return np.array([float(sum(map(len, fields))) for fields in texts])


@pytest.mark.parametrize("units", [features.WORDS, CHARACTERS], ids=["words", "characters"])
@given(fields=st.lists(TEXT, min_size=1, max_size=3))
def test_the_pieces_are_the_text(units, fields):
    assert "".join(piece for piece, _ in explain(fields, units, length)) == " ".join(fields)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "  ", "Purr, and howl in New York!\n", ("purr", "", "sing unknown")])
def test_every_kind_explains_any_text(kind, text):
    explained = classifier(kind)
    pieces = explained.explain(text, int(explained.probabilities([text])[0].argmax()))
    whole = text.strip() if isinstance(text, str) else " ".join(text)
    assert "".join(piece for piece, _ in pieces) == whole
    assert np.isfinite([weight for _, weight in pieces]).all()
    assert any(weight for _, weight in pieces) == bool(whole)


def test_a_word_of_a_bag_weighs_what_its_scores_differ_by():
    explained = classifier("bag", ["no", "yes"])
    table = explained.model.network.get_parameter("table").detach().numpy()
    pieces = explained.explain("Purr unknown, bark PURR", 1)
    purr, bark = table[[1, 3], 1] - table[[1, 3], 0]
    assert [piece for piece, _ in pieces] == ["Purr", " ", "unknown", ", ", "bark", " ", "PURR"]
    np.testing.assert_allclose([weight for _, weight in pieces], [purr, 0, 0, 0, bark, 0, purr], atol=1e-5)


def test_a_blanked_word_makes_no_new_ngram():
    explained = classifier("n-grams", ["no", "yes"])
    table = explained.model.network.get_parameter("table").detach().numpy()
    purr = table[1, 1] - table[1, 0]
    pieces = dict(explained.explain("new purr york", 1))
    assert pieces["purr"] == pytest.approx(purr, abs=1e-5)
    pair = table[[7, 9], 1].sum() - table[[7, 9], 0].sum()
    assert dict(explained.explain("new york", 1))["new"] == pytest.approx(pair, abs=1e-5)


def test_characters_around_what_decides_weigh_most():
    def odds(texts):
        return np.array([4.0 * ("key" in fields[1]) - 2.0 * ("bad" in fields[1]) for fields in texts])

    pieces = explain(["key bad", "some key far from bad"], CHARACTERS, odds)
    weights = np.array([weight for _, weight in pieces])
    text = "".join(piece for piece, _ in pieces)
    first, last = text.index("key", 8), text.rindex("bad")
    assert weights.argmax() in range(first, first + 3)
    assert weights.argmin() in range(last, last + 3)
    assert not weights[:6].any()


def test_all_is_blanked_in_a_long_text_too():
    seen = []

    def odds(texts):
        seen.append(len(texts))
        return length(texts)

    pieces = explain(["word " * 1000], features.WORDS, odds)
    assert seen[0] <= MOST + 1
    assert all(weight for piece, weight in pieces if piece == "word")


def test_there_are_reasons_for_certainty_too():
    explained = classifier("bag")
    explained.model.network.get_parameter("table").data *= 1e4
    text = "purr meow bark"
    best = int(explained.probabilities([text])[0].argmax())
    assert explained.probabilities([text])[0, best] == 1
    weights = [weight for piece, weight in explained.explain(text, best) if piece != " "]
    assert np.isfinite(weights).all()
    assert all(weights)


def test_strong_runs():
    pieces = [("a", 2.0), ("b", 1.5), (" ", 0.0), ("c", -1.9), ("d", 1.0), ("e", 0.2)]
    assert list(strong(pieces)) == [("ab", 1.0), (" ", 0.0), ("c", -1.0), ("de", 0.0)]
    assert list(strong([("a", 0.0)])) == [("a", 0.0)]
    assert list(strong([])) == []
