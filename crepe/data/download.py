"""Download a dataset's archive, a thesaurus or word vectors from the first source that has them, and verify them.

A download that broke off is continued, by the same call and by the next one: what has come so far stands beside the
target in a hidden file named after the source's checksum, so that the bytes of two sources never mix. The file appears
under its own name when its size and checksum are right and it is whole: a gzip-compressed tar, a thesaurus, or vectors.

A source has `GRACE_SECONDS` and a second for each `LEAST_SPEED` bytes that it brings, all attempts and waits together;
then the next one is tried. Of several downloads of one file, one works and the others wait for it.
"""

import argparse
import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfileobj

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util.retry import Retry

from crepe import __version__, config, layout
from crepe.config.catalog import Dataset, Source, Thesaurus, Vectors
from crepe.data import archive, store, web
from crepe.errors import CrepeError
from crepe.io.files import alone, digest, replacing, settle, writing
from crepe.io.progress import meter, quantity
from crepe.options import add_config
from crepe.text import thesaurus, word2vec

CONNECT_SECONDS = 10.0
"""Longest wait for a connection."""
STALL_SECONDS = 30.0
"""Longest wait for an answer, and the time in which `STALL_BYTES` must come."""
STALL_BYTES = 30_000
ATTEMPTS = 5
"""Attempts in a row that may bring less than `GAIN_BYTES` each; then a source is given up."""
GAIN_BYTES = 1_000_000
FIRST_WAIT_SECONDS = 1.0
"""Wait before the second attempt; it doubles with each further one, up to `LONGEST_WAIT_SECONDS`."""
LONGEST_WAIT_SECONDS = 60.0
"""A server that asks for a longer wait is given up."""
GRACE_SECONDS = 300.0
"""Time of a source, for all attempts and waits together; bytes that it brings give it more, see `LEAST_SPEED`."""
LEAST_SPEED = 20_000
"""Bytes that give a source another second."""
PIECE = 2**18

