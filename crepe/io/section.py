"""Dataclasses read from nested keys and values, with messages that name the key at fault."""

import dataclasses
import math
import reprlib
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from crepe.errors import CrepeError

# A few lines of YAML can stand for any number of values.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_shown = _SHORT.repr


class Section:
    """A mapping of the configuration; its keys are the dataclass's fields, and no others are taken."""

    @classmethod
    def parse(cls, value: Any, key: str) -> Self:
        """Build the section found at `key`.

        Raises:
            CrepeError: an unknown or missing key, or a value of the wrong type or range; the text names the key.
        """
        if not isinstance(value, Mapping):
            raise CrepeError(f"configuration: {key}: expected keys and values, found {_shown(value)}")
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in value:
            if name not in fields:
                raise CrepeError(f"configuration: {key}.{name}: unknown key; known here: {', '.join(fields)}")
        types = get_type_hints(cls)
        for name, field in fields.items():
            if name not in value and field.default is dataclasses.MISSING:
                raise CrepeError(f"configuration: {key}.{name}: is missing")
        try:
            return cls(**{name: _convert(item, types[name], f"{key}.{name}") for name, item in value.items()})
        except ValueError as error:
            raise CrepeError(f"configuration: {key}: {error}") from error

    def as_dict(self) -> dict[str, Any]:
        """The section as plain values that `parse` takes back."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


def positive(section: Section, *names: str) -> None:
    """Raise ValueError unless these fields are more than 0."""
    for name in names:
        if getattr(section, name) <= 0:
            raise ValueError(f"{name} must be more than 0")


def one_of(section: Section, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless a field has one of the known values."""
    if getattr(section, name) not in known:
        raise ValueError(f"{name} is {getattr(section, name)!r}; known: {', '.join(known)}")


def _convert(value: Any, type_: Any, key: str) -> Any:
    """`value` as the annotated type of its field, nested sections and all."""
    if isinstance(type_, UnionType):
        if value is None:
            return None
        (type_,) = (part for part in get_args(type_) if part is not type(None))
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise CrepeError(f"configuration: {key}: expected keys and values, found {_shown(value)}")
        return {str(name): _convert(item, arguments[1], f"{key}.{name}") for name, item in value.items()}
    if origin in (tuple, list):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise CrepeError(f"configuration: {key}: expected a list, found {_shown(value)}")
        if origin is tuple and arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise CrepeError(f"configuration: {key}: expected {len(arguments)} values, found {_shown(value)}")
        return origin(_convert(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value))
    if issubclass(type_, Section):
        return type_.parse(value, key)
    if type_ is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type_ is float and isinstance(value, str) and _is_number(value):
        raise CrepeError(f"configuration: {key}: {_shown(value)} is text to YAML; write it with a point, as 1.0e-5")
    if isinstance(value, float) and not math.isfinite(value):
        raise CrepeError(f"configuration: {key}: expected a finite number, found {_shown(value)}")
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise CrepeError(f"configuration: {key}: expected {type_.__name__}, found {_shown(value)}")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
