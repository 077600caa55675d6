"""Write the file that names a dataset's rows, from which others can make the dataset out of the whole archive.

    crepe subset mine --output config/subsets/mine.parquet

The file has a hash of each row of the clean text, in its order, and no text: eight bytes a row. A dataset whose
`subset` names the file takes those rows out of any archive that holds them.
"""

import argparse
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from crepe import layout
from crepe.data.clean_record import CleanRecord
from crepe.errors import CrepeError
from crepe.io.files import check, replacing, writing
from crepe.text.batches import batches

_SCHEMA = {"split": pl.String(), "hash": pl.UInt64()}
_AGAIN = "take it from the project again, or make it by `crepe subset`"
_OTHER = "name another archive that holds all of them, or make the file anew by `crepe subset`"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of a dataset that has these rows and no others")
    parser.add_argument(
        "--clean", type=Path, metavar="DIR", help="folder of its clean text (default: data/clean/DATASET)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", required=True, help="the file to write, as Parquet")
    parser.add_argument(
        "--all-test", action="store_true", help="name no test rows: all of the archive's are kept, in its order"
    )


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    folder, key = options.clean or layout.clean(options.dataset), options.dataset
    splits = ("train",) if options.all_test else layout.SPLITS
    record = CleanRecord.read(folder, key)
    hashes = {}
    for split in splits:
        path = folder / f"{split}.parquet"
        check(path, record.sha256[split], layout.CLEAN_RECORD, f"run `crepe clean {key}` again")
        frames = batches(pl.scan_parquet(path, glob=False), 25_000)
        hashes[split] = np.concatenate([row_hashes(frame) for frame in frames])
    write(options.output, hashes)


def row_hashes(frame: pl.DataFrame) -> np.ndarray:
    """Hash the rows of a clean table: label and fields.

    Args:
        frame: rows with `label` (from 0), `field_1`, `field_2`, ...

    Returns:
        The first eight bytes of the sha256 of label (decimal) and fields, with a NUL byte between them, which no text
        has; as big-endian numbers, uint64 [rows].
    """
    texts = frame.select(pl.concat_str(pl.all().cast(pl.String), separator="\0")).to_series()
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def write(path: Path, hashes: Mapping[str, np.ndarray]) -> None:
    """Write a subset's file: Parquet with `split` (String) and `hash` (UInt64), a line for each row, in order.

    Args:
        path: the file.
        hashes: hashes of the rows, by split; a split that is not there keeps all rows of its archive.

    Raises:
        CrepeError: the file cannot be written.
    """
    frames = [pl.DataFrame({"split": split, "hash": numbers}, _SCHEMA) for split, numbers in hashes.items()]
    with replacing(path) as temporary, writing(path):
        pl.concat(frames).write_parquet(temporary, compression="zstd", statistics=False)


def read(path: Path, rows: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read a subset's file.

    Args:
        path: the file.
        rows: number of rows of each split, as the configuration says.

    Returns:
        Hashes of the rows by split, uint64 [rows]; none for a split that keeps all rows of its archive.

    Raises:
        CrepeError: the file is missing, no subset's file, or has other numbers of rows.
    """
    if not path.is_file():
        raise CrepeError(path, "is missing (a dataset's `subset` names it)", _AGAIN)
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CrepeError(path, f"is damaged, or no Parquet file ({error})", _AGAIN) from error
    if frame.schema != _SCHEMA or frame.null_count().sum_horizontal().item() or frame.is_empty():
        raise CrepeError(path, "does not name the rows of a subset, by `split` and `hash`", _AGAIN)
    named = {str(split): part["hash"].to_numpy() for (split,), part in frame.group_by("split", maintain_order=True)}
    if strange := sorted(set(named) - set(rows)):
        raise CrepeError(path, f"names rows of {strange[0]!r}, not of {' or '.join(rows)}", _AGAIN)
    for split, hashes in named.items():
        if len(hashes) != rows[split]:
            fault = f"names {len(hashes):,} rows, not {rows[split]:,} as the configuration says (`{split}_rows`)"
            raise CrepeError(f"{path}: {split}", fault, "correct the configuration, or name the dataset's own file")
    return named


def pick(name: str, frames: Iterable[pl.DataFrame], wanted: Mapping[str, np.ndarray]) -> dict[str, pl.DataFrame]:
    """Take the rows of a subset out of those of an archive.

    Rows with the same label and fields are interchangeable, so it does not matter which of them is taken. A row that is
    wanted twice must be twice in the archive, or more often.

    Args:
        name: the archive, for messages.
        frames: all rows of both its files, some at a time. Only those wanted are kept in memory.
        wanted: hashes of the rows to take, by split, uint64 [rows].

    Returns:
        The rows of each of these splits, in the order of the hashes.

    Raises:
        CrepeError: a row is missing.
    """
    distinct, order, needed = np.unique(np.concatenate(list(wanted.values())), return_inverse=True, return_counts=True)
    had, place = np.zeros(len(distinct), np.int64), np.zeros(len(distinct), np.int64)
    kept: list[pl.DataFrame] = []
    count = 0
    for frame in frames:
        found = row_hashes(frame)
        at = np.minimum(np.searchsorted(distinct, found), len(distinct) - 1)
        rows = np.flatnonzero(distinct[at] == found)
        numbers, first = np.unique(at[rows], return_index=True)
        new = had[numbers] == 0
        np.add.at(had, at[rows], 1)
        place[numbers[new]] = np.arange(count, count + new.sum())
        count += int(new.sum())
        # By way of Arrow's plain strings, which hold on to no text of other rows.
        plain = frame[rows[first[new]]].to_arrow(compat_level=pl.CompatLevel.oldest())
        kept.append(cast(pl.DataFrame, pl.from_arrow(plain)))
    if missing := int(np.maximum(needed - had, 0).sum()):
        raise CrepeError(
            name, f"lacks {missing:,} of the {needed.sum():,} rows that the dataset's `subset` names", _OTHER
        )
    rows_of = np.split(place[order], np.cumsum([len(hashes) for hashes in wanted.values()])[:-1])
    table = pl.concat(kept)
    return {split: table[rows] for split, rows in zip(wanted, rows_of, strict=True)}
