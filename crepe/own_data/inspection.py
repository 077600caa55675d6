"""Choose the columns of a table that are the label and the texts, count its classes, and report what is odd."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn
from unicodedata import category, normalize

import polars as pl

from crepe.errors import CrepeError
from crepe.own_data.tabular import LINE, Rows, column

FEW = 10
"""A class with fewer rows than this has few."""
LENGTH = 1014
"""Bytes of a text that the paper's character models see."""

_LABELS = {"label", "labels", "class", "category", "target", "sentiment", "topic", "intent"}
_CLASSES = 1000
"""Most values of a column that is taken for the label without being told."""
_SPACELESS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Letters of scripts that are written without spaces between words."""
_WORDS = rf"\p{{L}}\S*\s+\S*\p{{L}}|{_SPACELESS}{{4}}"
_MONTHS = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = (
    r"(?i)^\s*(((mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
    rf"({_MONTHS}\.? \d{{1,2}}|\d{{1,2}}\.?[ -]{_MONTHS}\.?)[ ,-].{{0,20}}\d{{4}}.{{0,20}}|"
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ,].*)?)\s*$"
)
_MISSING = {"nan", "null", "none", "na", "n/a", "nat", "nil", "missing"}
_EXAMPLES = 3
"""Lines that are named where something is odd."""

LABEL, TEXT = "label", "text"
"""Columns of `labelled`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are used."""

    label: str
    texts: list[str]

    @property
    def name(self) -> pl.Expr:
        """A row's class, white space made even; null if it has none."""
        text = column(self.label).str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars(" ")
        return pl.when(text != "").then(text).alias(LABEL)

    @property
    def text(self) -> pl.Expr:
        """A row's texts in one."""
        return pl.concat_str([column(name).fill_null("") for name in self.texts], separator="\n").alias(TEXT)


@dataclass(frozen=True, slots=True)
class _Column:
    """Figures of a column by which its use is told."""

    name: str
    filled: int
    """Values that are not missing."""
    kinds: int
    """Different values, approximately where there are many."""
    letters: float
    """Mean length."""
    words: float
    """Share of values with two words or more, or of several letters of a script that is written without spaces."""
    dates: float
    """Share of values that are dates."""

    @property
    def is_date(self) -> bool:
        return self.dates > 0.95

    @property
    def is_id(self) -> bool:
        """Whether every row has its own value, and these are no texts."""
        return self.kinds > max(2, 0.97 * self.filled) and self.words < 0.5 and not self.is_date


def _figures(rows: Rows) -> list[_Column]:
    values = {name: column(name).drop_nulls() for name in rows.names}
    figures: dict[str, Callable[[pl.Expr], pl.Expr]] = {
        "filled": lambda value: value.len(),
        "kinds": lambda value: value.approx_n_unique(),
        "letters": lambda value: value.str.len_chars().mean(),
        "words": lambda value: value.str.contains(_WORDS).mean(),
        "dates": lambda value: value.str.contains(_DATE).mean(),
    }
    flat = [figure(value).alias(f"{what} {name}") for name, value in values.items() for what, figure in figures.items()]
    found = _collect(rows, rows.scan().select(flat)).row(0, named=True)
    return [_Column(name, *(found[f"{what} {name}"] or 0 for what in figures)) for name in rows.names]


def choose(rows: Rows, label: str | None, texts: list[str], tell: Callable[[str], None]) -> Columns:
    """Choose the columns that are named, and for those that are not the ones that look like it.

    Args:
        rows: the table.
        label: name of a column; found if None.
        texts: names of columns; found if empty.
        tell: is given a line for each column that is left out although it may be taken for a label or a text.

    Raises:
        CrepeError: there is no such column, or none or several look like it.
    """
    for name in filter(None, [label, *texts]):
        rows.table.check(name)
    if len(set(texts)) < len(texts) or label in texts:
        raise CrepeError("--label, --text", "a column is named twice")
    figures = {figure.name: figure for figure in _figures(rows)}
    label = label or _label(rows, [figure for name, figure in figures.items() if name not in texts])
    others = [figure for name, figure in figures.items() if name != label and name not in texts]
    if not texts:
        texts = _texts(rows, label, others)
        if not texts:
            _none(rows, others)
        if len(texts) > 3:
            raise CrepeError(
                rows.path, "has more than three columns of text", f"name one to three by --text: {', '.join(texts)}"
            )
    if len(texts) > 3:
        raise CrepeError("--text", "names more than three columns")
    for figure in others:
        if figure.name not in texts and (why := _left_out(rows, label, figure)):
            tell(f"{rows.path}: column {figure.name} {why}; left out, --text takes it")
    return Columns(label, texts)


