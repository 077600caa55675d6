"""Check files against published checksums."""

from collections.abc import Iterable
from pathlib import Path

from crepe.config.catalog import Source
from crepe.errors import CrepeError
from crepe.io.files import digest

_REMEDY = "run `crepe download` again"


def check_published(path: Path, sources: Iterable[Source]) -> None:
    """Compare a downloaded file with the checksums of its sources; any file passes if one of them has none.

    Raises:
        CrepeError: the file is missing or unreadable, or has none of these checksums.
    """
    published = {source.checksum for source in sources}
    if not path.exists():
        raise CrepeError(path, "is missing", _REMEDY)
    if not any(checksum is None or digest(path, checksum[0]) == checksum[1] for checksum in published):
        fault = "is damaged, or not the file that the configuration names (its checksum differs)"
        raise CrepeError(path, fault, _REMEDY)
