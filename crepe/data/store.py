"""The store of downloads: data/store, each file under its published checksum.

No rule of the workflow makes or deletes these files: a downloaded file stays, even if its job fails or runs again.
Rules bring a file to its place under data/raw by a hard link, which takes no room, or by a copy where links are
impossible. A file put into the store by hand may have any name.
"""

import filecmp
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from crepe.config.catalog import Source
from crepe.errors import CrepeError
from crepe.io.files import digest, replacing


def find(folder: Path, sources: Iterable[Source]) -> tuple[Path, Source] | None:
    """Find a file of the store that has the checksum of a source, and give it the checksum as its name.

    Args:
        folder: the store.
        sources: sources, in the order of preference.

    Returns:
        The file and its source, or None.
    """
    for source in sources:
        if source.checksum is None or not folder.is_dir():
            continue
        algorithm, wanted = source.checksum
        others = (
            path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and not _is_checksum(path.name)
        )
        for path in (folder / wanted, *others):
            if path.is_file() and source.bytes in (None, path.stat().st_size) and digest(path, algorithm) == wanted:
                return path.replace(folder / wanted), source
    return None


def place(kept: Path, path: Path) -> None:
    """Link or copy a file of the store to `path`.

    Raises:
        CrepeError: `path` cannot be written.
    """
    with replacing(path) as temporary:
        link_or_copy(kept, temporary)


def adopt(path: Path, folder: Path, sources: Iterable[Source]) -> None:
    """Keep a file that stands at the output of a download, which Snakemake deletes before the job starts.

    It is linked into the store under its own name; the job looks whether it is the right one.

    Args:
        path: the output.
        folder: the store.
        sources: sources of the download.
    """
    checksums = [source.checksum[1] for source in sources if source.checksum]
    if not checksums or not path.is_file() or any((folder / checksum).exists() for checksum in checksums):
        return
    kept = folder / path.name
    if not (kept.exists() and kept.samefile(path)):
        folder.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        link_or_copy(path, kept)


def join(path: Path, kept: Path) -> None:
    """Make a file and its copy in the store one file again, which takes half the room.

    `dvc add` puts a copy in the place of a file, so that its link to the store is gone. Where two names of one file are
    impossible, on two file systems or with symbolic links, both stay as they are; so they do where the store cannot be
    written.

    Args:
        path: the file, which stays as it is.
        kept: the file of the store; replaced by a link if it has the same content.
    """
    if path.is_symlink() or kept.is_symlink() or path.stat().st_dev != kept.stat().st_dev or path.samefile(kept):
        return
    if filecmp.cmp(path, kept, shallow=False):
        with suppress(CrepeError):
            place(path, kept)


def link_or_copy(path: Path, other: Path) -> None:
    """Make `other` a hard link to a file, or a copy where that is impossible."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def _is_checksum(name: str) -> bool:
    return len(name) in (32, 64) and not set(name) - set("0123456789abcdef")
