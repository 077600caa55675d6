"""The configuration: what a study runs, and the catalog of datasets, features, networks and models it draws on.

Three files make the default, `config/config.yaml`, `config/datasets.yaml` and `config/models.yaml`; an overlay is
laid over them key by key (lists are replaced whole), as Snakemake's `--configfile` does.
`config/README.md` explains every key to users, `workflow/schemas/config.schema.yaml` is its JSON schema.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from crepe import features
from crepe.errors import CrepeError
from crepe.files import digest
from crepe.sections import Section, positive

Item = TypeVar("Item")

FOLDER = Path("config")
FILES = ("config.yaml", "datasets.yaml", "models.yaml")

WEIGHTS = ("random", "counts", "tfidf")
"""Weights of models that need no vectors."""

LARGEST_SEED = 2**32 - 1
"""Generators take 64 bits, of which the number of a minibatch has half."""

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a study, dataset, feature, ... can be called: these are names of files and folders, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source(Section):
    """One place an archive, or a thesaurus, can be had from."""

    url: str
    """`https://`, `http://` or `file://` address, or a path relative to the working directory."""
    name: str = ""
    """What messages call it; the address if empty."""
    bytes: int | None = None
    """Published size of the file."""
    sha256: str | None = None
    md5: str | None = None
    """Published checksums; sha256 is preferred. A file from the network needs one of them."""

    def __post_init__(self) -> None:
        if self.local is None and not (self.sha256 or self.md5):
            raise ValueError(f"{self.url}: a file from the network needs sha256 or md5")
        for name, digits in (("sha256", 64), ("md5", 32)):
            value = getattr(self, name)
            if value is not None and (len(value) != digits or set(value) - set("0123456789abcdef")):
                raise ValueError(f"{name} is {value!r}, not {digits} hexadecimal digits")

    @property
    def checksum(self) -> tuple[str, str] | None:
        """Name of an algorithm and hexadecimal digits, None if nothing is published."""
        if self.sha256:
            return "sha256", self.sha256
        return ("md5", self.md5) if self.md5 else None

    @property
    def local(self) -> Path | None:
        """The path of a file on this machine, None for one on the network."""
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            return Path(self.url)
        return Path(rest) if scheme == "file" else None


def check_published(path: Path, sources: Iterable[Source]) -> None:
    """Compare a downloaded file with the checksums of its sources; where one of these has none, any file will do.

    Raises:
        CrepeError: the file is missing, unreadable, or none of theirs.
    """
    published, again = {source.checksum for source in sources}, "run `crepe download` again"
    if not path.exists():
        raise CrepeError(f"{path}: is missing; {again}")
    if not any(checksum is None or digest(path, checksum[0]) == checksum[1] for checksum in published):
        raise CrepeError(
            f"{path}: is damaged, or not the file that the configuration names (its checksum differs); {again}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvDigests(Section):
    """Published md5 of the two CSV files inside an archive."""

    train: str
    test: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset(Section):
    """A dataset: what its archive must hold, and where it comes from."""

    title: str = ""
    """What tables call it; its key if empty."""
    fields: int
    """Text fields a row, 1 to 3."""
    classes: int
    train_rows: int
    test_rows: int
    epoch_minibatches: int = 5000
    """Minibatches that make an epoch (paper, table 3)."""
    sources: tuple[Source, ...] = ()
    """Tried in order. Only the download needs them."""
    csv_md5: CsvDigests | None = None
    paper: str | None = None
    """The paper's dataset to compare with, a key of `paper/table3.csv`."""
    english: bool = True
    """Whether an English thesaurus is of use; models that have one are not run on it otherwise."""

    def __post_init__(self) -> None:
        positive(self, "train_rows", "test_rows", "epoch_minibatches")
        if not 1 <= self.fields <= 3:
            raise ValueError("fields must be 1, 2 or 3")
        if self.classes < 2:
            raise ValueError("classes must be 2 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature(Section):
    """How text becomes a ragged sequence of integers."""

    kind: str
    """A module of `crepe.features`."""
    alphabet: str | None = None
    """Of characters: a key of `crepe.alphabet.ALPHABETS`."""
    length: int | None = None
    """The columns of a text, as the paper's 1014; None leaves it whole."""
    vocabulary: int | None = None
    """Of words and n-grams: how many of the most frequent of the train rows are kept."""
    longest: int | None = None
    """Of n-grams: most words of one."""
    means: int | None = None
    """Of means: how many."""
    size: int | None = None
    """Of means: numbers of a word's vector."""
    least: int | None = None
    """Of means: times that a word must occur in the train rows to have a vector."""
    epochs: int | None = None
    """Of means: times that the vectors are learnt from the train rows."""
    thesaurus: str | None = None
    """A mytheas file: words of texts drawn for training are replaced by synonyms of its; None leaves them alone."""

    def __post_init__(self) -> None:
        numbers = ("length", "vocabulary", "longest", "means", "size", "least", "epochs")
        positive(self, *(name for name in numbers if getattr(self, name) is not None))
        for name in features.kind(self.kind).NEEDS:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors(Section):
    """Vectors of words that look-up tables start from."""

    size: int
    """Numbers of a vector."""
    sources: tuple[Source, ...] = ()
    """Where a published file can be had from, tried in order; learnt from the train rows if there is none."""
    least: int = 6
    """Learnt ones: times that a word must occur."""
    epochs: int = 5
    """Learnt ones: times that the train rows are gone through."""

    def __post_init__(self) -> None:
        positive(self, "size", "least", "epochs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thesaurus(Section):
    """A thesaurus, a file of its own: `data/raw/KEY.dat`."""

    sources: tuple[Source, ...]
    """Tried in order. Only the download needs them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network(Section):
    """A network of `crepe.models`; keys that a kind does not use stay out."""

    kind: str
    """A module of `crepe.models`."""
    convolutions: tuple[tuple[int, int], ...] = ()
    """(kernel width, pool width) of each convolution."""
    features: int = 0
    """Outputs of each convolution, or of an LSTM."""
    embedding: int = 0
    """Numbers in the learnt vector of each symbol; 0 for one-hot columns."""
    hidden: tuple[int, ...] = ()
    """Units of the fully connected layers before the last."""
    dropout: float = 0.0
    deviation: float = 0.05
    """Standard deviation of the normal distribution that every parameter starts from."""

    def __post_init__(self) -> None:
        # Only looked at: importing it takes torch.
        module = Path(__file__).parent / "models" / f"{self.kind}.py"
        if not self.kind.isidentifier() or not module.is_file() or "\ndef build(" not in module.read_text():
            raise ValueError(f"kind is {self.kind!r}, and there is no crepe/models/{self.kind}.py with a network")
        if self.kind == "convnet":
            positive(self, "features", "deviation")
            if not self.convolutions or min(min(pair) for pair in self.convolutions) < 1:
                raise ValueError("convolutions must list [kernel width, pool width] pairs, 1 or more each")
        if self.deviation < 0:
            raise ValueError("deviation must be 0 or more")
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
    clip: float | None = None
    """Largest norm of the gradient, which is scaled down to it; None takes any."""

    def __post_init__(self) -> None:
        positive(self, "epochs", "minibatch", "rate", "halve_every")
        if self.epoch_minibatches is not None:
            positive(self, "epoch_minibatches")
        if self.clip is not None:
            positive(self, "clip")
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
    """What a bag's symbols count, `counts` or `tfidf`; what a network starts from, `random` or a key of `vectors`."""
    speed: int = 1000
    """Samples that a small GPU trains in a second, for the time limits of a scheduler."""

    def __post_init__(self) -> None:
        positive(self, "speed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog(Section):
    """Everything a study can choose from, by key."""

    datasets: dict[str, Dataset]
    thesauri: dict[str, Thesaurus]
    features: dict[str, Feature]
    networks: dict[str, Network]
    models: dict[str, Model]
    vectors: dict[str, Vectors]

    def __post_init__(self) -> None:
        for kind in dataclasses.fields(self):
            for key in getattr(self, kind.name):
                _check_key(kind.name, key)


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
        _check_key("name", self.name)
        for kind, keys, catalog in (
            ("datasets", self.datasets, list(self.catalog.datasets)),
            ("models", self.models, list(self.catalog.models)),
        ):
            for key in keys:
                if key not in catalog:
                    raise ValueError(f"{kind}: {key!r} is not in the catalog, which has {', '.join(catalog)}")
        for kind, chosen in (("datasets", self.datasets), ("models", self.models), ("seeds", self.seeds)):
            if not chosen:
                raise ValueError(f"{kind}: names none")
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"{kind}: one stands twice")
        if min(self.seeds) < 0 or max(self.seeds) > LARGEST_SEED:
            raise ValueError(f"seeds: must be from 0 to {LARGEST_SEED}")
        parts: dict[str, Iterable[str]] = {
            "feature": self.catalog.features,
            "network": self.catalog.networks,
            "training": self.training,
            "weights": [*WEIGHTS, *self.catalog.vectors],
        }
        for key, model in self.catalog.models.items():
            for part, known in parts.items():
                if getattr(model, part) not in known:
                    raise ValueError(
                        f"catalog.models.{key}.{part}: {getattr(model, part)!r} is not defined; "
                        f"known: {', '.join(known)}"
                    )

    def dataset(self, key: str) -> Dataset:
        """The dataset `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        dataset = _lookup(self.catalog.datasets, "dataset", key)
        return dataset if dataset.title else dataclasses.replace(dataset, title=key)

    def thesaurus(self, key: str) -> Thesaurus:
        """The thesaurus `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        return _lookup(self.catalog.thesauri, "thesaurus", key)

    def check_thesaurus(self, feature: Feature) -> None:
        """Compare the thesaurus of a feature with its checksums, if the catalog has it.

        Raises:
            CrepeError: it is unreadable or damaged.
        """
        path = Path(feature.thesaurus or "")
        if path.stem in self.catalog.thesauri:
            check_published(path, self.thesaurus(path.stem).sources)

    def feature(self, key: str) -> Feature:
        """The feature `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        return _lookup(self.catalog.features, "feature", key)

    def vectors(self, key: str) -> Vectors:
        """The vectors `key` of the catalog.

        Raises:
            CrepeError: there are none of that name.
        """
        return _lookup(self.catalog.vectors, "vectors", key)

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

    def chosen(self, dataset: str, model: str) -> bool:
        """Whether the study runs `model` on `dataset`: it names both, and the one goes with the other."""
        if dataset not in self.datasets or model not in self.models:
            return False
        _, feature, *_ = self.model(model)
        return feature.thesaurus is None or self.dataset(dataset).english


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
        merged = merge(merged, _read_text(overlay) if overlay.lstrip().startswith("{") else _read(Path(overlay)))
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
        text = path.read_text(encoding="utf-8")
        try:
            # First, as Snakemake does: YAML takes JSON's 1e-05 for text.
            content = json.loads(text)
        except ValueError:
            content = yaml.safe_load(text)
    except OSError as error:
        raise CrepeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise CrepeError(f"{path}: {line}is not valid YAML: {error.problem}") from error
    # ValueError: no UTF-8, a date that is none, a number of thousands of digits.
    except (yaml.YAMLError, ValueError) as error:
        raise CrepeError(f"{path}: is not valid YAML: {error}") from error
    except RecursionError:
        raise CrepeError(f"{path}: is no configuration: there are too many levels of keys or lists") from None
    if not isinstance(content, dict):
        raise CrepeError(f"{path}: expected keys and values at the top level, as `name: mine`")
    return content


def _read_text(text: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise CrepeError(f"--config: is not valid JSON: {error}") from error
    except RecursionError:
        raise CrepeError("--config: is no configuration: there are too many levels of keys or lists") from None
    return content


def _check_key(what: str, key: str) -> None:
    if not KEY.fullmatch(key):
        raise ValueError(f"{what}: {key!r} cannot be a file's name; use letters, digits, '.', '_' and '-'")


def _lookup(items: Mapping[str, Item], kind: str, key: str) -> Item:
    if key not in items:
        raise CrepeError(f"configuration: {kind} {key!r} is not in the catalog, which has {', '.join(items)}")
    return items[key]
