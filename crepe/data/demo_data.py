"""Collect the demo's dataset from docstrings on this machine: which library does a text belong to?

Sources are parsed, never imported, and nothing comes from the network. The libraries' names and import aliases are
taken out of every text, and so is the name of a standard library's module out of its own docstrings. Texts that
differ in nothing but case, white space, digits and punctuation count once; texts with the same summary fall into
the same split. The same packages give the same bytes, and other releases of them give mostly the same rows: which
rows are taken, and for which split, is decided by hashes alone.
"""

import argparse
import ast
import csv
import hashlib
import io
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crepe.data.archive import pack
from crepe.errors import CrepeError
from crepe.layout import DEMO_ARCHIVE

TRAIN_ROWS = 1500
TEST_ROWS = 300
"""Rows of each class."""

SHORTEST, LONGEST = 120, 300
"""Characters of a text, both fields together; a longer one is cut at white space."""

FOLDER = "docstrings_csv"


@dataclass(frozen=True, slots=True)
class Library:
    """A class of the dataset."""

    title: str
    package: str | None
    """The package that holds the sources, None for Python's own."""


LIBRARIES = (
    Library("Python standard library", None),
    Library("PyTorch", "torch"),
    Library("SQLAlchemy", "sqlalchemy"),
    Library("SymPy", "sympy"),
    Library("pandas", "pandas"),
)

# Tests are not what a library is about, vendored code is another's, and distributions leave some of Python out.
_SKIPPED = {"test", "tests", "testing", "conftest.py", "_vendor", "site-packages", "dist-packages"}
_SKIPPED |= {"distutils", "ensurepip", "idlelib", "lib2to3", "tkinter", "turtle.py", "turtledemo"}

# A name goes wherever it stands (`TorchScript`), an alias only as a word; the dot of an attribute goes with them.
_WORD, _DOT = r"(?<![^\W_])(?:{})(?![^\W_])", r"(?:\.(?=\w))?"
_NAMES = re.compile(f"(?:pytorch|torch|sqlalchemy|sympy|pandas|python|{_WORD.format('pd|sa')}){_DOT}", re.IGNORECASE)

Text = tuple[str, str]
"""The two fields of a row: the summary in one line, and the rest."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--output", type=Path, default=DEMO_ARCHIVE, help="default: %(default)s")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    collect(options.output)


def collect(output: Path) -> None:
    """Write an archive of the paper's format: `docstrings_csv/classes.txt`, `train.csv` and `test.csv`.

    Raises:
        CrepeError: a library is not installed or has too few docstrings, or the archive cannot be written.
    """
    rows: dict[str, list[tuple[bytes, int, Text]]] = {"train": [], "test": []}
    seen: set[bytes] = set()
    for label, library in enumerate(LIBRARIES, start=1):
        wanted = {"train": TRAIN_ROWS, "test": TEST_ROWS}
        for text in library_texts(library):
            key, split = _hash(" ".join(text)), _split(text[0])
            if key not in seen and wanted[split]:
                seen.add(key)
                wanted[split] -= 1
                rows[split].append((key, label, text))
            if not any(wanted.values()):
                break
        else:
            lacking = " and ".join(f"{count} {split} rows" for split, count in wanted.items() if count)
            raise CrepeError(
                _root(library),
                f"has too few docstrings, {lacking} are lacking",
                "install the packages in the versions that this project pins",
            )
    files = {"classes.txt": "".join(f"{library.title}\n" for library in LIBRARIES)}
    files |= {f"{split}.csv": to_csv(sorted(found)) for split, found in rows.items()}
    pack(output, FOLDER, {name: io.BytesIO(text.encode()) for name, text in files.items()})


def docstrings(path: Path, module: str) -> list[Text]:
    r"""The usable docstrings of a source file, each cut and without names, in the order they stand.

    Left out are texts that the format cannot hold (control characters; the two characters `\n`, which stand for a
    newline there) and texts shorter than `SHORTEST`. A file that is not valid Python has none.

    Args:
        path: the file.
        module: the top-level module that it belongs to.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    found = []
    for node in [tree, *_definitions(tree.body)]:
        text = _without_names(ast.get_docstring(node) or "", module)
        if len(text) > LONGEST:
            text = text[:LONGEST].rsplit(maxsplit=1)[0]
        summary, _, rest = text.partition("\n\n")
        fields = " ".join(summary.split()), rest.strip()
        if sum(map(len, fields)) >= SHORTEST and r"\n" not in text and text.replace("\n", "").isprintable():
            found.append(fields)
    return found


def _definitions(statements: list[Any]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions at any depth; unlike `ast.walk`, past the expressions, which takes a third of the time."""
    for statement in statements:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        for part in ("body", "orelse", "handlers", "finalbody"):
            yield from _definitions(getattr(statement, part, []))


def library_texts(library: Library) -> Iterator[Text]:
    """The docstrings of a library, file by file in the order of the hash of their paths."""
    root = _root(library)
    files = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        if _SKIPPED.isdisjoint(parts) and not parts[-1].startswith("test_"):
            files.append((_hash("/".join(parts)), path, library.package or parts[0].removesuffix(".py")))
    for _, path, module in sorted(files):
        yield from docstrings(path, module)


def _root(library: Library) -> Path:
    """The folder of a library's sources, found without importing it."""
    if library.package is None:
        return Path(sysconfig.get_path("stdlib"))
    spec = find_spec(library.package)
    if spec is None or not spec.submodule_search_locations:
        raise CrepeError(library.package, "is not installed", "install this project with its extra `workflow`")
    return Path(spec.submodule_search_locations[0])


def _without_names(text: str, module: str) -> str:
    own = re.compile(_WORD.format(re.escape(module.strip("_"))) + _DOT, re.IGNORECASE)
    return _NAMES.sub("", own.sub("", text)).strip()


def _hash(text: str) -> bytes:
    """Return the digest of a text's letters without case; of the whole text if it has no letters."""
    folded = "".join(letter for letter in text.casefold() if letter.isalpha())
    return hashlib.sha256((folded or text).encode()).digest()


def _split(summary: str) -> str:
    share = int.from_bytes(_hash(summary)[:8], "big") / 2**64
    return "test" if share < TEST_ROWS / (TRAIN_ROWS + TEST_ROWS) else "train"


def to_csv(rows: list[tuple[bytes, int, Text]]) -> str:
    r"""Every field quoted, a newline written as the two characters `\n`."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([label, *(field.replace("\n", r"\n") for field in text)] for _, label, text in rows)
    return stream.getvalue()
