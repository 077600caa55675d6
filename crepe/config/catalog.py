"""The catalog: datasets, features, networks, recipes and models, each entry checked when it is made.

`config/datasets.yaml`, `config/models.yaml` and, recipes, `config/config.yaml` hold them; `crepe.config` chooses.
"""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crepe.errors import CrepeError
from crepe.features import FeatureSettings
from crepe.io.files import digest
from crepe.io.section import PositiveInt, Section, positive

WEIGHTS = ("random", "counts", "tfidf")
"""Weights of models that need no vectors."""

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a study, dataset, feature, ... can be called: these are names of files and folders, too."""


def check_key(what: str, key: str) -> None:
    """Raise ValueError where a key cannot be the name of a file.

    Args:
        what: has that key, for the message.
        key: looked at.
    """
    if not KEY.fullmatch(key):
        raise ValueError(f"{what}: {key!r} cannot be a file's name; use letters, digits, '.', '_' and '-'")


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
    batches_per_epoch: int = 5000
    """Batches that make an epoch (paper, table 3)."""
    sources: tuple[Source, ...] = ()
    """Tried in order. Only the download needs them."""
    csv_md5: CsvDigests | None = None
    paper: str | None = None
    """The paper's dataset to compare with, a key of `paper/table3.csv`."""
    english: bool = True
    """Whether an English thesaurus is of use; models that have one are not run on it otherwise."""

    def __post_init__(self) -> None:
        positive(self, "train_rows", "test_rows", "batches_per_epoch")
        if not 1 <= self.fields <= 3:
            raise ValueError("fields must be 1, 2 or 3")
        if self.classes < 2:
            raise ValueError("classes must be 2 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors(Section):
    """Vectors of words that look-up tables start from."""

    vector_size: PositiveInt
    """Dimension of a vector."""
    sources: tuple[Source, ...] = ()
    """Sources of a published file in word2vec's binary format, tried in order; it becomes `data/raw/KEY.bin.gz`.
    Vectors are learnt from the train rows if absent."""
    min_count: PositiveInt = 6
    """Number of times a word must occur in the train rows to have a learnt vector."""
    epochs: PositiveInt = 5
    """Number of passes over the train rows, for learnt vectors."""


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
        module = Path(__file__).parents[1] / "models" / f"{self.kind}.py"
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
    features: dict[str, FeatureSettings]
    networks: dict[str, Network]
    models: dict[str, Model]
    vectors: dict[str, Vectors]

    def __post_init__(self) -> None:
        for kind in dataclasses.fields(self):
            for key in getattr(self, kind.name):
                check_key(kind.name, key)
