import csv
import gzip
import io
import math
import re
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from crepe.cli import main
from crepe.config import load
from crepe.data import demo_data
from crepe.data.demo_data import LIBRARIES, TEST_ROWS, TRAIN_ROWS, Library, collect, docstrings
from crepe.errors import CrepeError


def unpack(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read().decode() for member in archive}


def rows(text):
    return [
        (int(label), *(field.replace(r"\n", "\n").strip() for field in fields))
        for label, *fields in csv.reader(io.StringIO(text))
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "deep" / "docstrings.tgz"
    assert main(["demo-data", "--output", str(path)]) == 0
    return unpack(path)


@pytest.fixture(scope="module")
def splits(files):
    return {split: rows(files[f"docstrings_csv/{split}.csv"]) for split in ("train", "test")}


def test_classes_are_balanced_and_counted(files, splits):
    assert list(files) == [f"docstrings_csv/{name}" for name in ("classes.txt", "train.csv", "test.csv")]
    assert files["docstrings_csv/classes.txt"].splitlines() == [library.title for library in LIBRARIES]
    labels = range(1, len(LIBRARIES) + 1)
    assert Counter(row[0] for row in splits["train"]) == dict.fromkeys(labels, TRAIN_ROWS)
    assert Counter(row[0] for row in splits["test"]) == dict.fromkeys(labels, TEST_ROWS)
    assert TRAIN_ROWS >= 1000
    assert len(LIBRARIES) >= 4


def test_the_archive_is_of_the_papers_format(files):
    line = re.compile(r'"[1-9]","(?:[^"]|"")+","(?:[^"]|"")*"')
    for split in ("train", "test"):
        text = files[f"docstrings_csv/{split}.csv"]
        assert text.endswith('"\n')
        assert all(line.fullmatch(row) for row in text.removesuffix("\n").split("\n"))


def test_the_demos_configuration_agrees():
    dataset = load("config/demo.yaml").dataset("docstrings")
    assert dataset.fields == 2
    assert dataset.classes == len(LIBRARIES)
    assert dataset.train_rows == len(LIBRARIES) * TRAIN_ROWS
    assert dataset.test_rows == len(LIBRARIES) * TEST_ROWS
    assert dataset.sources[0].local == Path("data/demo/docstrings.tgz")


def test_no_text_names_a_library(splits):
    name = re.compile(r"torch|sqlalchemy|sympy|pandas|python|(?<![a-z0-9])(?:pd|sa)(?![a-z0-9])", re.IGNORECASE)
    assert [row for split in splits.values() for row in split if name.search(" ".join(row[1:]))] == []


def test_nothing_leaks_from_train_to_test(splits):
    texts = [" ".join(" ".join(row[1:]).lower().split()) for split in splits.values() for row in split]
    assert len(set(texts)) == len(texts)
    summaries = [{" ".join(row[1].lower().split()) for row in split} for split in splits.values()]
    assert not summaries[0] & summaries[1]


def test_texts_are_short_but_not_empty(splits):
    lengths = sorted(sum(map(len, row[1:])) for split in splits.values() for row in split)
    assert lengths[0] >= demo_data.SHORTEST
    assert lengths[-1] <= demo_data.LONGEST
    assert 150 <= lengths[len(lengths) // 2] <= 450


def test_words_tell_the_libraries_apart(splits):
    """Naive Bayes on words: were its error not small, a network could not learn the demo in minutes."""

    def words(row):
        return set(re.findall(r"[a-z]+", " ".join(row[1:]).lower()))

    counts: dict[int, Counter[str]] = {library: Counter() for library in range(1, len(LIBRARIES) + 1)}
    for row in splits["train"]:
        counts[row[0]].update(words(row))
    wrong = 0
    for row in splits["test"]:
        scores = {k: sum(math.log((c[word] + 1) / (TRAIN_ROWS + 2)) for word in words(row)) for k, c in counts.items()}
        wrong += max(scores, key=scores.get) != row[0]
    assert wrong / len(splits["test"]) < 0.2


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two packages with a dozen docstrings each; one must not be imported."""

    def package(name, lines):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported')\n")
        (tmp_path / name / "broken.py").write_text("def f(:\n")
        (tmp_path / name / "words.py").write_text("".join(lines))
        (tmp_path / name / "tests").mkdir()
        (tmp_path / name / "tests" / "words.py").write_text(
            '"""A test, which is not about the library, ' + "no " * 40 + '"""'
        )

    first = (
        f'def f{n}():\n    """Number {chr(97 + n) * 9} of the first, {"so it goes " * 10}."""\n' for n in range(20)
    )
    second = (
        f'class C{n}:\n    """Letter {chr(97 + n) * 9} of the other, {"as ever, " * 12}.\n\n    More."""\n'
        for n in range(20)
    )
    package("firstling", first)
    package("otherling", second)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(demo_data, "LIBRARIES", (Library("First", "firstling"), Library("Other", "otherling")))
    monkeypatch.setattr(demo_data, "TRAIN_ROWS", 7)
    monkeypatch.setattr(demo_data, "TEST_ROWS", 3)
    return tmp_path


def test_same_sources_same_bytes(small):
    collect(small / "a.tgz")
    collect(small / "b.tgz")
    assert (small / "a.tgz").read_bytes() == (small / "b.tgz").read_bytes()
    assert gzip.decompress((small / "a.tgz").read_bytes())
    files = unpack(small / "a.tgz")
    assert {split: len(rows(files[f"docstrings_csv/{split}.csv"])) for split in ("train", "test")} == {
        "train": 14,
        "test": 6,
    }
    assert "firstling" not in sys.modules


def test_tests_and_broken_files_are_not_read(small):
    assert len(list(demo_data.library_texts(Library("First", "firstling")))) == 20


def test_too_few_docstrings(small, monkeypatch, capsys):
    monkeypatch.setattr(demo_data, "TRAIN_ROWS", 21)
    assert main(["demo-data", "--output", str(small / "a.tgz")]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"crepe demo-data: {small / 'firstling'}: has too few docstrings, ")
    assert not (small / "a.tgz").exists()


def test_a_package_that_is_not_there(small, monkeypatch):
    monkeypatch.setattr(demo_data, "LIBRARIES", (Library("None", "nowhere_to_be_found"),))
    with pytest.raises(CrepeError, match=r"nowhere_to_be_found: is not installed"):
        collect(small / "a.tgz")


def source(tmp_path, text):
    path = tmp_path / "source.py"
    path.write_text(text, encoding="utf-8")
    return path


LONG = "that is long enough to be taken, since it goes on and on, " * 2 + "and says nothing whatever"


def test_every_kind_of_docstring_is_found(tmp_path):
    path = source(
        tmp_path,
        f'''"""A module {LONG}."""
try:
    class A:
        """A class {LONG}."""
        async def f(self):
            """A coroutine {LONG}."""
except ImportError:
    def g():
        """A function {LONG}."""
"""No docstring {LONG}."""
x = "No docstring either, {LONG}"
''',
    )
    assert [text for text, _ in docstrings(path, "m")] == [
        f"A {kind} {LONG}." for kind in ("module", "class", "coroutine", "function")
    ]


def test_fields_come_back_as_they_were(tmp_path):
    body = (
        '"""\nQuotes " and ""\nare kept,\n\n  as is a \\\\ before a \\\nline end, über alles.\n' + "x" * 60 + '\n"""\n'
    )
    (text,) = docstrings(source(tmp_path, body), "m")
    assert text == (
        'Quotes " and "" are kept,',
        "as is a \\ before a line end, über alles.\n" + "x" * 60,
    )
    ((_, *fields),) = rows(demo_data.to_csv([(b"", 1, text)]))
    assert tuple(fields) == text


def test_a_backslash_at_a_line_end_comes_back(tmp_path):
    (text,) = docstrings(source(tmp_path, f'r"""Cut \\\n{LONG}.\n\nRest \\\nand \\more."""'), "m")
    ((_, *fields),) = rows(demo_data.to_csv([(b"", 1, text)]))
    assert tuple(fields) == text == (f"Cut \\ {LONG}.", "Rest \\\nand \\more.")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'r"""A text with \\nabla, which stands for a newline in these files, {LONG}."""', id="escape"),
        pytest.param(f'"""A text with a \\x00 in it {LONG}."""', id="NUL"),
        pytest.param(f'"""A text with a \\ud800 in it {LONG}."""', id="surrogate"),
        pytest.param('"""Too short."""', id="short"),
        pytest.param('def f(:\n    """' + LONG + '."""', id="no Python"),
        pytest.param("x = '\x00'", id="NUL in the source"),
    ],
)
def test_what_cannot_be_used_is_left_out(tmp_path, body):
    assert docstrings(source(tmp_path, body), "m") == []


def test_names_go_and_words_stay(tmp_path):
    text = f"In PyTorch, `torch.nn` and TorchScript: pd.Series is not a pdf; the AST of ast, ast_node, last, {LONG}."
    (found,) = docstrings(source(tmp_path, f'"""{text}"""'), "_ast")
    assert found[0] == f"In , `nn` and Script: Series is not a pdf; the of , _node, last, {LONG}."


def test_long_texts_are_cut_at_white_space(tmp_path):
    (found,) = docstrings(source(tmp_path, f'"""{"word " * 40}\n\n{"more " * 100}"""'), "m")
    assert found == (("word " * 40).strip(), ("more " * 19).strip())
