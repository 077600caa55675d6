from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from crepe.errors import CrepeError
from crepe.io import section
from crepe.io.section import Section, Variant, positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Point(Section):
    x: int
    y: float = 0.0

    def __post_init__(self):
        positive(self, "x")


class Shape(Variant):
    KINDS: ClassVar = {"here": __name__, "there": "tests.io.not_imported"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(Shape):
    corners: tuple[Point, ...]
    names: dict[str, Point | None]
    size: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing(Section):
    shape: Shape


PLAIN = {"kind": "here", "corners": ({"x": 1, "y": 2.0},), "names": {"a": {"x": 3, "y": 0.0}, "b": None}, "size": 1}


def test_a_variant_is_read_back():
    found = Drawing.parse({"shape": {name: value for name, value in PLAIN.items() if name != "size"}})
    assert type(found.shape) is Settings
    assert found.shape.kind == "here"
    assert found.shape.corners == (Point(x=1, y=2.0),)
    assert found.as_dict() == {"shape": PLAIN}
    assert Drawing.parse(found.as_dict()) == found
    # A class of one kind gives what the mapping asks for, too.
    assert Settings.parse(PLAIN) == found.shape


@pytest.mark.parametrize(("text", "number"), [("1e-05", 1e-05), ("2.5E+3", 2500.0), ("-1e2", -100.0), (".5e1", 5.0)])
def test_a_number_with_an_exponent_may_be_text(text, number):
    """As YAML 1.1 takes it."""
    found = Point.parse({"x": 1, "y": text}).y
    assert (type(found), found) == (float, number)


@pytest.mark.parametrize("text", ["0.5", "1", "e5", "1e", "1e5 ", "\N{ARABIC-INDIC DIGIT ONE}e5", "inf", "nan"])
def test_other_text_is_no_number(text):
    with pytest.raises(CrepeError, match="expected float, found"):
        Point.parse({"x": 1, "y": text})


@pytest.mark.parametrize(
    ("shape", "subject", "fault"),
    [
        (3, "configuration: shape", "expected keys and values, found 3"),
        ({"corners": []}, "configuration: shape.kind", "is missing"),
        ({"kind": "round"}, "configuration: shape.kind", "'round' is not a known kind; known: here, there"),
        ({"kind": ["here"]}, "configuration: shape.kind", "expected str, found ['here']"),
        (PLAIN | {"colour": 1}, "configuration: shape.colour", "unknown key; known here: kind, corners, names, size"),
        ({"kind": "here", "corners": []}, "configuration: shape.names", "is missing"),
        (PLAIN | {"corners": [{"x": 0}]}, "configuration: shape.corners[0]", "x must be more than 0"),
        (PLAIN | {"corners": [{"x": True}]}, "configuration: shape.corners[0].x", "expected int, found True"),
    ],
)
def test_errors_name_the_key(shape, subject, fault):
    with pytest.raises(CrepeError) as caught:
        Drawing.parse({"shape": shape})
    assert (caught.value.subject, caught.value.fault) == (subject, fault)


def test_errors_name_the_source():
    with pytest.raises(CrepeError) as caught:
        Point.parse({}, source=Path("run.json"))
    assert str(caught.value) == "run.json: x: is missing"
    with pytest.raises(CrepeError) as caught:
        Point.parse([], source=Path("run.json"))
    assert str(caught.value) == "run.json: expected keys and values, found []"


def test_an_old_key_is_answered_with_the_new_one(monkeypatch):
    monkeypatch.setattr(section, "RENAMED", {"points.*.abscissa": "is called x now"})
    with pytest.raises(CrepeError) as caught:
        Point.parse({"abscissa": 3}, "points.first")
    assert str(caught.value) == "configuration: points.first.abscissa: is called x now"
    with pytest.raises(CrepeError, match=r"points\.abscissa: unknown key"):
        Point.parse({"abscissa": 3}, "points")
