"""The catalog: datasets, thesauri, features, vectors, networks and models, each entry checked when it is made.

`config/datasets.yaml` and `config/models.yaml` hold the entries; `crepe.config.study` chooses from them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from crepe.features import FeatureSettings
from crepe.io.section import Limits, PositiveInt, Section
from crepe.models import NetworkSettings

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of studies, datasets, features and so on: names of files and folders are made of them."""

Key = Annotated[
    str, Limits(pattern=KEY.pattern, explained="the name of a file, of letters, digits, '.', '_' and '-' only")
]
Sha256 = Annotated[str, Limits(pattern="[0-9a-f]{64}", explained="64 hexadecimal digits")]
Md5 = Annotated[str, Limits(pattern="[0-9a-f]{32}", explained="32 hexadecimal digits")]


def _preferred(sha256: str | None, md5: str | None) -> tuple[str, str] | None:
    """The checksum to compare a file with: its algorithm and digits."""
    if sha256:
        return "sha256", sha256
    return ("md5", md5) if md5 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source(Section):
    """A place to download a file from."""

    url: str
    """Address (`https://`, `http://` or `file://`), or a path relative to the working directory."""
    name: str = ""
    """Name of the source in messages. The address if absent."""
    bytes: PositiveInt | None = None
    """Size of the file, which is checked."""
    sha256: Sha256 | None = None
    """Published checksum of the file. A file from the network needs this or `md5`."""
    md5: Md5 | None = None
    """Published checksum of the file; `sha256` is preferred if both are given."""

    def __post_init__(self) -> None:
        if self.local is None and not (self.sha256 or self.md5):
            raise ValueError(f"{self.url}: a file from the network needs sha256 or md5")

    @property
    def checksum(self) -> tuple[str, str] | None:
        """Name of an algorithm and hexadecimal digits, None if nothing is published."""
        return _preferred(self.sha256, self.md5)

    @property
    def local(self) -> Path | None:
        """The path of a file on this machine, None for one on the network."""
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            return Path(self.url)
        return Path(rest) if scheme == "file" else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvFile(Section):
    """Published size and checksum of a CSV file inside an archive."""

    bytes: PositiveInt | None = None
    """Size of the file."""
    sha256: Sha256 | None = None
    """Checksum of the file."""
    md5: Md5 | None = None
    """Checksum of the file; `sha256` is preferred if both are given."""

    @property
    def checksum(self) -> tuple[str, str] | None:
        """Name of an algorithm and hexadecimal digits, None if nothing is published."""
        return _preferred(self.sha256, self.md5)


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvFiles(Section):
    """The two CSV files inside an archive, as published."""

    train: CsvFile | None = None
    """`train.csv`."""
    test: CsvFile | None = None
    """`test.csv`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset(Section):
    """A dataset: the content of its archive, and the sources of the archive."""

    title: str = ""
    """Name of the dataset in tables. Its key if absent."""
    fields: Annotated[int, Limits(minimum=1, maximum=3)]
    """Number of text fields in a row, 1 to 3."""
    classes: Annotated[int, Limits(minimum=2)]
    """Number of classes, 2 or more."""
    train_rows: PositiveInt
    """Number of rows of `train.csv`, or of those that `subset` keeps."""
    test_rows: PositiveInt
    """Number of rows of `test.csv`, or of those that `subset` keeps."""
    subset: str | None = None
    """Path of a file that names the rows to keep of those in the archive, and their order; `crepe subset` makes it from
    an archive that has no others. All are kept if absent."""
    batches_per_epoch: PositiveInt = 5000
    """Batches that make an epoch (paper, table 3)."""
    sources: tuple[Source, ...] = ()
    """Sources of the archive, tried in order. A dataset that a study runs on needs one."""
    csv: CsvFiles | None = None
    """Published sizes and checksums of the CSV files, which are checked if they are given."""
    paper: str | None = None
    """The paper's dataset whose results are shown beside these, a key of `paper/table3.csv`."""
    english: bool = True
    """Whether the texts are English. Models with a thesaurus are not run on other datasets; their cells stay empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors(Section):
    """Word vectors that the look-up table of a network starts from."""

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
    """A thesaurus in LibreOffice's format (mytheas), which becomes `data/raw/KEY.dat`."""

    sources: tuple[Source, ...]
    """Sources of the file, tried in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model(Section):
    """A row of the table: a point of the grid feature x network x vectors x augmentation, and its recipe."""

    title: str = ""
    """Name of the row in tables and reports. The paper's name of the model if absent, or the key if it has none."""
    feature: str
    """Key of `catalog.features`."""
    network: str
    """Key of `catalog.networks`."""
    training: str
    """Key of `training`."""
    vectors: str | None = None
    """Key of `catalog.vectors`, the word vectors that the network's look-up table starts from; a random start if
    absent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog(Section):
    """Everything that a study can choose from, by key."""

    datasets: dict[Key, Dataset]
    """Datasets: the content of their archives, and the sources of them."""
    thesauri: dict[Key, Thesaurus]
    """Thesauri, for features that replace words by synonyms."""
    features: dict[Key, FeatureSettings]
    """Features: how text becomes codes, which are integers."""
    networks: dict[Key, NetworkSettings]
    """Networks, which read the codes."""
    models: dict[Key, Model]
    """Models, the rows of the table: a feature, a network and a recipe."""
    vectors: dict[Key, Vectors]
    """Word vectors that networks can start from."""
