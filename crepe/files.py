"""Files that appear whole or not at all, and their digests."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from crepe.errors import CrepeError
from crepe.locks import first_free

_RANDOM = "?" * 8
"""What `tempfile` puts into names, as a pattern."""


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    The file is flushed to disk before it is renamed, so that after a crash there is the old file or the
    new one, never a part. When the block raises, the temporary file is removed and `path` is untouched.

    Raises:
        CrepeError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        settle(temporary, path)
    except OSError as error:
        raise CrepeError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def settle(temporary: Path, path: Path) -> None:
    """Put a finished file in the place of `path`, so that a power cut leaves that or what was there before."""
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

    What a killed process left there, temporary files of `replacing` and the like, is removed.

    Raises:
        CrepeError: the folder cannot be written.
    """
    folder = Path(folder)
    file, lock = folder / name, folder / (f".{name}.lock" if name else ".lock")
    with _writing(file):
        folder.mkdir(parents=True, exist_ok=True)
    with first_free([lock], f"{file}: another process writes it (see {lock}); waiting for that"):
        try:
            # Who waits may want to know; on a full disk there is no room even for that.
            with suppress(OSError):
                lock.write_text(f"process {os.getpid()} on {platform.node()}\n")
            with _writing(file):
                clear(folder, name)
            yield
        finally:
            # While it is held: those who wait for it notice that it has gone, and make a new one.
            lock.unlink(missing_ok=True)


def clear(folder: Path, name: str = "") -> None:
    """Remove what killed processes left in a folder, or of its file `name`; for those that are alone there."""
    for left in folder.glob(f".{escape(name) or '*'}.{_RANDOM}.part"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CrepeError(f"{path}: cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        CrepeError: the file is missing, unreadable or no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CrepeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CrepeError(f"{path}: is not valid JSON ({error}); delete it and run the step that makes it") from error


def digest(path: Path | str, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes, read in pieces.

    Raises:
        CrepeError: the file is missing or unreadable.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, algorithm).hexdigest()
    except OSError as error:
        raise CrepeError(f"{path}: cannot be read: {error.strerror or error}") from error
