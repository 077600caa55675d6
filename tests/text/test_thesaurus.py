"""Reading a thesaurus; its figures are those of LibreOffice's English one."""

import re
from pathlib import Path

import numpy as np
import pytest

from crepe.errors import CrepeError
from crepe.text import thesaurus

SMALL = """\
UTF-8
.22|1
(noun)|twenty-two|firearm (generic term)
good|3
(adj)|full|Good|estimable|bad (antonym)|nice (similar term)|right (related term)
(noun)|goodness|FULL| well-being |--
-|in effect (law)
good deed|1
(noun)|favor
hot-dog|1
(verb)|show off
Élan|1
(noun)|dash|éclat
1530s|1
(noun)|decade (generic term)
city|0
city|1
(noun)|metropolis
city|1
(noun)|urban center
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.dat"


def test_entries_are_single_words_with_synonyms_by_rank(path: Path) -> None:
    path.write_text(SMALL)
    assert thesaurus.read(path) == {
        "good": ["full", "estimable", "goodness", "well-being", "in effect (law)"],
        "élan": ["dash", "éclat"],
        "city": ["metropolis", "urban center"],
    }


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO8859-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_encodings_and_ends_of_lines(path: Path, encoding: str, newline: str, end: str) -> None:
    text = SMALL.replace("UTF-8", encoding).removesuffix("\n") + end
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    assert thesaurus.read(path)["élan"] == ["dash", "éclat"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: is not the name of an encoding: ''"),
        (b"<html>\nx", "line 1: is not the name of an encoding: '<html>'"),
        (b"UTF-8\na|1\n(noun)|\xe9\n", "line 3: is not UTF-8"),
        (b"UTF-8\na|1\n(noun)|b\n\nc|1\n(noun)|d\n", "line 4: expected `word|meanings`, found ''"),
        (b"UTF-8\na|one\n(noun)|b\n", "line 2: expected `word|meanings`, found 'a|one'"),
        (b"UTF-8\na|1\n(noun)|b\n(noun)|c\n", "line 4: expected `word|meanings`, found '(noun)|c'"),
        (b"UTF-8\na|2\n(noun)|b\nc|1\n(noun)|d\n", "line 4: expected a meaning of 'a', found 'c|1'"),
        (b"UTF-8\na|1\n(noun)\n", "line 3: expected a meaning of 'a', found '(noun)'"),
        (b"UTF-8\na|99\n(noun)|b\n", "line 4: expected a meaning of 'a', found the end"),
        (b"UTF-8\na b|1\n(noun)|c\n", "has no synonyms of single words"),
        (b"UTF-8\n", "has no synonyms of single words"),
    ],
)
def test_a_damaged_file_is_named_with_the_line(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CrepeError, match=re.escape(f"{path}: {message}")):
        thesaurus.read(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(CrepeError, match=re.escape(f"{path}: cannot be read: No such file")):
        thesaurus.read(path)


def test_the_english_thesaurus(shared: Path) -> None:
    found = thesaurus.read(shared / "data/th_en_US_v2.dat")
    assert (len(found), sum(map(len, found.values()))) == (58_573, 193_945)
    assert found["dog"][:4] == ["domestic dog", "Canis familiaris", "frump", "cad"]
    assert found["simple"][:3] == ["elementary", "uncomplicated", "unproblematic"]
    assert found["city"] == ["metropolis", "urban center"]
    # "I" repeats "i".
    assert found["1"] == ["one", "i", "ane", "ace", "single", "unity"]
    assert not {"1530s", "the", "hot dog", "15-may"} & set(found)
    assert all(word == word.lower() for word in found)


def test_table_has_each_word_and_its_synonyms() -> None:
    found = thesaurus.table([("a", ["bc", ""]), ("d", ["e"])], lambda text: np.array([*text.encode()]), "uint8")
    assert [row.tobytes().decode() for row in found] == ["a", "bc", "", "d", "e"]
    assert found.labels.tolist() == [0, 0, 0, 1, 1]
    assert found.values.dtype == np.uint8


def test_spots_of_rows_some_of_which_have_none() -> None:
    values, offsets = thesaurus.spots(np.array([0, 4, 6, 0, 3]), np.array([-1, 7, 0, -1, 2]), np.array([0, 0, 3, 4, 5]))
    assert values.tolist() == [4, 7, 6, 0, 3, 2]
    assert offsets.tolist() == [0, 0, 4, 4, 6]
    assert values.dtype == np.int32
