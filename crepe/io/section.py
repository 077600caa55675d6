"""Dataclasses read from nested keys and values, with messages that name the key at fault."""

import dataclasses
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from crepe.errors import CrepeError

# With anchors, a few lines of YAML stand for any number of values.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_shown = _SHORT.repr

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", re.ASCII)
"""Numbers such as `1e-5`, which PyYAML (YAML 1.1) takes for text. DVC writes them so."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Values that a field takes beyond what its type says, as a part of its `Annotated` type."""

    minimum: float | None = None
    """Smallest number."""
    above: float | None = None
    """Numbers are larger than this."""
    maximum: float | None = None
    """Largest number."""
    below: float | None = None
    """Numbers are smaller than this."""
    choices: tuple[str, ...] = ()
    """All values, if there are only so many."""
    pattern: str = ""
    """Regular expression that a text matches whole."""
    explained: str = ""
    """Description of a text of this pattern, for messages."""

    def fault(self, value: Any) -> str | None:
        """Return the fault of a value, for a message; None if it is within the limits."""
        if self.choices and value not in self.choices:
            return f"{_shown(value)} is not known; known: {', '.join(self.choices)}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{_shown(value)} is not {self.explained}"
        if (
            (self.minimum is not None and value < self.minimum)
            or (self.above is not None and value <= self.above)
            or (self.maximum is not None and value > self.maximum)
            or (self.below is not None and value >= self.below)
        ):
            return f"must be {self._range()}, found {_shown(value)}"
        return None

    def _range(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f"from {self.minimum} to {self.maximum}"
        parts = {"or more": self.minimum, "more than": self.above, "or less": self.maximum, "less than": self.below}
        return " and ".join(
            f"{limit} {text}" if text.startswith("or") else f"{text} {limit}"
            for text, limit in parts.items()
            if limit is not None
        )


PositiveInt = Annotated[int, Limits(minimum=1)]
PositiveFloat = Annotated[float, Limits(above=0)]
NonNegativeInt = Annotated[int, Limits(minimum=0)]
NonNegativeFloat = Annotated[float, Limits(minimum=0)]
Probability = Annotated[float, Limits(minimum=0, below=1)]
"""A probability below 1, as of dropout, or a share, as a momentum."""


def _renamed(section: str, **names: str) -> dict[str, str]:
    return {f"{section}.{old}": f"is called {new} now" for old, new in names.items()}


RENAMED: Mapping[str, str] = {
    **_renamed(
        "training.*",
        minibatch="batch_size",
        rate="learning_rate",
        halvings="max_halvings",
        decay="weight_decay",
        clip="max_grad_norm",
        epoch_minibatches="batches_per_epoch",
    ),
    **_renamed("catalog.datasets.*", epoch_minibatches="batches_per_epoch", csv_md5="csv: {train: {md5}, test: {md5}}"),
    **_renamed(
        "catalog.features.*",
        length="max_length",
        vocabulary="vocab_size",
        longest="max_n",
        means="clusters",
        size="vector_size",
        least="min_count",
    ),
    "catalog.models.*.speed": "was removed; `machine` names a machine of config/speeds.csv",
    "samples_per_second": "was removed; `machine` names a machine of config/speeds.csv",
    **_renamed("catalog.vectors.*", size="vector_size", least="min_count"),
    **_renamed(
        "catalog.networks.*",
        features="channels (of a convnet) or hidden_size (of an lstm)",
        embedding="embedding_dim",
        hidden="fc",
        deviation="init_std",
    ),
    "catalog.models.*.weights": "was removed; `vectors` names word vectors, the network's `weighting` counts or tfidf",
}
"""Message about a key that had another name in an earlier version, by a pattern of its place among the keys."""


class Section:
    """Base class of dataclasses whose fields are the keys of a mapping, as in a configuration; others are refused."""

    _ALSO: ClassVar[tuple[str, ...]] = ()
    """Keys besides the fields, for messages."""

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
        types = get_type_hints(cls, include_extras=True)
        for name, field in fields.items():
            if name not in mapping and required(field):
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
    DEFAULT: ClassVar[str | None] = None
    """Kind of a mapping that names none; None if it must name one."""

    @classmethod
    def parse(cls, value: Any, key: str = "", source: Path | str = "configuration") -> Self:
        """Build the `Settings` of the kind that the mapping found at `key` names.

        Raises:
            CrepeError: the kind is missing or unknown, or see `Section.parse`; the message names the key.
        """
        mapping = dict(_mapping(value, key, source))
        if cls.DEFAULT is not None:
            mapping.setdefault("kind", cls.DEFAULT)
        if "kind" not in mapping:
            raise _error(source, _join(key, "kind"), "is missing", f"known kinds: {', '.join(cls.KINDS)}")
        kind = mapping.pop("kind")
        if not isinstance(kind, str):
            raise _error(source, _join(key, "kind"), f"expected str, found {_shown(kind)}")
        if kind not in cls.KINDS:
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
    if get_origin(type_) in (UnionType, Union):
        if value is None:
            return None
        (type_,) = (part for part in get_args(type_) if part is not type(None))
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        converted = _convert(value, arguments[0], key, source)
        for limits in arguments[1:]:
            if fault := limits.fault(converted):
                raise _error(source, key, fault)
        return converted
    if origin is dict:
        return {
            _convert(str(name), arguments[0], _join(key, name), source): _convert(
                item, arguments[1], _join(key, name), source
            )
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
    if type_ is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(source, key, f"expected a finite number, found {_shown(value)}")
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise _error(source, key, f"expected {type_.__name__}, found {_shown(value)}")
    return value


def required(field: "dataclasses.Field[Any]") -> bool:
    """Whether a field of a section has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain(value: Any) -> Any:
    """Convert the sections in a value to mappings, for `Section.as_dict`."""
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
