import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crepe
from crepe.errors import CrepeError
from crepe.text.alphabet import ALPHABETS, encode, join, quantize
from tests.support.paths import GOLDEN
from tests.support.texts import encodings

fields = st.lists(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), min_size=1, max_size=3)


def plain(fields, alphabet, length):
    """What the original program does, byte by byte."""
    characters = ALPHABETS[alphabet]
    columns = []
    for byte in reversed(b" ".join(reversed(fields))):
        character = chr(byte) if byte < 128 else "none"
        if character not in characters and "A" <= character <= "Z":
            character = character.lower()
        columns.append(characters.rfind(character) + 1)
    columns = columns[:length]
    while columns and columns[-1] == 0:
        columns.pop()
    return columns


@pytest.mark.parametrize(("label", "fields", "indices"), list(encodings(GOLDEN / "encodings.jsonl")))
def test_meets_the_original(label, fields, indices):
    assert quantize(fields).tolist() == indices


def test_meets_the_original_on_every_row(shared):
    rows = list(encodings(shared / "golden/encodings.jsonl"))
    assert len(rows) == 169
    for _, fields, indices in rows:
        assert quantize(fields).tolist() == indices


@given(fields, st.sampled_from(list(ALPHABETS)), st.integers(0, 60))
def test_equals_the_plain_program(fields, alphabet, length):
    found = quantize(fields, alphabet, length)
    assert found.dtype == np.uint8
    assert found.tolist() == plain(fields, alphabet, length)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_text_counts_as_its_bytes(fields):
    assert quantize(fields).tolist() == quantize([field.encode() for field in fields]).tolist()
    assert quantize(fields[0]).tolist() == quantize(fields[:1]).tolist()


@given(st.lists(fields, max_size=20), st.integers(0, 60))
def test_many_texts_at_once(texts, length):
    joined = [join(fields) for fields in texts]
    ends = np.cumsum([0, *map(len, reversed(joined))])
    values, offsets = encode(b"".join(reversed(joined)), ends, "crepe", length)
    rows = [values[start:stop].tolist() for start, stop in pairwise(offsets)]
    assert rows == [quantize(fields, length=length).tolist() for fields in texts]


def test_the_alphabets():
    assert {name: len(characters) for name, characters in ALPHABETS.items()} == {"crepe": 69, "paper": 70, "full": 95}
    everything = "".join(map(chr, range(128)))
    for name, characters in ALPHABETS.items():
        used = set(quantize(everything, name).tolist())
        assert used == set(range(len(characters) + 1)) - {37}, "the hyphen's first place is never used, all others are"
    assert quantize("-").tolist() == [60]
    assert quantize("zA").tolist() == quantize("Za").tolist() == [1, 26]
    assert quantize("zA", "full").tolist() == [70, 26]
    assert quantize("a\nb", "crepe").tolist() == [2, 0, 1]
    assert quantize("a\nb", "paper").tolist() == [2, 70, 1]


def test_a_lone_surrogate_is_three_bytes():
    assert quantize("a\ud800b").tolist() == [2, 0, 0, 0, 1]


def test_unknown_alphabet():
    with pytest.raises(CrepeError, match="'latin': is unknown; choose from crepe, paper, full"):
        quantize("a", "latin")


def test_the_package_has_it_without_importing_numpy_first():
    assert crepe.quantize is quantize
    code = "import sys, crepe; assert 'numpy' not in sys.modules; print(crepe.quantize('ab').tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[2, 1]\n"
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = crepe.quantise
