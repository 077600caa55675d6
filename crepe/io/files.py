"""Write files that appear whole or not at all, and compare files with their digests.

Damage to a file shows when the file is read:

- Parquet, Arrow, CSV files and models have their sha256 in a JSON file beside them: `check` compares it.
- Files of tensors have a sha256 of their own in their metadata: `crepe.io.tensors`.
- JSON files have no checksum. Their readers are typed (`crepe.io.section`) and compare what they say with each other:
  each result of metrics.json follows from its confusion matrix, and each digest must fit its file. A changed letter
  or digit that leaves valid JSON with values of the right types goes unnoticed where nothing else repeats it, as in
  the name of a device.
"""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from crepe.errors import CrepeError
from crepe.io.locks import first_free

_RANDOM = "?" * 8
"""Pattern of the random letters that `tempfile` puts into names."""


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside `path`; it takes its place when the block ends well.

    The file is flushed to disk before it is renamed, so that after a crash there is the old file or the new one, never
    a part. When the block raises, the folder is removed, with anything that a library put into it, and `path` is
    untouched. `clear` removes the folder of a killed process.

    Raises:
        CrepeError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as folder:
            temporary = Path(folder, path.name)
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)
            settle(temporary, path)


def settle(temporary: Path, path: Path) -> None:
    """Move a finished file to `path`, so that a power cut leaves either it or the file that was there before."""
    _flush(temporary, os.O_RDWR)
    temporary.replace(path)
    _flush(path.parent, os.O_RDONLY)


def _flush(path: Path, how: int) -> None:
    descriptor = os.open(path, how)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(folder: Path | str, name: str = "") -> Iterator[None]:
    """Keep other processes from writing a folder, or its file `name`, while the block lasts; waits for one that does.

    Temporary files that a killed process left there are removed.

    Raises:
        CrepeError: the folder cannot be written.
    """
    folder = Path(folder)
    file, lock = folder / name, folder / (f".{name}.lock" if name else ".lock")
    with writing(file):
        folder.mkdir(parents=True, exist_ok=True)
    with first_free([lock], f"{file}: another process writes it (see {lock}); waiting for that"):
        try:
            # For users who wait for it; a full disk may have no room for it.
            with suppress(OSError):
                lock.write_text(f"process {os.getpid()} on {platform.node()}\n")
            with writing(file):
                clear(folder, name)
            yield
        finally:
            # Removed while it is held: those who wait for it notice, and make a new one.
            lock.unlink(missing_ok=True)


def clear(folder: Path, name: str = "") -> None:
    """Remove temporary files of killed processes from a folder, or those of its file `name`; call it inside `alone`."""
    for left in folder.glob(f".{escape(name) or '*'}.{_RANDOM}.part"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the operating system in the block into a CrepeError: `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise CrepeError(path, f"cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str, remedy: str) -> dict[str, Any]:
    """Read a JSON file with a mapping at its top level; the key `seal`, a checksum of crepe 0.1, is left out.

    Args:
        path: the file.
        remedy: for messages: how to make the file again.

    Raises:
        CrepeError: the file is missing, unreadable, damaged or no JSON.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CrepeError(path, "is missing", remedy) from None
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}", remedy) from error
    except (ValueError, RecursionError) as error:
        raise CrepeError(path, f"is damaged, or no JSON ({error})", remedy) from error
    if not isinstance(content, dict):
        raise CrepeError(path, "is damaged: expected keys and values", remedy)
    return {key: value for key, value in content.items() if key != "seal"}


def check(path: Path | str, sha256: str | None, record: str, remedy: str) -> None:
    """Compare a file with the digest that a record has of it.

    Args:
        path: the file.
        sha256: its digest; None if the record has none, which no file matches.
        record: the file that has the digest, for messages.
        remedy: for messages: how to make both again.

    Raises:
        CrepeError: the file is missing or unreadable, or its digest differs.
    """
    if not Path(path).exists():
        raise CrepeError(path, "is missing", remedy)
    if digest(path) != sha256:
        raise CrepeError(path, f"is damaged, or not the file that {record} speaks of (sha256 differs)", remedy)


def digest(path: Path | str, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes, which are read in pieces.

    Raises:
        CrepeError: the file is missing or unreadable.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, algorithm).hexdigest()
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}") from error
