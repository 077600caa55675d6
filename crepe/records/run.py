"""Provenance of a training: run.json in the run's folder, typed, written and read by `RunRecord`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from crepe.config import sgd
from crepe.config.recipe import Recipe
from crepe.errors import CrepeError
from crepe.io.files import read_json, write_json
from crepe.io.section import Section, one_of, positive
from crepe.layout import RECORD
from crepe.options import PRECISIONS
from crepe.records import format1

FORMAT = 2
"""Version of the keys of run.json."""
LEARNT = "learnt from its train rows"
"""`RunRecord.vectors_origin` of word vectors that are not published ones."""
REMEDY = "delete it and run `crepe train` again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows(Section):
    """Numbers of rows of a dataset."""

    train: int
    test: int

    def __post_init__(self) -> None:
        positive(self, "train", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Data(Section):
    """Digests (sha256) of the data that a run was trained on."""

    archive: str
    clean: dict[str, str]
    """Digests of the clean text of `train` and `test`."""
    manifest: str
    """Digest of the shards' manifest, which has the digests of the shards."""
    thesaurus: str | None = None
    """None where texts get no synonyms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code(Section):
    """The code that trained a model."""

    commit: str | None
    """None outside a git repository."""
    dirty: bool | None
    """Whether the code differed from the commit; None if git cannot say."""
    digest: str
    """sha256 over the package's Python files: see `crepe.records.provenance.source_digest`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine(Section):
    """The device and the machine that trained a model."""

    device: str
    """`cuda`, `mps` or `cpu`."""
    device_name: str
    threads: int
    """CPU threads that torch used."""
    memory_bytes: int | None = None
    platform: str
    versions: dict[str, str]
    """Versions of crepe, Python, torch and NumPy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord(Section):
    """Provenance of a training."""

    dataset: str
    """Key of the dataset."""
    model: str
    """Key of the model."""
    seed: int
    title: str
    """Title of the dataset."""
    paper: str | None
    """Key of the paper's dataset that results are compared with."""
    rows: Rows
    classes: list[str]
    feature: dict[str, Any]
    """Settings of the feature, as its kind writes them."""
    network: dict[str, Any]
    """Settings of the network, as its kind writes them."""
    training: Recipe
    """The recipe, with what it leaves to the dataset filled in."""
    vectors: str | None = None
    """Key of the word vectors that the network starts from; None for a random start."""
    vectors_origin: str | None = None
    """Name and sha256 of the published file of vectors, or `LEARNT`; None for a random start."""
    precision: str
    """One of `crepe.options.PRECISIONS`."""
    data: Data
    epochs: int
    """Epochs trained, the last of which may be a part; iterations of a solver that has no epochs."""
    batches: int
    """Batches trained; a batch of cg is the whole train set."""
    complete: bool
    """Whether the run followed its recipe to the end: the whole schedule, or to the tolerance."""
    code: Code
    machine: Machine
    seconds: float
    """Seconds spent on training, without tests and checkpoints."""
    samples_per_second: float
    """Speed of the training."""
    sha256: dict[str, str]
    """Digests of the run's other files by name."""

    def __post_init__(self) -> None:
        one_of(self, "precision", PRECISIONS)
        if isinstance(self.training, sgd.Settings) and self.training.batches_per_epoch is None:
            raise ValueError("training lacks the batches of an epoch")
        if "history.csv" not in self.sha256:
            raise ValueError("sha256 lacks history.csv")

    @property
    def samples(self) -> int:
        """Texts drawn for training, repetitions counted."""
        return self.training.samples_in(self.batches, self.rows.train)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record of the run in `folder`; one of format 1 is converted.

        Raises:
            CrepeError: the file is missing, damaged, or lacks a key.
        """
        path = folder / RECORD
        content = read_json(path, REMEDY if path.exists() else "run `crepe train`")
        version = content.pop("format", 1)
        if version not in (1, FORMAT):
            raise CrepeError(path, f"has format {version!r}, and this version reads up to {FORMAT}", "update crepe")
        try:
            return cls.parse(format1.converted(content) if version == 1 else content, source=path)
        except CrepeError as error:
            raise CrepeError(error.subject, error.fault, REMEDY) from error

    def write(self, folder: Path) -> None:
        """Write `run.json`, the last file of a training to appear."""
        write_json(folder / RECORD, {"format": FORMAT, **self.as_dict()})
