"""Dataclasses read from nested keys and values, with messages that name the key at fault."""

import dataclasses
import math
import reprlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from crepe.errors import CrepeError

RENAMED: Mapping[str, str] = {}
"""What is said of a key that has had another name, by a pattern for its place in the configuration."""

# A few lines of YAML can stand for any number of values.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_shown = _SHORT.repr


class Section:
    """Base class of dataclasses whose fields are the keys of a mapping in the configuration; no other key is taken."""

    _ALSO: ClassVar[tuple[str, ...]] = ()
    """Keys that are no fields."""

    @classmethod
    def parse(cls, value: Any, key: str = "", source: Path | str = "configuration") -> Self:
        """Build the section from the mapping found at `key`.

        Args:
            value: the mapping, as YAML or JSON gives it.
            key: its place among the keys, for messages; empty at the top level.
            source: the file that it comes from, for messages.

        Raises:
            CrepeError: a key is unknown or missing, or a value has the wrong type or range; the message names the key.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        mapping = _mapping(value, key, source)
        for name in mapping:
            if name not in fields:
                place = _join(key, name)
                renamed = next((text for pattern, text in RENAMED.items() if fnmatchcase(place, pattern)), None)
                raise _error(source, place, renamed or f"unknown key; known here: {', '.join([*cls._ALSO, *fields])}")
        types = get_type_hints(cls)
        for name, field in fields.items():
            if name not in mapping and field.default is dataclasses.MISSING:
                raise _error(source, _join(key, name), "is missing")
        try:
            return cls(
                **{name: _convert(item, types[name], _join(key, name), source) for name, item in mapping.items()}
            )
        except ValueError as error:
            raise _error(source, key, str(error)) from error

    def as_dict(self) -> dict[str, Any]:
        """The section as plain values that `parse` takes back."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]


class Variant(Section):
    """Base class of sections that come in kinds, each a class `Settings` in a module of its own.

    The key `kind` of the mapping names one. Its module is imported only when a mapping asks for it.
    """

    _ALSO = ("kind",)
    KINDS: ClassVar[Mapping[str, str]]
    """Kind -> name of the module whose class `Settings`, a subclass of this one, has the keys of the kind."""

    @classmethod
    def parse(cls, value: Any, key: str = "", source: Path | str = "configuration") -> Self:
        """Build the `Settings` of the kind that the mapping found at `key` names.

        Raises:
            CrepeError: the kind is missing or unknown, or see `Section.parse`; the message names the key.
        """
        mapping = dict(_mapping(value, key, source))
        if "kind" not in mapping:
            raise _error(source, _join(key, "kind"), "is missing", f"known kinds: {', '.join(cls.KINDS)}")
        kind = mapping.pop("kind")
        if not isinstance(kind, str) or kind not in cls.KINDS:
            raise _error(
                source, _join(key, "kind"), f"{_shown(kind)} is not a known kind; known: {', '.join(cls.KINDS)}"
            )
        settings: type[Self] = cls.settings(kind)
        # Not `settings.parse`, which is this method.
        return super(Variant, settings).parse(mapping, key, source)

    @classmethod
    def settings(cls, kind: str) -> type[Self]:
        """The class `Settings` of a kind."""
        settings: type[Self] = import_module(cls.KINDS[kind]).Settings
        return settings

    @property
    def kind(self) -> str:
        """The kind, a key of `KINDS`."""
        return next(kind for kind, module in self.KINDS.items() if module == type(self).__module__)

    def as_dict(self) -> dict[str, Any]:
        """The section as plain values that `parse` takes back, `kind` first."""
        return {"kind": self.kind, **super().as_dict()}


def positive(section: Section, *names: str) -> None:
    """Raise ValueError unless these fields are more than 0."""
    for name in names:
        if getattr(section, name) <= 0:
            raise ValueError(f"{name} must be more than 0")


def one_of(section: Section, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless a field has one of the known values."""
    if getattr(section, name) not in known:
        raise ValueError(f"{name} is {getattr(section, name)!r}; known: {', '.join(known)}")


def _convert(value: Any, type_: Any, key: str, source: Path | str) -> Any:
    """Convert `value`, found at `key`, to the annotated type of its field; nested sections are parsed."""
    if type_ is Any:
        return value
    if isinstance(type_, UnionType):
        if value is None:
            return None
        (type_,) = (part for part in get_args(type_) if part is not type(None))
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is dict:
        return {
            str(name): _convert(item, arguments[1], _join(key, name), source)
            for name, item in _mapping(value, key, source).items()
        }
    if origin in (tuple, list):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise _error(source, key, f"expected a list, found {_shown(value)}")
        if origin is tuple and arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise _error(source, key, f"expected {len(arguments)} values, found {_shown(value)}")
        return origin(_convert(item, arguments[0], f"{key}[{index}]", source) for index, item in enumerate(value))
    if issubclass(type_, Section):
        return type_.parse(value, key, source)
    if type_ is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type_ is float and isinstance(value, str) and _is_number(value):
        raise _error(source, key, f"{_shown(value)} is text to YAML", "write it with a point, as 1.0e-5")
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(source, key, f"expected a finite number, found {_shown(value)}")
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise _error(source, key, f"expected {type_.__name__}, found {_shown(value)}")
    return value


def _plain(value: Any) -> Any:
    """`value` without sections: what `Section.as_dict` has of a field."""
    if isinstance(value, Section):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return type(value)(map(_plain, value)) if isinstance(value, tuple | list) else value


def _mapping(value: Any, key: str, source: Path | str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _error(source, key, f"expected keys and values, found {_shown(value)}")
    return value


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _error(source: Path | str, key: str, fault: str, remedy: str = "") -> CrepeError:
    return CrepeError(f"{source}: {key}" if key else source, fault, remedy)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
