"""Read LibreOffice's thesauri (mytheas, `.dat`), and find the replaceable words of texts.

A file is lines of text. The first names the encoding; then come entries, `word|meanings` and a line
`(part of speech)|synonym|synonym ...` for each meaning.

**Entries.** Only those of single words are taken, as `crepe.text.tokens` finds them: `WORD` matches all of the word in
small letters. Words with a hyphen or a space, which a text's words never have, are left out.

**Synonyms.** Terms with a note are left out: `(antonym)` is the opposite, `(generic term)` something wider,
`(similar term)` and `(related term)` are neighbours, of adjectives mostly. These would change the meaning of a text,
and with it perhaps its label. A word with nothing else has no entry. The word itself and repetitions, in any case, are
left out, too. A synonym may have several words.

**Ranks.** Synonyms rank by the order of the meanings, then by the order within a meaning: the file has no other
information on which is the most frequent.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import regex

from crepe.errors import CrepeError
from crepe.ragged import Ragged
from crepe.text.tokens import WORD

_ENTRY = re.compile(r"([^|]+)\|(\d+)")
_MEANING = re.compile(r"(?:-|\([^|]*\))((?:\|[^|]*)+)")
_REMEDY = "mend the file, or fetch it again"
_NOTE = re.compile(r"\((?:antonym|[^()]+ term)\)$")


def sniff(path: Path | str) -> str:
    """Return the encoding that a file's first line names.

    Raises:
        CrepeError: the file is unreadable, or the line names no encoding.
    """
    try:
        with Path(path).open("rb") as stream:
            encoding = stream.readline(60).strip().decode("latin-1")
        "".encode(encoding)
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}") from error
    except (LookupError, ValueError) as error:
        raise CrepeError(path, f"line 1: is not the name of an encoding: {encoding!r}", _REMEDY) from error
    return encoding


def read(path: Path | str) -> dict[str, list[str]]:
    """Read the synonyms of single words, in the order of their ranks; no list is empty.

    Raises:
        CrepeError: the file is unreadable, or no such thesaurus; the message names the line.
    """
    lines = _lines(Path(path))
    found: dict[str, dict[str, str]] = {}
    number = 1
    while number < len(lines):
        entry = _ENTRY.fullmatch(lines[number])
        if entry is None:
            fault = f"line {number + 1}: expected `word|meanings`, found {lines[number][:60]!r}"
            raise CrepeError(path, fault, _REMEDY)
        word, first = entry[1].lower(), number + 1
        number = first + int(entry[2])
        synonyms = found.setdefault(word, {}) if regex.fullmatch(WORD, word) else {}
        for index in range(first, number):
            meaning = _MEANING.fullmatch(lines[index]) if index < len(lines) else None
            if meaning is None:
                text = repr(lines[index][:60]) if index < len(lines) else "the end"
                fault = f"line {index + 1}: expected a meaning of {entry[1]!r}, found {text}"
                raise CrepeError(path, fault, _REMEDY)
            for synonym in map(str.strip, meaning[1][1:].split("|")):
                small = synonym.lower()
                if small != word and regex.search(WORD, small) and not _NOTE.search(synonym):
                    synonyms.setdefault(small, synonym)
    entries = {word: list(synonyms.values()) for word, synonyms in found.items() if synonyms}
    if not entries:
        raise CrepeError(path, "has no synonyms of single words", "take another thesaurus")
    return entries


def table(entries: Iterable[tuple[str, list[str]]], encode: Callable[[str], np.ndarray], dtype: str) -> Ragged:
    """Encode words and synonyms, a row each: each entry's word, then its synonyms by rank.

    Args:
        entries: words with their synonyms.
        encode: turns a text into codes.
        dtype: dtype of the codes.

    Returns:
        The rows; a row's label is the number of its entry, from 0.
    """
    groups = [(word, *synonyms) for word, synonyms in entries]
    labels = np.repeat(np.arange(len(groups), dtype=np.int32), list(map(len, groups)))
    return Ragged.from_rows((encode(text) for group in groups for text in group), labels, dtype)


def spots(starts: np.ndarray, entries: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the replaceable words of some rows.

    Args:
        starts: integers [words], where each word begins in its row.
        entries: integers [words], the number of each word's entry; negative for a word that has none.
        offsets: int64 [rows + 1], starts at 0: where the words of each row begin, and the end.

    Returns:
        int32 [2 * replaceable] and int64 [rows + 1], values and offsets as in `crepe.ragged.Ragged`: the start and the
        entry of each word in turn.
    """
    hits = np.flatnonzero(entries >= 0)
    return np.stack([starts[hits], entries[hits]], 1).astype(np.int32).ravel(), 2 * np.searchsorted(hits, offsets)


def _lines(path: Path) -> list[str]:
    """Read the lines of a file, the first included."""
    encoding = sniff(path)
    content = path.read_bytes()
    try:
        lines = content.decode(encoding).split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise CrepeError(path, f"line {number}: is not {encoding}", _REMEDY) from error
    # A file ends with a newline, and some have Windows' kind.
    return [line.removesuffix("\r") for line in lines[: None if lines[-1] else -1]]