HEADERS = {
    "User-Agent": f"crepe/{__version__}",
    # The file as it is: sizes, checksums and ranges are those of its own bytes.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class _File:
    """A kind of file that can be fetched."""

    noun: str
    """Its name in messages."""
    section: str
    """The section of the catalog that lists such files."""
    path: Callable[[str], Path]
    """Its default path, by its key."""
    sniff: Callable[[Path], object]
    """Looks at the beginning of a file and raises CrepeError if it is of another kind."""
    check: Callable[[Path], object]
    """Reads the whole file and raises CrepeError if it is of another kind or damaged."""


_ARCHIVE = _File("archive", "datasets", layout.archive, archive.sniff, archive.check)
_THESAURUS = _File("thesaurus", "thesauri", layout.thesaurus, thesaurus.sniff, thesaurus.read)
_VECTORS = _File("file of word vectors", "vectors", layout.published_vectors, word2vec.sniff, word2vec.check)

Entry = Dataset | Thesaurus | Vectors


class _SourceError(Exception):
    """The reason why a source does not give the file."""


class _PassingError(_SourceError):
    """The reason why a source does not give the file now; it may when asked again after `wait` seconds or more."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("key", metavar="KEY", help="key of the dataset, thesaurus or vectors in the configuration")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="path of the file (default: data/raw/KEY.tgz, .dat or .bin.gz)"
    )
    add_config(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    settings, key = config.load(options.config), options.key
    entry: Entry
    if key in settings.catalog.thesauri:
        entry = settings.thesaurus(key)
    elif key in settings.catalog.vectors:
        entry = settings.vectors(key)
    else:
        entry = settings.dataset(key)
    place = _file(entry).path(key)
    output = options.output or place
    # A file that is wanted elsewhere is none of the project's.
    download(key, entry, output, layout.store("") if output.parent == place.parent else None)


def download(key: str, entry: Entry, path: Path | str, kept: Path | None = None) -> None:
    """Bring a dataset's archive, a thesaurus or word vectors to `path`, unless the right file is there.

    Args:
        key: the name in messages.
        entry: the entry of the catalog; its sources are tried in order.
        path: the file; its folder is made if missing.
        kept: folder of files by their checksum, see `crepe.data.store`. A file that is there is not downloaded, and
            what is downloaded is kept there. None keeps nothing.

    Raises:
        CrepeError: no source gave the file (the text says why, for each), or `path` cannot be written.
    """
    path, file = Path(path), _file(entry)
    if path.is_dir():
        raise CrepeError(path, "is a folder", f"name the {file.noun}'s file")
    with alone(path.parent, path.name):
        if path.exists() and _stands(key, entry, path):
            return
        if kept is not None and (found := store.find(kept, entry.sources)):
            store.place(found[0], path)
            _tell(f"{key}: {path}: was in {kept} already, the {file.noun} of {_label(found[1])}")
        else:
            _from_any(key, entry, path, file, kept)
        if kept is not None:
            # A file that stood at `path`, and was not the right one.
            (kept / path.name).unlink(missing_ok=True)


def _from_any(key: str, entry: Entry, path: Path, file: _File, kept: Path | None) -> None:
    """Bring the file to `path` from the first source that has it."""
    faults = []
    for source in entry.sources:
        try:
            target = _target(path, source, kept)
            if target == path:
                _fetch(key, source, path, file)
            else:
                with alone(target.parent, target.name):
                    # Of several downloads of one file, the others find it there.
                    if not store.find(target.parent, [source]):
                        _fetch(key, source, target, file)
                store.place(target, path)
        except _SourceError as fault:
            _tell(f"{key}: {_label(source)}: {fault}")
            faults.append(f"  {source.name + ', ' if source.name else ''}{source.url}: {fault}")
        else:
            for other in entry.sources:
                partial_file(_target(path, other, kept), other).unlink(missing_ok=True)
            _tell(f"{key}: {path}: {quantity(path.stat().st_size, 'B')} from {_label(source)}")
            return
    if kept is None or any(source.checksum is None for source in entry.sources) or not entry.sources:
        place = f"at {path}"
    else:
        place = f"into {kept}/ under any name"
    entries = f"catalog.{file.section}.{key}.sources"
    remedy = f"Put the {file.noun} {place}, or name another source in the configuration: {entries}"
    listed = faults or ["  the configuration names none"]
    raise CrepeError(key, "\n".join([f"no source has the {file.noun}:", *listed]), remedy)


def _file(entry: Entry) -> _File:
    return {Dataset: _ARCHIVE, Thesaurus: _THESAURUS, Vectors: _VECTORS}[type(entry)]


def _stands(key: str, entry: Entry, path: Path) -> bool:
    """Whether `path` is the file of one of the sources already."""
    faults, file = [], _file(entry)
    for source in entry.sources:
        try:
            _verify(path, source, file)
            if source.checksum is None and source.local and digest(path) != digest(source.local):
                raise _SourceError("differs from it")
        except (_SourceError, CrepeError) as fault:
            faults.append(f"{key}: {path}: is not the {file.noun} of {_label(source)}: {fault}")
        else:
            _tell(f"{key}: {path}: is there already, the {file.noun} of {_label(source)}")
            return True
    for text in faults:
        _tell(text)
    return False


def _fetch(key: str, source: Source, path: Path, file: _File) -> None:
    """Bring one source's file to `path`, verified.

    Raises:
        _SourceError: the source does not have it.
        CrepeError: `path` cannot be written.
    """
    if source.local is None:
        _from_network(key, source, path, file)
    else:
        _from_disk(source, path, file)


def _from_disk(source: Source, path: Path, file: _File) -> None:
    assert source.local is not None
    if not source.local.is_file():
        raise _SourceError("there is no such file")
    try:
        original = source.local.open("rb")
    except OSError as error:
        raise _SourceError(f"cannot be read: {error.strerror or error}") from error
    with original, replacing(path) as temporary:
        with temporary.open("wb") as copy:
            copyfileobj(original, copy, PIECE)
        _verify(temporary, source, file)


def _target(path: Path, source: Source, kept: Path | None) -> Path:
    """The place of a source's file: in the store, if there is one and the source has a checksum."""
    return path if kept is None or source.checksum is None else kept / source.checksum[1]


def _from_network(key: str, source: Source, path: Path, file: _File) -> None:
    part = partial_file(path, source)
    clock = _Clock(_size(part))
    for again in (False, True):
        pieced = _receive_all(key, source, part, clock)
        try:
            _verify(part, source, file)
            break
        except _SourceError:
            part.unlink()
            # What was pieced together may be wrong where the whole in one answer is right.
            if again or not pieced:
                raise
    with writing(path):
        settle(part, path)


@dataclass(slots=True)
class _Clock:
    """The time that a source may take."""

    had: int
    """Bytes of the file that were there before."""
    most: int = 0
    """Bytes that have come since."""
    begun: float = field(default_factory=time.monotonic)

    def count(self, done: int) -> None:
        """Take note that `done` bytes are there; those that come again after a new start count once."""
        self.most = max(self.most, done - self.had)

    def until(self) -> float:
        """The end of its time, by `time.monotonic`."""
        return self.begun + GRACE_SECONDS + self.most / LEAST_SPEED


def _receive_all(key: str, source: Source, part: Path, clock: _Clock) -> bool:
    """Bring `part` to its full length; returns whether it holds bytes of more than one answer."""

    def tell(state: RetryCallState) -> None:
        _tell(f"{key}: {_label(source)}: {_passing(state)}; again in {state.upcoming_sleep:.0f} s")

    def given_up(state: RetryCallState) -> bool:
        return stop_after_attempt(ATTEMPTS)(state) or time.monotonic() + state.upcoming_sleep > clock.until()

    retrying = Retrying(
        retry=retry_if_exception_type(_PassingError),
        stop=given_up,
        wait=_wait,
        before_sleep=tell,
        reraise=True,
    )
    while True:
        before = _size(part)
        try:
            return retrying(_attempt, f"{key} from {_label(source)}", source, part, clock)
        except _PassingError as fault:
            if time.monotonic() >= clock.until():
                speed = f"{clock.most:,} bytes in {time.monotonic() - clock.begun:.0f} s"
                raise _SourceError(f"is too slow: {speed}, and at last: {fault}") from fault
            if _size(part) < before + GAIN_BYTES:
                raise


def _attempt(title: str, source: Source, part: Path, clock: _Clock) -> bool:
    """Ask once for what `part` lacks; returns whether there was something to continue."""
    have = _size(part)
    if have and source.bytes is not None and have >= source.bytes:
        return True
    headers = HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    with _cut_off(clock), web.session() as session:
        with _asking():
            answer = web.get(session, source.url, headers, (CONNECT_SECONDS, STALL_SECONDS))
        with answer, writing(part):
            start, total = _extent(answer, part)
            if total is not None and source.bytes not in (None, total):
                encoding = answer.headers.get("Content-Encoding")
                fault = f"has {total:,} bytes{f' in {encoding}' if encoding else ''}, published are {source.bytes:,}"
                raise _SourceError(fault)
            total = total or source.bytes
            _receive(answer, part, title, start, total, clock)
    return start > 0


@contextmanager
def _cut_off(clock: _Clock) -> Iterator[None]:
    try:
        with web.deadline(clock.until):
            yield
    except web.TooSlow as error:
        raise _PassingError("was cut off") from error


def _extent(answer: requests.Response, part: Path) -> tuple[int, int | None]:
    """The place in the file where the answer's bytes begin, and the bytes of the whole file."""
    have, status = _size(part), answer.status_code
    text = f"answers {status} {answer.reason or ''}".rstrip()
    if status == 416 and have:
        part.unlink()
        raise _PassingError(f"{text} to a request for byte {have:,} and on")
    if status in (408, 425, 429) or status >= 500:
        wait = _retry_after(answer.headers.get("Retry-After", ""))
        if wait > LONGEST_WAIT_SECONDS:
            raise _SourceError(f"{text}, and to ask again in {wait:.0f} s")
        raise _PassingError(text, wait)
    if status not in (200, 206):
        raise _SourceError(text)
    if web.is_page(answer):
        raise _SourceError("answers with an HTML page, as Google Drive does when its quota is spent")
    length = answer.headers.get("Content-Length", "")
    if status == 200:
        return 0, int(length) if re.fullmatch(r"\d{1,18}", length) else None
    found = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have:
        part.unlink(missing_ok=True)
        raise _PassingError(f"answers with another range than byte {have:,} and on")
    return have, None if found[2] == "*" else int(found[2])


def _receive(answer: requests.Response, part: Path, title: str, start: int, total: int | None, clock: _Clock) -> None:
    """Append the answer's bytes to `part`, or overwrite it if they begin at 0."""
    limit = archive.MAXIMUM if total is None else total
    done = start
    with part.open("ab" if start else "wb") as stream, meter(title, total, "B", start) as progress:
        since, then = time.monotonic(), start
        try:
            while piece := answer.raw.read1(PIECE, decode_content=False):
                done += len(piece)
                if done > limit:
                    part.unlink()
                    raise _SourceError(f"sends more than {limit:,} bytes")
                stream.write(piece)
                progress.advance(len(piece))
                clock.count(done)
                if time.monotonic() - since >= STALL_SECONDS:
                    if done - then < STALL_BYTES:
                        raise _PassingError(f"sent {done - then:,} bytes in {STALL_SECONDS:.0f} s")
                    since, then = time.monotonic(), done
        except HTTPError as error:
            raise _PassingError(f"broke off after {done:,} bytes ({_text(_cause(error))})") from error
    if total is not None and done < total:
        raise _PassingError(f"broke off after {done:,} of {total:,} bytes")


def _verify(path: Path, source: Source, file: _File) -> None:
    """Compare `path` with what is published of the source's file."""
    try:
        file.sniff(path)
        if source.bytes not in (None, size := _size(path)):
            raise _SourceError(f"has {size:,} bytes, published are {source.bytes:,}")
        algorithm, wanted = source.checksum or ("", "")
        if wanted and (found := digest(path, algorithm)) != wanted:
            raise _SourceError(f"has {algorithm} {found}, published is {wanted}")
        file.check(path)
    except _SourceError:
        raise
    except CrepeError as error:
        raise _SourceError(error.fault) from error


@contextmanager
def _asking() -> Iterator[None]:
    """Turn errors of a request into faults of the source, passing ones where asking again may help."""
    try:
        yield
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        cause = _cause(error)
        passing = not isinstance(cause, ssl.SSLCertVerificationError)
        raise (_PassingError if passing else _SourceError)(_text(cause)) from error
    # ValueError: an address that cannot be parsed; OSError: certificates that the environment names, and cannot be read
    except (requests.RequestException, ValueError, OSError) as error:
        raise _SourceError(_text(error)) from error


def _wait(state: RetryCallState) -> float:
    backoff = wait_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)
    return max(backoff(state), _passing(state).wait)


def _passing(state: RetryCallState) -> _PassingError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _PassingError)
    return error


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 if it is neither."""
    try:
        return Retry().parse_retry_after(value)
    except (InvalidHeader, ValueError):  # ValueError: thousands of digits, or a year of five
        return 0.0


def _cause(error: BaseException) -> BaseException:
    """The first cause of an error of requests or urllib3, which wrap it several times."""
    while below := error.__cause__ or error.__context__:
        error = below
    return error


def _text(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def partial_file(path: Path, source: Source) -> Path:
    """The file beside `path` that holds what has come so far. Only the same checksum is continued."""
    checksum = source.checksum[1] if source.checksum else None
    return path.with_name(f".{path.name}.{checksum}.part")


def _label(source: Source) -> str:
    return source.name or source.url


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
