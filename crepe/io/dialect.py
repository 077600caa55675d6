"""The form of a CSV file: how its fields are divided and quoted, and whether its first row names the columns.

`find` decides by a sample, `survey` reads the whole file and names the line of every fault.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from typing import Any

from crepe.errors import CrepeError
from crepe.io.lines import LONGEST, Lines

SAMPLE = 1 << 20
"""Characters from which the form of a CSV file is found; more where a row is longer."""
HEAD = 5000
"""Rows by which it is decided whether the first one names the columns."""
NULL = r"\N"
"""A missing value, as MySQL and PostgreSQL write it."""

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_DOUBLED, _ESCAPED, _NONE = "quotes inside doubled", "quotes inside behind a backslash", "no quoting"
_LABELS = 1000
"""Most values of a column that may be one of labels."""
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?%?")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ,].*)?")
# fmt: off
_NAMES = frozenset([
    "answer", "article", "author", "body", "category", "class", "class_name", "comment", "content", "country",
    "created_at", "date", "description", "document", "feedback", "field_1", "field_2", "field_3", "genre",
    "headline", "id", "index", "intent", "label", "label_text", "labels", "lang", "language", "line", "message",
    "name", "post", "premise", "question", "rating", "response", "review", "score", "sentence", "sentiment",
    "source", "spam", "stars", "subject", "summary", "tag", "target", "text", "texts", "time", "timestamp",
    "title", "topic", "tweet", "type", "url", "user", "username", "utterance",
])
# fmt: on
"""Names that columns often have."""


@dataclass(frozen=True)
class Form:
    """Format of a CSV file."""

    delimiter: str
    quoting: str
    skipped: int = 0
    """Lines before the table: 1 where a spreadsheet wrote `sep=;`."""
    spaced: bool = False
    """Whether blanks stand between a delimiter and an opening quote."""

    @property
    def quoted(self) -> bool:
        """Whether quotes mean anything."""
        return self.quoting != _NONE

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[list[str], int, int]]:
        """The fields of each row, and its first and its last line; a blank line has none.

        Raises:
            csv.Error: a row is malformed.
        """
        csv.field_size_limit(LONGEST)
        rest: Iterable[str] = islice(lines, self.skipped, None)
        options: dict[str, Any] = {"delimiter": self.delimiter, "strict": True, "skipinitialspace": self.spaced}
        if self.quoting == _ESCAPED:
            options["escapechar"] = "\\"
            # Only before these does a backslash mean anything: Python's reader would drop it elsewhere.
            lone = re.compile(rf'\\(["\\\r\n{re.escape(self.delimiter)}])|\\')
            rest = (lone.sub(lambda found: found[0] if found[1] else r"\\", line) for line in rest)
        if self.quoting == _NONE:
            options["quoting"] = csv.QUOTE_NONE
        reader = csv.reader(rest, **options)
        line = self.skipped + 1
        for row in reader:
            last = self.skipped + reader.line_num
            yield row, line, last
            line = last + 1


def find(lines: Lines, least: int) -> tuple[Form, list[list[str]]]:
    """The form and the first rows of a CSV file.

    The form is the first in which all rows of a sample have the same two fields or more. Where there is none, it is the
    one in which the most rows do: the others are found when the file is read.
    """
    with lines.open() as stream:
        sample, whole = stream.read(SAMPLE), False
        while more := stream.read(1):
            best = _best(sample, whole=False)
            if best and len(best[1]) >= 10:
                return best
            if len(sample) > LONGEST or (not best and sample.count("\n") > 1000):
                break
            # There are not many rows yet: a text may be longer than the sample.
            sample += more + stream.read(3 * len(sample))
        else:
            whole = True
    best = _best(sample, whole)
    if best is None and least == 1:
        form = Form(",", _DOUBLED)
        rows = list(_sampled(sample, whole, form)[0])
        if rows and Counter(map(len, rows)).most_common(1)[0][0] == 1:
            return form, [row for row in rows if len(row) == 1]
    if best is None:
        marks = ", ".join(DELIMITERS.values())
        raise CrepeError(
            lines.path,
            f"its lines are not divided into the same two fields or more by any of {marks}",
            "write it as CSV, JSON lines or Parquet",
        )
    return best


def _best(sample: str, whole: bool) -> tuple[Form, list[list[str]]] | None:
    best, most = None, 0.49
    for form in _forms(sample):
        rows, well = _sampled(sample, whole, form)
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        share = count / (len(rows) + (not well)) if rows else 0.0
        if width >= 2 and share > most:
            best, most = (form, [row for row in rows if len(row) == width]), share
            if share == 1:
                break
    return best


def _sampled(sample: str, whole: bool, form: Form) -> tuple[list[list[str]], bool]:
    """Rows of a sample, and whether none is malformed."""
    rows: list[list[str]] = []
    if not whole:
        sample = sample[: sample.rfind("\n") + 1] or sample
    try:
        for row, *_ in form.rows(StringIO(sample, newline="")):
            rows.append(row)
    except csv.Error:
        # A sample may end within a field; the rows before it are whole.
        return [row for row in rows if row], not whole
    return [row for row in (rows if whole else rows[:-1] or rows) if row], True


def _forms(sample: str) -> Iterator[Form]:
    """Forms in the order in which they are tried."""
    told = re.match(r'(?i)"?sep=(.)"?[ \t,;]*\r?\n', sample)
    skipped = 1 if told else 0
    delimiters = [told[1]] if told and told[1] in DELIMITERS else list(DELIMITERS)
    if len(re.findall(", ", sample)) > 0.9 * sample.count(","):
        # As in sentences. Such commas divide fields only where nothing else does.
        delimiters.sort(key=lambda delimiter: delimiter == ",")
    escaped = re.search(r'\\"[^",;\t|\r\n]', sample)
    for quoting in (_ESCAPED, _DOUBLED) if escaped else (_DOUBLED,):
        for delimiter in delimiters:
            mark = re.escape(delimiter)
            spaced = re.search(rf'{mark} +"[^"\n]*" *({mark}|\r?\n)', sample) is not None
            yield Form(delimiter, quoting, skipped, spaced)
    if "\t" in delimiters:
        yield Form("\t", _NONE, skipped)


def survey(lines: Lines, form: Form, width: int) -> tuple[Form, str]:
    """Read all rows once.

    Returns:
        The form, without quoting where that is the better reading, and what people need to know about the quotes.

    Raises:
        CrepeError: a row is malformed.
    """
    plain = replace(form, quoting=_NONE, spaced=False)
    if form.quoting == _NONE:
        form = replace(form, quoting=_DOUBLED)
    fault, inside = None, 0
    try:
        for _, first, last in _spans(lines, form, width):
            inside += last - first
    except _RowError as error:
        fault = error
    if fault and _is_unquoted(lines, plain, width):
        return plain, f"; so every line has {width} fields, and with quotes {fault.fault}"
    if fault:
        raise fault
    if inside and _is_joined(lines, form, plain, width):
        return plain, f"; so every line has {width} fields, line ends that quotes would hold: {inside:,}"
    return form, f"; line ends inside quotes: {inside:,}" if inside else ""


def _is_unquoted(lines: Lines, plain: Form, width: int) -> bool:
    """Whether a file with tabs that is malformed by its quotes has none.

    So it is if every line has `width` fields without them, and fewer fields stand in quotes as they should than have
    stray ones.
    """
    quoted = stray = 0
    if plain.delimiter != "\t":
        return False
    for line in islice(lines, plain.skipped, None):
        row = line.rstrip("\r\n").split(plain.delimiter)
        if line.strip("\r\n") and len(row) != width:
            return False
        for value in row:
            if '"' in value:
                well = re.fullmatch(r'"([^"]|"")*+"', value)
                quoted, stray = quoted + bool(well), stray + (not well)
    return stray >= quoted


def _is_joined(lines: Lines, form: Form, plain: Form, width: int) -> bool:
    """Whether quotes join lines of a file that are rows of their own.

    So it is if every line has `width` fields without quotes, and the lines that quotes join have, in one column, only
    values that are frequent in the other rows, as labels are. With tabs, which are rare in texts, it is enough where no
    column has few values that these lines have one without blanks where all other rows do, as ids are; lines of code
    begin with a tab.
    """
    spans = _spans(lines, form, width)
    first = last = 0
    own: list[Counter[str]] = [Counter() for _ in range(width)]
    joined: list[set[str]] = [set() for _ in range(width)]
    alone, solid = 0, [True] * width
    for number, line in enumerate(islice(lines, plain.skipped, None), plain.skipped + 1):
        row = line.rstrip("\r\n").split(plain.delimiter)
        if len(row) != width:
            if line.strip("\r\n"):
                return False
            continue
        while number > last:
            _, first, last = next(spans)
        alone += first == last
        for place, value in enumerate(row):
            solid[place] &= re.fullmatch(r"\S+", value) is not None
            if first < last:
                joined[place].add(value)
            else:
                own[place][value] += 1
            if len(own[place]) > _LABELS:  # No column of labels; memory is bounded.
                own[place].clear()
    frequent = [{value for value, times in seen.items() if times > 1} for seen in own]
    if any(found and found <= often for found, often in zip(joined, frequent, strict=True)):
        return True
    few = any(0 < len(seen) <= max(2, alone // 5) for seen in own)
    return plain.delimiter == "\t" and alone > 0 and not few and any(solid)


class _RowError(CrepeError):
    """A row of a CSV file is malformed."""


def records(lines: Lines, form: Form, width: int) -> Iterator[tuple[list[str], int]]:
    """The fields of each row and its first line; blank lines are passed over.

    In a table of one column a blank line is an empty text.

    Raises:
        CrepeError: a row is malformed or has another number of fields.
    """
    return ((row, first) for row, first, _ in _spans(lines, form, width))


def _spans(lines: Lines, form: Form, width: int) -> Iterator[tuple[list[str], int, int]]:
    """The fields of each row, its first and its last line: see `records`."""
    last = form.skipped
    try:
        for fields, first, last in form.rows(lines):
            if not fields and width > 1:
                continue
            row = fields or [""]
            if len(row) != width:
                raise _RowError(
                    lines.path,
                    f"line {first}: has {len(row)} fields where others have {width}",
                    "a field that holds a delimiter or a line end stands in quotes",
                )
            yield row, first, last
    except csv.Error as error:
        raise _RowError(
            lines.path,
            f"line {last + 1}: {error}",
            "a field that holds a delimiter, a quote or a line end stands in quotes, and a quote in it is doubled",
        ) from error


def is_header(first: list[str], rest: list[list[str]], likely: bool) -> bool:
    """Whether the first row names the columns, by the evidence of every column and of the rows that follow.

    Args:
        first: the first row.
        rest: the others of a sample.
        likely: what holds where there is no evidence.
    """
    if not rest:
        return likely or any(name.strip().casefold() in _NAMES for name in first)
    columns = [[row[place].strip() for row in rest] for place in range(len(first))]
    score = sum(_evidence(name.strip(), column) for name, column in zip(first, columns, strict=True))
    if score == 0:
        names = all(
            0 < len(name.strip()) <= 40 and name not in column for name, column in zip(first, columns, strict=True)
        )
        return likely or names
    return score > 0


def _evidence(name: str, column: list[str]) -> float:
    """Rate whether the first value of a column is its name: above 0 if it looks so, below 0 if like the others."""
    values = [value for value in column if value and value != NULL]
    if not name:
        # pandas names no index. In other columns a value may be missing.
        return 1.0 if len(values) == len(column) else 0.0
    if not values:
        return 1.0
    for kind in (_NUMBER, _DATE):
        share = sum(kind.fullmatch(value) is not None for value in values) / len(values)
        if share >= 0.95:
            return -3.0 if kind.fullmatch(name) else 2.0
        if share <= 0.05 and kind.fullmatch(name):
            return 1.0
    kinds, again = len(set(values)), name in values
    score = (0.5 if again else 1.5) if name.casefold().replace(" ", "_") in _NAMES else 0.0
    if len(values) >= 4 and kinds <= max(2, len(values) // 5):
        # A class of its own with one row is a sign.
        return score + (-1.0 if again else 2.0)
    if again:
        return score - 1
    if len(name) <= 40 and len(name) < min(map(len, values)) and not re.search(r"[.!?]$", name):
        few = len(values) < 10 or not all(re.search(r"\s", value) for value in values)
        return score + (0.5 if few else 1.5)
    return score - (1.0 if re.search(r"\s", name) else 0.0)
