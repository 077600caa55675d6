"""The configuration: what a study runs, and the catalog of datasets, features, networks and models it draws on.

Three files make the default, `config/config.yaml`, `config/datasets.yaml` and `config/models.yaml`; an overlay is
laid over them key by key (lists are replaced whole), as Snakemake's `--configfile` does.
`config/README.md` explains every key to users, `workflow/schemas/config.schema.yaml` is its JSON schema.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

from crepe.errors import CrepeError

Item = TypeVar("Item")

FOLDER = Path("config")
FILES = ("config.yaml", "datasets.yaml", "models.yaml")


class Section:
    """A mapping of the configuration; its keys are the dataclass's fields, and no others are taken."""

    @classmethod
    def parse(cls, value: Any, key: str) -> Self:
        """Build the section found at `key`.

        Raises:
            CrepeError: an unknown or missing key, or a value of the wrong type or range; the text names the key.
        """
        if not isinstance(value, Mapping):
            raise CrepeError(f"configuration: {key}: expected keys and values, found {value!r}")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Source(Section):
    """One place an archive can be had from."""

    url: str
    """`https://`, `http://` or `file://` address, or a path relative to the working directory."""
    name: str = ""
    """What messages call it; the address if empty."""
    bytes: int | None = None
    """Published size of the archive."""
    sha256: str | None = None
    md5: str | None = None
    """Published checksums; sha256 is preferred. An archive from the network needs one of them."""

    def __post_init__(self) -> None:
        if self.local is None and not (self.sha256 or self.md5):
            raise ValueError(f"{self.url}: an archive from the network needs sha256 or md5")
        for name, digits in (("sha256", 64), ("md5", 32)):
            value = getattr(self, name)
            if value is not None and (len(value) != digits or set(value) - set("0123456789abcdef")):
                raise ValueError(f"{name} is {value!r}, not {digits} hexadecimal digits")

    @property
    def local(self) -> Path | None:
        """The path of an archive on this machine, None for one on the network."""
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            return Path(self.url)
        return Path(rest) if scheme == "file" else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvDigests(Section):
    """Published md5 of the two CSV files inside an archive."""

    train: str
    test: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset(Section):
    """A dataset: what its archive must hold, and where it comes from."""

    title: str
    fields: int
    """Text fields a row, 1 to 3."""
    classes: int
    train_rows: int
    test_rows: int
    epoch_minibatches: int
    """Minibatches that make an epoch (paper, table 3)."""
    sources: tuple[Source, ...]
    """Tried in order."""
    csv_md5: CsvDigests | None = None
    paper: str | None = None
    """The paper's dataset to compare with, a key of `paper/table3.csv`."""

    def __post_init__(self) -> None:
        _positive(self, "fields", "train_rows", "test_rows", "epoch_minibatches")
        if self.classes < 2:
            raise ValueError("classes must be 2 or more")
        if not self.sources:
            raise ValueError("sources must name at least one archive")


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature(Section):
    """How text becomes a ragged sequence of integers."""

    kind: str
    """`characters` or `words`."""
    alphabet: str | None = None
    """Of characters: a key of `crepe.alphabet.ALPHABETS`."""
    length: int | None = None
    """Of characters: the columns of a text, as the paper's 1014."""
    vocabulary: int | None = None
    """Of words: how many of the most frequent words of the train rows are kept."""

    def __post_init__(self) -> None:
        needs = {"characters": ("alphabet", "length"), "words": ("vocabulary",)}
        _one_of(self, "kind", tuple(needs))
        for name in needs[self.kind]:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing")


