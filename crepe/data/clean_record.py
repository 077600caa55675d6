"""Record of a dataset's clean text: clean.json in its folder, typed, written and read by `CleanRecord`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crepe.errors import CrepeError
from crepe.io.files import read_json, write_json
from crepe.io.section import Section
from crepe.layout import CLEAN_RECORD, SPLITS


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanRecord(Section):
    """Checksums and counts of a dataset's clean text."""

    dataset: str
    """Key of the dataset."""
    archive: str
    """sha256 of the archive."""
    rows: dict[str, int]
    """Number of rows of `train` and `test`."""
    classes: list[str]
    """Names of the classes."""
    sha256: dict[str, str]
    """sha256 of the Parquet files of `train` and `test`."""

    def __post_init__(self) -> None:
        for name, values in (("rows", self.rows), ("sha256", self.sha256)):
            if set(values) != set(SPLITS):
                raise ValueError(f"{name}: expected {' and '.join(SPLITS)}, found {', '.join(values) or 'nothing'}")

    @classmethod
    def read(cls, folder: Path, dataset: str) -> Self:
        """Read the record of the clean text in `folder`.

        Args:
            folder: the folder that `crepe clean` wrote.
            dataset: key of the dataset, for messages.

        Raises:
            CrepeError: the file is missing, damaged, or lacks a key.
        """
        path, remedy = folder / CLEAN_RECORD, f"run `crepe clean {dataset}` again"
        content = read_json(path, remedy)
        try:
            return cls.parse(content, source=path)
        except CrepeError as error:
            raise CrepeError(error.subject, error.fault, remedy) from error

    def write(self, path: Path) -> None:
        """Write the record to a file."""
        write_json(path, self.as_dict())
