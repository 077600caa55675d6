from dataclasses import dataclass

import pytest

from crepe.config import schema
from crepe.io.section import Section
from tests.support.paths import ROOT


@dataclass
class Part(Section):
    """A part.

    With more text.
    """

    width: int
    """How wide it is,
    in metres."""
    name: str = "none"
    """Its name."""


@dataclass
class Undescribed(Section):
    """A part that lacks a docstring."""

    width: int


def test_what_is_made_is_current(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert [path for path, text in schema.contents().items() if path.read_text(encoding="utf-8") != text] == []


def test_check_names_a_stale_file_and_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    schema.README.parent.mkdir()
    schema.README.write_text(f"# Title\n\n{schema.BEGIN}\n{schema.END}\n\nAfter.\n")
    monkeypatch.setattr("sys.argv", ["schema", "--check"])
    assert schema.main() == 1
    found = capsys.readouterr().err
    assert f"{schema.SCHEMA}: is stale" in found
    assert f"{schema.README}: is stale" in found
    assert not schema.SCHEMA.exists()
    schema.SCHEMA.parent.mkdir(parents=True)
    monkeypatch.setattr("sys.argv", ["schema"])
    assert schema.main() == 0
    monkeypatch.setattr("sys.argv", ["schema", "--check"])
    assert schema.main() == 0
    page = schema.README.read_text()
    assert page.startswith("# Title\n")
    assert page.endswith("\n\nAfter.\n")
    assert "| `max_n` | " in page


def test_the_docstring_under_a_field_describes_it():
    assert schema.descriptions(Part) == {"width": "How wide it is, in metres.", "name": "Its name."}
    with pytest.raises(ValueError, match="no docstring under width"):
        schema.descriptions(Undescribed)
