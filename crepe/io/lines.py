"""Read lines of a text file; errors name the lines whose bytes are wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO

import pyarrow as pa

from crepe.errors import CrepeError

LONGEST = 1 << 26
"""Most characters of a line, and of a CSV field."""


@dataclass(frozen=True)
class Lines:
    """The physical lines of a text file."""

    path: Path
    encoding: str
    about: str
    """The encoding, for people."""

    def __iter__(self) -> Iterator[str]:
        """Yield the lines with their ends.

        Raises:
            CrepeError: a line is too long or has a NUL byte; or, after the last line, some are not UTF-8.
        """
        broken: list[int] = []
        with self.open() as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST + 1), ""), 1):
                if not line.isascii() or "\0" in line:
                    if "\0" in line:
                        raise CrepeError(
                            self.path,
                            f"line {number}: holds a NUL byte",
                            "take it out, or, if the file is UTF-16 without a byte-order mark, convert it to UTF-8",
                        )
                    if not encodable(line):
                        broken.append(number)
                if len(line) > LONGEST:
                    raise CrepeError(self.path, f"line {number}: is longer than {LONGEST:,} characters", "divide it")
                yield line
        if broken:
            listed = ", ".join(map(str, broken[:5])) + (f" and {len(broken) - 5:,} more" if len(broken) > 5 else "")
            raise CrepeError(
                self.path,
                f"is not UTF-8 in {'lines' if len(broken) > 1 else 'line'} {listed}",
                "convert it, from Windows' Western code for instance by: iconv -f WINDOWS-1252 -t UTF-8 "
                f"{self.path} > converted.csv",
            )

    @contextmanager
    def open(self) -> Iterator[IO[str]]:
        """Open the text; bytes that are not UTF-8 become lone surrogates."""
        errors = "strict" if self.encoding == "utf-16" else "surrogateescape"
        try:
            with reading(self.path), self.path.open("rb") as raw:
                yield TextIOWrapper(raw, self.encoding, errors, newline="")
        except UnicodeError as error:
            raise CrepeError(
                self.path, f"is not {self.encoding.upper()} throughout ({error})", "convert it to UTF-8"
            ) from error


def encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8; one with lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of Python and Arrow in reading `path` into a CrepeError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise CrepeError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
