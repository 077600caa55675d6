"""Text to codes of an alphabet, exactly as the original program does it.

A text's fields are joined last to first with a space and read backwards by bytes, so that column 1 is the last byte
of the first field and a long text loses the beginning of its last field. A byte outside the alphabet (a space, each
byte of a character that is not ASCII) is 0, an all-zero column, and so is everything behind the end of a text.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import numpy as np

from crepe.errors import CrepeError
from crepe.ragged import trim

_CREPE = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{}"

ALPHABETS = {"crepe": _CREPE, "paper": _CREPE + "\n", "full": _CREPE + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
"""Alphabets by name; the code of a character is its place, counted from 1.

`crepe` has the 69 characters of the original's code, `paper` the newline too, which the paper counts, and `full` the
capital letters, of the rows that keep case. The hyphen stands twice and its last place, 60, counts: 37 never occurs.
"""


def quantize(fields: Sequence[str | bytes] | str | bytes, alphabet: str = "crepe", length: int = 1014) -> np.ndarray:
    """Turn a text into codes, one for each byte.

    Args:
        fields: the text's fields, first to last, or its only field; unescaped and trimmed, as `crepe clean` leaves
            them. A str counts as its UTF-8 bytes.
        alphabet: a key of `ALPHABETS`.
        length: columns of a text; what is beyond is cut off.

    Returns:
        uint8 [columns]: the columns up to the last that is not all-zero; 0 for an all-zero column before it.

    Raises:
        CrepeError: there is no alphabet of that name, `length` is negative, or `fields` is no text.
    """
    if length < 0:
        raise CrepeError("length", f"is {length}, must be 0 or more")
    parts = [fields] if isinstance(fields, str | bytes) else fields
    if not isinstance(parts, Sequence) or not all(isinstance(part, str | bytes) for part in parts):
        raise CrepeError("fields", f"{fields!r} is not a text or the fields of one")
    text = join([field.encode("utf-8", "surrogatepass") if isinstance(field, str) else field for field in parts])
    return encode(text, np.array([0, len(text)]), alphabet, length)[0]


def join(fields: Sequence[bytes]) -> bytes:
    """Join the fields of a text as bytes, from last to first, with a space between them."""
    return b" ".join(reversed(fields))


def encode(texts: bytes, offsets: np.ndarray, alphabet: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn many joined texts into codes, the zeros at their ends cut off.

    Args:
        texts: all texts behind one another, the last row first.
        offsets: int64 [rows + 1], starts at 0: where each of them begins, and the end.
        alphabet: a key of `ALPHABETS`.
        length: columns of a text; what is beyond is cut off.

    Returns:
        uint8 [total] and int64 [rows + 1]: values and offsets of the rows, trailing zeros cut.

    Raises:
        CrepeError: there is no alphabet of that name.
    """
    return trim(*encode_whole(texts, offsets, alphabet), length)


def encode_whole(texts: bytes, offsets: np.ndarray, alphabet: str) -> tuple[np.ndarray, np.ndarray]:
    """Turn many joined texts into codes, one for each byte.

    The texts come in reverse order, the last row first: reversing the whole buffer then turns each text and puts
    the rows in order, in one pass.

    Args:
        texts: all texts behind one another.
        offsets: int64 [rows + 1], starts at 0: where each of them begins, and the end.
        alphabet: a key of `ALPHABETS`.

    Returns:
        uint8 [total] and int64 [rows + 1]: values and offsets of the rows.

    Raises:
        CrepeError: there is no alphabet of that name.
    """
    # bytes.translate is the fastest look-up table: NumPy widens each code to 8 bytes first.
    codes = np.frombuffer(texts.translate(_table(alphabet)), np.uint8)[::-1]
    return np.ascontiguousarray(codes), offsets[-1] - offsets[::-1]


def digest(alphabet: str) -> str:
    """Return the sha256 of the characters of an alphabet, in order."""
    return sha256(characters(alphabet).encode()).hexdigest()


def characters(alphabet: str) -> str:
    """Return the characters of an alphabet, in order.

    Raises:
        CrepeError: there is no alphabet of that name.
    """
    if alphabet not in ALPHABETS:
        raise CrepeError(f"alphabet {alphabet!r}", "is unknown", f"choose from {', '.join(ALPHABETS)}")
    return ALPHABETS[alphabet]


@cache
def _table(alphabet: str) -> bytes:
    """Return the code of each of the 256 bytes; a capital that is not in the alphabet has its small letter's."""
    table = bytearray(256)
    for code, character in enumerate(characters(alphabet), start=1):
        table[ord(character)] = code
    for capital in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        table[capital] = table[capital] or table[ord(chr(capital).lower())]
    return bytes(table)