def _few(rows: Rows, share: int) -> int:
    """Most values of a column that may be one of labels."""
    return max(2, min(_CLASSES, rows.count // share))


def _label(rows: Rows, figures: list[_Column]) -> str:
    possible = [figure for figure in figures if figure.kinds >= 2 and not figure.is_date and not figure.is_id]
    named = [it for it in possible if it.name.strip().casefold() in _LABELS and it.kinds <= _few(rows, 2)]
    few = [it for it in possible if it.letters <= 60 and it.kinds <= _few(rows, 5)]
    candidates = named if len(named) == 1 else few
    if len(candidates) > 1 and all(_is_renamed(rows, candidates[0].name, other.name) for other in candidates[1:]):
        # Columns that say the same, such as a label and its name.
        candidates = candidates[:1]
    if len(candidates) != 1:
        listed = ", ".join(f"{it.name} ({it.kinds} values)" for it in candidates or figures)
        raise CrepeError(
            rows.path, "which column is the label cannot be told", f"name it by --label: {listed}{_no_texts(rows)}"
        )
    return candidates[0].name


def _texts(rows: Rows, label: str, others: list[_Column]) -> list[str]:
    possible = [it for it in others if not it.is_date and (it.words >= 0.5 or it.name.strip().casefold() == "text")]
    good = [it.name for it in possible if _left_out(rows, label, it) is None]
    # Texts may repeat; what fixes the label is none, though.
    return good or [it.name for it in possible if it.kinds > 1 and not _is_fixed(rows, label, it)]


def _left_out(rows: Rows, label: str, figure: _Column) -> str | None:
    """Why a column is not taken for a text though it may look like one, or like something to learn from."""
    if figure.is_date:
        return "has dates"
    if figure.is_id:
        return "has a value of its own in each row, as an id"
    if figure.filled and figure.kinds == 1:
        return "has the same value in all rows"
    if figure.kinds > 1 and _is_fixed(rows, label, figure):
        return f"fixes {label} or is fixed by it, as a label in words"
    if figure.words >= 0.5 and figure.kinds <= _few(rows, 5):
        return f"has only {figure.kinds:,} values"
    return None


def _is_fixed(rows: Rows, label: str, figure: _Column) -> bool:
    """Whether the label follows from the value of a column, or the value from the label."""
    if figure.kinds > _few(rows, 5):
        return False
    pairs, labels, values = _pairs(rows, label, figure.name)
    return pairs in (labels, values)


def _is_renamed(rows: Rows, label: str, name: str) -> bool:
    """Whether each value of a column stands for one of another, and the other way round."""
    return len(set(_pairs(rows, label, name))) == 1


def _pairs(rows: Rows, label: str, name: str) -> tuple[int, int, int]:
    """Different pairs of values of two columns, and different values of each."""
    pair = pl.struct(column(label), column(name)).n_unique().alias("pairs")
    both = rows.scan().filter(column(label).is_not_null() & column(name).is_not_null())
    pairs, labels, values = _collect(rows, both.select(pair, column(label).n_unique(), column(name).n_unique())).row(0)
    return pairs, labels, values


def _none(rows: Rows, others: list[_Column]) -> NoReturn:
    named = ", ".join(it.name for it in others)
    raise CrepeError(
        rows.path,
        "which columns are the texts cannot be told",
        f"name one to three by --text: {named}{_no_texts(rows)}",
    )


def _no_texts(rows: Rows) -> str:
    odd = [name for name in rows.table.names if not rows.table.is_text(name)]
    return f" ({', '.join(odd)}: of types that are no text)" if odd else ""


def labelled(rows: Rows, columns: Columns) -> pl.LazyFrame:
    """`LABEL`, `TEXT` and `LINE` of each row that has a class."""
    return rows.scan().select(columns.name, columns.text, LINE).drop_nulls(LABEL)


def classes(rows: Rows, columns: Columns) -> dict[str, int]:
    """Rows of each class, in the order of the names; numbers are in theirs.

    Raises:
        CrepeError: a text holds what the archive's format cannot.
    """
    nul = _where(rows, labelled(rows, columns).filter(pl.col(TEXT).str.contains("\0", literal=True)))
    if nul:
        raise CrepeError(rows.path, f"{nul[1]}: holds a NUL byte", "take it out")
    found = _collect(rows, labelled(rows, columns).group_by(LABEL).len())
    return dict(sorted(zip(found[LABEL], found["len"], strict=True), key=lambda item: _order(item[0])))


def oddities(rows: Rows, columns: Columns) -> Iterator[str]:
    """Lines on what is odd about a table."""
    all_ = labelled(rows, columns)
    text = pl.col(TEXT)
    for what, frame in {
        "rows without a label, left out": rows.scan().select(columns.name, LINE).filter(pl.col(LABEL).is_null()),
        "rows without text": all_.filter(text.str.strip_chars() == ""),
        r"texts with the two characters \n, now a line end": all_.filter(text.str.contains(r"\n", literal=True)),
    }.items():
        found = _where(rows, frame)
        if found:
            yield f"{rows.path}: {what}: {found[0]:,} ({found[1]})"
    same = all_.group_by(text.hash()).agg(pl.len(), pl.col(LABEL).n_unique().alias("labels"))
    sums = same.select(pl.col("len").sum(), (pl.col("len") - 1).sum().alias("again"), (pl.col("labels") > 1).sum())
    total, again, contradicting = _collect(rows, sums).row(0)
    if again:
        yield f"{rows.path}: rows with a text that stood before: {again:,} of {total:,}"
    if contradicting:
        yield f"{rows.path}: texts that stand there with different labels: {contradicting:,}"
    bytes_ = text.str.len_bytes()
    figures = {
        "middle": bytes_.median(),
        "longest": bytes_.max(),
        "beyond": (bytes_ > LENGTH).sum(),
        "foreign": text.str.count_matches(r"[^\x00-\x7F]").sum() / text.str.len_chars().sum(),
        "spaceless": text.str.count_matches(_SPACELESS).sum() / text.str.len_chars().sum(),
    }
    middle, longest, beyond, foreign, spaceless = _collect(rows, all_.select(**figures)).row(0)
    if beyond:
        yield (
            f"{rows.path}: texts of more than the {LENGTH:,} bytes that the paper's character models see: "
            f"{beyond:,} of {total:,} (median {middle:,.0f}, longest {longest:,})"
        )
    if (spaceless or 0) > 0.1:
        yield (
            f"{rows.path}: {spaceless:.0%} of the characters are of scripts without spaces between words; each of "
            "them counts as a word to models of words, which are the ones to take: the paper's character models read "
            "none of them"
        )
    elif (foreign or 0) > 0.1:
        yield f"{rows.path}: {foreign:.0%} of the characters are in no alphabet of the paper's; take models of words"


def alike(counts: Mapping[str, int]) -> Iterator[str]:
    """Classes whose names cannot be told apart by eye, and names that look like a missing value."""
    seen: dict[str, str] = {}
    for name, count in counts.items():
        look = normalize("NFKC", "".join(letter for letter in name if category(letter) != "Cf"))
        other = seen.setdefault(look, name)
        if other != name:
            yield (
                f"classes {other!a} and {name!a}: look alike, and are two classes; write them the same way "
                "where they mean the same"
            )
        if name.casefold().strip("<>#") in _MISSING:
            yield f"class {name}: looks like a missing value; leave the label of its {count:,} rows empty if it is one"


def shown(name: str) -> str:
    """A name with an escape in place of each character that cannot be seen."""
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in name)


def shared(train: Rows, test: Rows, columns: Columns) -> Iterator[str]:
    """Test rows whose text is a train row's, too."""
    hashes = (labelled(rows, columns).select(pl.col(TEXT).hash()) for rows in (train, test))
    learnt, tested = hashes
    count = _collect(test, tested.join(learnt.unique(), on=TEXT, how="semi").select(pl.len())).item()
    if count:
        yield f"{test.path}: rows with a text of {train.path}: {count:,}"


def balance(train: dict[str, int], test: dict[str, int]) -> Iterator[str]:
    """Classes with few rows or none to test, and one that has most, by the rows of each class."""
    for name, count in train.items():
        if count < FEW:
            yield f"class {name}: has few train rows: {count:,}"
        if not test[name]:
            yield f"class {name}: has no test rows"
    largest, count = max(train.items(), key=lambda item: item[1])
    if count > 0.8 * sum(train.values()):
        yield f"class {largest}: has {count / sum(train.values()):.0%} of the train rows"


def _order(name: str) -> tuple[float, str]:
    number = re.fullmatch(r"-?\d{1,15}(\.\d+)?", name)
    return (float(name) if number else float("inf"), name)


def _where(rows: Rows, frame: pl.LazyFrame) -> tuple[int, str] | None:
    """The number of rows and the lines of the first of them; None if there are none."""
    count, first = _collect(rows, frame.select(pl.len(), pl.col(LINE).head(_EXAMPLES).implode())).row(0)
    more = ", ..." if count > _EXAMPLES else ""
    return (count, f"{rows.unit} {', '.join(map(str, first))}{more}") if count else None


def _collect(rows: Rows, frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise CrepeError(rows.path, f"cannot be read: {error}") from error
