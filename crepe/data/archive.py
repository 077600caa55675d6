"""Read and write archives of datasets: gzip-compressed tars with `NAME_csv/train.csv`, `test.csv` and `classes.txt`.

Archives come from the network, so nothing in them is trusted: only plain files of those three names are extracted,
under those names alone, and the number of bytes read is limited.
"""

import gzip
import io
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from crepe.errors import CrepeError
from crepe.io.files import alone, replacing

REQUIRED = ("train.csv", "test.csv")
TAKEN = (*REQUIRED, "classes.txt")

MAXIMUM = 16 * 2**30
"""Most bytes that an archive may unpack to, ten times as many as the paper's largest."""
LARGEST = 8 * 2**30
"""Files to pack must have fewer bytes: the tar header cannot express more."""
MEMBERS = 1000
"""Most members that an archive may have; the paper's have four or five."""
PIECE = 2**20
"""Bytes read at a time, and the most that one header may claim."""

_AGAIN = "run `crepe download` again"
_DAMAGE = (tarfile.TarError, OSError, ValueError, RecursionError)
"""Errors that `tarfile` raises on malformed headers."""


def sniff(path: Path | str, remedy: str = "") -> None:
    """Check a file's first bytes only.

    Args:
        path: the file.
        remedy: what to do, for messages.

    Raises:
        CrepeError: the file is unreadable, empty, an HTML page or anything else that is not gzip.
    """
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(1024)
    except FileNotFoundError:
        raise CrepeError(path, "is missing", remedy) from None
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}") from error
    if not start:
        raise CrepeError(path, "is empty, not an archive", remedy)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise CrepeError(
            path, "is an HTML page, not an archive, as Google Drive answers when its quota is spent", remedy
        )
    if not start.startswith(b"\x1f\x8b"):
        raise CrepeError(path, f"is not a gzip-compressed tar: it starts with {start[:8]!r}", remedy)


def pack(path: Path | str, folder: str, files: Mapping[str, IO[bytes]]) -> None:
    """Write an archive, whole or not at all, without times or owners: the same files give the same bytes.

    Args:
        path: the archive.
        folder: the folder inside the archive.
        files: streams by name, read from their start.

    Raises:
        CrepeError: the archive cannot be written, or a file is too large for the format.
    """
    with (
        alone(Path(path).parent, Path(path).name),
        replacing(path) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = content.seek(0, io.SEEK_END)
            if entry.size >= LARGEST:
                fault = f"{name} has {entry.size:,} bytes, and an archive takes files of {LARGEST:,} at most"
                raise CrepeError(path, fault, "take fewer rows")
            content.seek(0)
            archive.addfile(entry, content)


def check(path: Path | str, maximum: int = MAXIMUM) -> None:
    """Read an archive through to its end, gzip's own checksum included.

    Raises:
        CrepeError: it is not a whole gzip-compressed tar, or unpacks to more than `maximum` bytes.
    """
    with _reading(path, maximum, "") as members:
        for _ in members:
            pass


@contextmanager
def extracted(path: Path | str, folder: Path | str | None = None, maximum: int = MAXIMUM) -> Iterator[dict[str, Path]]:
    """Unpack `train.csv`, `test.csv` and, if there, `classes.txt` to a temporary folder for as long as the block.

    Args:
        path: the archive, read once.
        folder: parent of the temporary folder; the system's default if None.
        maximum: most bytes that the archive may unpack to.

    Yields:
        The files by base name.

    Raises:
        CrepeError: the archive is not a whole gzip-compressed tar or too large; lacks one of the CSV files; holds one
            of the three names twice, or as a link, a device or another special file; or the folder cannot be written.
    """
    try:
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".archive.", suffix=".part", dir=folder)
    except OSError as error:
        raise CrepeError(folder or tempfile.gettempdir(), f"cannot be written: {error.strerror or error}") from error
    with temporary as name:
        yield _extract(path, Path(name), maximum)


def _extract(path: Path | str, folder: Path, maximum: int) -> dict[str, Path]:
    files: dict[str, Path] = {}
    held = []
    with _reading(path, maximum, _AGAIN) as members:
        for member, content in members:
            held.append(repr(member.name))
            name = PurePosixPath(member.name).name
            if name not in TAKEN or member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise CrepeError(path, f"{member.name!r} is a link, a device or a sparse file, not a plain file")
            if name in files:
                raise CrepeError(path, f"holds {name} twice, the second time as {member.name!r}")
            files[name] = folder / name
            _write(content, files[name])
    missing = [name for name in REQUIRED if name not in files]
    if missing:
        listed = ", ".join(held[:10]) + (", ..." if len(held) > 10 else "")
        fault = f"holds no {' and no '.join(missing)}, only {listed}"
        raise CrepeError(path, fault, "it is no dataset's archive; name another")
    return files


def _write(pieces: Iterator[bytes], path: Path) -> None:
    try:
        with path.open("wb") as stream:
            stream.writelines(pieces)
    except OSError as error:
        raise CrepeError(path, f"cannot be written: {error.strerror or error}") from error


@contextmanager
def _reading(
    path: Path | str, maximum: int, remedy: str
) -> Iterator[Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]]:
    """Yield an archive's members with their content; if the block ends without an error, the rest is read, too."""
    sniff(path, remedy)
    try:
        with gzip.open(path) as inflated:
            stream = _Forward(inflated, maximum)
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as tar:
                yield _members(tar, stream)
            # A tar ends with empty blocks. tarfile takes a damaged header for its end, too.
            if stream.last.strip(b"\0"):
                raise tarfile.ReadError("a header inside is damaged")
            while stream.read(PIECE):
                pass
    except _DAMAGE as error:
        raise CrepeError(path, f"is not a whole gzip-compressed tar ({error})", remedy) from error


def _members(tar: tarfile.TarFile, stream: "_Forward") -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    for count, member in enumerate(tar):
        if count == MEMBERS:
            raise tarfile.ReadError(f"it holds more than {MEMBERS} members")
        if member.size < 0:
            raise tarfile.ReadError("a header claims less than nothing")
        stream.allow(member.offset_data + member.size)
        yield member, stream.pieces(member.offset_data, member.size)


class _Forward:
    """Stream of the bytes inside a gzip file for `tarfile`: forwards only, in bounded pieces, up to a maximum."""

    def __init__(self, stream: gzip.GzipFile, maximum: int) -> None:
        self._stream, self._maximum = stream, maximum
        self._position = 0
        self.last = b""
        """Return the bytes that were read last."""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position and self.read(min(PIECE, position - self._position)):
            pass

    def read(self, size: int) -> bytes:
        if not 0 <= size <= PIECE:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        try:
            self.last = self._stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise tarfile.ReadError(str(error)) from error
        self._position += len(self.last)
        self.allow(self._position)
        return self.last

    def allow(self, position: int) -> None:
        if position > self._maximum:
            raise tarfile.ReadError(f"it unpacks to more than {self._maximum:,} bytes")

    def pieces(self, position: int, size: int) -> Iterator[bytes]:
        self.seek(position)
        while size > 0:
            piece = self.read(min(PIECE, size))
            if not piece:
                raise tarfile.ReadError("a file inside ends early")
            size -= len(piece)
            yield piece
