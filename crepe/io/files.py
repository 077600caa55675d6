"""Files that appear whole or not at all, and the digests that show whether they still are what was written.

**Seals.** A file of the project's own that has room for text near its front carries its own digest there: the sha256 of
its bytes, 64 zeros standing where the digest stands. JSON files have it as their first key, files of tensors in their
metadata (`crepe.io.tensors`). A file without a seal is refused like one whose seal does not fit, so that damage to the
seal shows, too.

**Records.** Files of other formats, as Parquet and Arrow, have their sha256 in a sealed JSON file beside them, which is
compared whenever they are opened.
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
"""What `tempfile` puts into names, as a pattern."""

UNSEALED = "sha256:" + "0" * 64
"""What stands in a file where its seal comes."""
_FRONT = 256
"""The seal is among so many of its first bytes."""
_PIECE = 2**20
"""Bytes read at a time."""


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside `path`; it takes its place when the block ends well.

    The file is flushed to disk before it is renamed, so that after a crash there is the old file or the new one, never
    a part. When the block raises, the folder is removed and `path` is untouched. What libraries put beside the file
    while they write it goes with the folder, too, if only when a killed process's is cleared.

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
    with writing(file):
        folder.mkdir(parents=True, exist_ok=True)
    with first_free([lock], f"{file}: another process writes it (see {lock}); waiting for that"):
        try:
            # Who waits may want to know; on a full disk there is no room even for that.
            with suppress(OSError):
                lock.write_text(f"process {os.getpid()} on {platform.node()}\n")
            with writing(file):
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
def writing(path: Path) -> Iterator[None]:
    """Errors of the operating system in the block are faults of writing `path`, and become a CrepeError."""
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
    """Write `value` as sealed, indented JSON with a final newline, whole or not at all."""
    text = json.dumps({"seal": UNSEALED, **value}, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")
        seal(temporary)


def read_json(path: Path | str, again: str) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Args:
        path: the file.
        again: what makes it again, for messages, as "run `crepe clean` again".

    Raises:
        CrepeError: the file is missing, unreadable, damaged or no JSON.
    """
    check_seal(path, again)
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        del content["seal"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CrepeError(path, f"is not JSON as this program writes it ({error})", again) from error
    return content


def seal(path: Path | str) -> None:
    """Put a file's digest where `UNSEALED` first stands in it."""
    place, _, sha256 = _sealed(path)
    with Path(path).open("rb+") as stream:
        stream.seek(place)
        stream.write(sha256)


def check_seal(path: Path | str, again: str) -> None:
    """Compare a file with the digest that `seal` put into it.

    Args:
        path: the file.
        again: what makes it again, for messages.

    Raises:
        CrepeError: the file is missing, unreadable or damaged.
    """
    try:
        _, found, sha256 = _sealed(path)
    except FileNotFoundError:
        raise CrepeError(path, "is missing", again) from None
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError:
        raise CrepeError(path, "is damaged, or of another version: it has no checksum of its own", again) from None
    if found != sha256:
        raise CrepeError(path, "is damaged: its checksum does not fit its content", again)


def _sealed(path: Path | str) -> tuple[int, bytes, bytes]:
    """Where a file's seal stands, what it says, and what it should say."""
    with Path(path).open("rb") as stream:
        front = stream.read(_FRONT)
        place = front.index(b"sha256:") + 7
        hasher = hashlib.sha256(front[:place] + b"0" * 64 + front[place + 64 :])
        while piece := stream.read(_PIECE):
            hasher.update(piece)
    return place, front[place : place + 64], hasher.hexdigest().encode()


def check(path: Path | str, sha256: str | None, record: str, again: str) -> None:
    """Compare a file with the digest that a record has of it.

    Args:
        path: the file.
        sha256: its digest; None if the record has none, which no file goes with.
        record: the file that has the digest, for messages.
        again: what makes both again, for messages.

    Raises:
        CrepeError: the file is missing, unreadable or another one.
    """
    if not Path(path).exists():
        raise CrepeError(path, "is missing", again)
    if digest(path) != sha256:
        raise CrepeError(path, f"is damaged, or not the file that {record} speaks of (sha256 differs)", again)


def digest(path: Path | str, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes, read in pieces.

    Raises:
        CrepeError: the file is missing or unreadable.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, algorithm).hexdigest()
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}") from error