@dataclass(frozen=True, kw_only=True, slots=True)
class Network(Section):
    """A network of `crepe.models`; keys that a kind does not use stay out."""

    kind: str
    """`convnet` or `linear`."""
    convolutions: tuple[tuple[int, int], ...] = ()
    """(kernel width, pool width) of each convolution."""
    features: int = 0
    """Output features of each convolution."""
    hidden: tuple[int, ...] = ()
    """Units of the fully connected layers before the last."""
    dropout: float = 0.0
    deviation: float = 0.05
    """Standard deviation of the normal distribution that every parameter starts from."""

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("convnet", "linear"))
        if self.kind == "convnet":
            _positive(self, "features", "deviation")
            if not self.convolutions or min(min(pair) for pair in self.convolutions) < 1:
                raise ValueError("convolutions must list [kernel width, pool width] pairs, 1 or more each")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be 0 or more and below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Training(Section):
    """A training recipe (paper, section 2.2; the original's train.lua)."""

    epochs: int
    minibatch: int
    rate: float
    """Step size of the first epoch."""
    halve_every: int
    """Epochs after which the step size is halved ..."""
    halvings: int
    """... this many times at the most."""
    momentum: float
    decay: float
    """Weight decay, outside gradient and momentum: `p = p * (1 - rate * decay) + m`."""
    epoch_minibatches: int | None = None
    """Minibatches of an epoch; the dataset's own number if absent."""

    def __post_init__(self) -> None:
        _positive(self, "epochs", "minibatch", "rate", "halve_every")
        if self.epoch_minibatches is not None:
            _positive(self, "epoch_minibatches")
        if self.halvings < 0 or self.decay < 0:
            raise ValueError("halvings and decay must be 0 or more")
        if not 0 <= self.momentum < 1:
            raise ValueError("momentum must be 0 or more and below 1")

    def rate_at(self, epoch: int) -> float:
        """Step size in `epoch`, counted from 0."""
        return float(self.rate * 0.5 ** min(epoch // self.halve_every, self.halvings))


@dataclass(frozen=True, kw_only=True, slots=True)
class Model(Section):
    """A row of the table: a point of the grid feature x network x weights x augmentation, and its recipe."""

    feature: str
    network: str
    training: str
    weights: str = "random"
    """Of a linear network: `counts` or `tfidf`. Of the others: `random`."""

    def __post_init__(self) -> None:
        _one_of(self, "weights", ("random", "counts", "tfidf"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog(Section):
    """Everything a study can choose from, by key."""

    datasets: dict[str, Dataset]
    features: dict[str, Feature]
    networks: dict[str, Network]
    models: dict[str, Model]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(Section):
    """A study: its name, what it runs, and how."""

    name: str
    """Folder of the study under results/."""
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    training: dict[str, Training]
    """Recipes by name."""
    catalog: Catalog

    def __post_init__(self) -> None:
        for kind, keys, catalog in (
            ("datasets", self.datasets, list(self.catalog.datasets)),
            ("models", self.models, list(self.catalog.models)),
        ):
            for key in keys:
                if key not in catalog:
                    raise ValueError(f"{kind}: {key!r} is not in the catalog, which has {', '.join(catalog)}")
            if len(set(keys)) != len(keys):
                raise ValueError(f"{kind}: a key stands twice")
        parts: dict[str, Mapping[str, Section]] = {
            "feature": self.catalog.features,
            "network": self.catalog.networks,
            "training": self.training,
        }
        for key, model in self.catalog.models.items():
            for field, known in parts.items():
                if getattr(model, field) not in known:
                    raise ValueError(
                        f"catalog.models.{key}.{field}: {getattr(model, field)!r} is not defined; "
                        f"known: {', '.join(known)}"
                    )

    def dataset(self, key: str) -> Dataset:
        """The dataset `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        return _lookup(self.catalog.datasets, "dataset", key)

    def feature(self, key: str) -> Feature:
        """The feature `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        return _lookup(self.catalog.features, "feature", key)

    def model(self, key: str) -> tuple[Model, Feature, Network, Training]:
        """The model `key` of the catalog with the parts that its entry names.

        Raises:
            CrepeError: there is none of that name.
        """
        model = _lookup(self.catalog.models, "model", key)
        return (
            model,
            self.catalog.features[model.feature],
            self.catalog.networks[model.network],
            self.training[model.training],
        )


def load(overlay: str | None = None) -> Config:
    """The default configuration with `overlay` laid over it.

    Args:
        overlay: a YAML or JSON file, or JSON text (anything that starts with a brace).

    Raises:
        CrepeError: a file is missing or not valid, or a key or value is wrong; the text names it.
    """
    merged: dict[str, Any] = {}
    for name in FILES:
        if (FOLDER / name).exists():
            merged = merge(merged, _read(FOLDER / name))
    if overlay is not None:
        merged = merge(merged, json.loads(overlay) if overlay.lstrip().startswith("{") else _read(Path(overlay)))
    if not merged:
        raise CrepeError(f"{FOLDER}/: no configuration here; run this in the project's folder or give --config")
    return parse(merged)


def parse(merged: Mapping[str, Any]) -> Config:
    """Check a merged configuration.

    Raises:
        CrepeError: a key or value is wrong; the text names it.
    """
    return Config.parse(merged, "config")


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`overlay` laid over `base` key by key; anything but a mapping is replaced whole."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CrepeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CrepeError(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise CrepeError(f"{path}: expected keys and values at the top level")
    return content


def _convert(value: Any, type_: Any, key: str) -> Any:
    """`value` as the annotated type of its field, nested sections and all."""
    if isinstance(type_, UnionType):
        if value is None:
            return None
        (type_,) = (part for part in get_args(type_) if part is not type(None))
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise CrepeError(f"configuration: {key}: expected keys and values, found {value!r}")
        return {str(name): _convert(item, arguments[1], f"{key}.{name}") for name, item in value.items()}
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise CrepeError(f"configuration: {key}: expected a list, found {value!r}")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise CrepeError(f"configuration: {key}: expected {len(arguments)} values, found {value!r}")
        return tuple(_convert(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value))
    if issubclass(type_, Section):
        return type_.parse(value, key)
    if type_ is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise CrepeError(f"configuration: {key}: expected {type_.__name__}, found {value!r}")
    return value


def _positive(section: Section, *names: str) -> None:
    for name in names:
        if getattr(section, name) <= 0:
            raise ValueError(f"{name} must be more than 0")


def _one_of(section: Section, name: str, known: tuple[str, ...]) -> None:
    if getattr(section, name) not in known:
        raise ValueError(f"{name} is {getattr(section, name)!r}; known: {', '.join(known)}")


def _lookup(items: Mapping[str, Item], kind: str, key: str) -> Item:
    if key not in items:
        raise CrepeError(f"configuration: {kind} {key!r} is not in the catalog, which has {', '.join(items)}")
    return items[key]
