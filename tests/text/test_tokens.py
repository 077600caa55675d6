import unicodedata

import numpy as np
import polars as pl
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from crepe.text.tokens import PIECE, WORD, quantize, tokenize, tokens, vocabulary
from tests.support.texts import frame

# Characters that this Python's Unicode does not know yet may have capitals that polars knows.
known = st.characters(exclude_categories=["Cn", "Cs"])
special = st.sampled_from("ΣσςİıßẞǅKÅﬁÀ͍̀\u00ad'’-_.0٣²ªΑ 世。、𝒳😀\u200d\u2028\n\t")
texts = st.text(known | special | st.sampled_from("abcAB 0_"), max_size=30)


def found(rows):
    table = frame(rows)
    return table.select(tokens(table.columns)).to_series().to_list()


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=10))
def test_both_tokenizers_agree(rows):
    assert found(rows) == [tokenize(row) for row in rows]


def test_both_tokenizers_agree_on_every_character():
    characters = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) not in ("Cn", "Cs")]
    assert found([(f"a{character}Σ",) for character in characters]) == [
        tokenize(f"a{character}Σ") for character in characters
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["The Cat", "sat; don't"], ["the", "cat", "sat", "don", "t"]),
        ("snake_case 4.5%", ["snake_case", "4", "5"]),
        ("«Élan» “naïve”—ÅNGSTRÖM…", ["élan", "naïve", "ångström"]),
        ("ΟΔΥΣΣΕΥΣ", ["οδυσσευς"]),
        ("世界、你好。", ["世", "界", "你", "好"]),
        ("iPhone手机を買う", ["iphone", "手", "机", "を", "買", "う"]),
        ("ผมรัก ๑๒", ["ผ", "ม", "รั", "ก", "๑๒"]),
        ("cafe\u0301 😀", ["cafe\u0301"]),
        ("tensor😀 tensor！ tensor❤\ufe0f", ["tensor", "tensor", "tensor"]),
        ("हिन्दी। नमस्ते॥", ["हिन्दी", "नमस्ते"]),
        ("العربية، نعم؟ لا؛", ["العربية", "نعم", "لا"]),
        ("ភាសា។", ["ភា", "សា"]),
        ("m² ½ x\u200dy", ["m²", "½", "x", "y"]),
        (["", ""], []),
        ("\u00a0\u3000\u2003-\n", []),
    ],
)
def test_what_a_word_is(fields, words):
    assert tokenize(fields) == words


def test_a_text_of_ascii_has_the_words_that_it_has_among_others():
    text = "".join(map(chr, range(128))) + " aB9_ c"
    assert tokenize(text) == tokenize(f"{text} é")[:-1]


def test_pieces_are_the_whole_text():
    text = "\u0301a tensor😀 世界！ x_1 \U0010ffff ❤\ufe0f"
    pieces = regex.findall(PIECE, text)
    assert "".join(pieces) == text
    assert [piece for piece in pieces if regex.fullmatch(WORD, piece)] == tokenize(text)


def test_indices_keep_the_place_of_unknown_words():
    known = {"a": 1, "b": 2}
    assert quantize(["x a", "y B z z"], known).tolist() == [0, 1, 0, 2]
    assert quantize("x y", known).tolist() == []
    assert quantize("", known).dtype == np.int32


def test_vocabulary_is_the_most_frequent_words_in_order():
    rows = [("b b é", "a"), ("", ""), ("z a", "C"), ("c a b", "é"), ("é", "")]
    table = frame(rows)
    full = vocabulary(table.lazy(), table.columns, 10)
    assert full.schema == {"word": pl.String, "count": pl.Int64, "rows": pl.Int64}
    assert full.rows() == [("a", 3, 3), ("b", 3, 2), ("é", 3, 3), ("c", 2, 2), ("z", 1, 1)]
    assert vocabulary(table.lazy(), table.columns, 2).equals(full.head(2))


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=20), st.integers(1, 10))
def test_vocabulary_equals_plain_counting(rows, size):
    table = frame(rows)
    words = [tokenize(row) for row in rows]
    counts = {word: sum(row.count(word) for row in words) for row in words for word in row}
    order = sorted(counts, key=lambda word: (-counts[word], word.encode()))[:size]
    expected = [(word, counts[word], sum(word in row for row in words)) for word in order]
    assert vocabulary(table.lazy(), table.columns, size).rows() == expected
