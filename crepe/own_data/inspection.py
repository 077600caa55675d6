"""What a table of texts holds: which columns are the label and the texts, its classes, and what is odd about it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from crepe.errors import CrepeError
from crepe.own_data.tabular import LINE, Table

FEW = 10
"""Rows of a class, below which it is said to have few."""
LENGTH = 1014
"""Bytes of a text that the paper's character models see."""

_LABELS = {"label", "labels", "class", "category", "target", "sentiment", "topic"}
_CLASSES = 1000
"""Most values of a column that is taken for the label without being told."""
_WORDS = r"\p{L}\S*\s+\S*\p{L}"
_EXAMPLES = 3
"""Lines that are named where something is odd."""

LABEL, TEXT = "label", "text"
"""Columns of `rows`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What of a table is used."""

    label: str
    texts: list[str]

    @property
    def name(self) -> pl.Expr:
        """A row's class, white space made even; null if it has none."""
        text = pl.col(self.label).str.replace_all(r"\s+", " ").str.strip_chars(" ")
        return pl.when(text != "").then(text).alias(LABEL)

    @property
    def text(self) -> pl.Expr:
        """A row's texts in one."""
        return pl.concat_str([pl.col(name).fill_null("") for name in self.texts], separator="\n").alias(TEXT)


def choose(table: Table, label: str | None, texts: list[str]) -> Columns:
    """The columns that are named, and for those that are not the ones that look like it.

    Raises:
        CrepeError: there is no such column, or none or several look like it.
    """
    for name in filter(None, [label, *texts]):
        if name not in table.names:
            raise CrepeError(f"{table.path}: has no column {name!r}; it has {', '.join(table.names)}")
    if len(set(texts)) < len(texts) or label in texts:
        raise CrepeError("--label, --text: a column is named twice")
    values = {name: pl.col(name).drop_nulls() for name in table.names}
    figures = {
        "kinds": {name: value.approx_n_unique() for name, value in values.items()},
        "letters": {name: value.str.len_chars().mean() for name, value in values.items()},
        "words": {name: value.str.contains(_WORDS).mean() for name, value in values.items()},
    }
    flat = [value.alias(f"{what} {name}") for what, part in figures.items() for name, value in part.items()]
    found = _collect(table, table.scan().select(pl.len().alias(LINE), *flat)).row(0, named=True)

    def figure(what: str, name: str) -> float:
        return float(found[f"{what} {name}"] or 0)

    if label is None:
        most = max(2, min(_CLASSES, found[LINE] // 5))
        few = [name for name in table.names if name not in texts and 2 <= figure("kinds", name) <= most]
        named = [name for name in few if name.strip().casefold() in _LABELS]
        candidates = named if len(named) == 1 else [name for name in few if figure("letters", name) <= 60]
        if len(candidates) != 1:
            listed = ", ".join(f"{name} ({figure('kinds', name):.0f} values)" for name in candidates or table.names)
            raise CrepeError(f"{table.path}: which column is the label cannot be told; name it by --label: {listed}")
        (label,) = candidates
    if not texts:
        texts = [name for name in table.names if name != label and figure("words", name) >= 0.5]
        if not 1 <= len(texts) <= 3:
            why = "which columns are the texts cannot be told" if not texts else "has more than three columns of text"
            listed = ", ".join(name for name in table.names if name != label)
            raise CrepeError(f"{table.path}: {why}; name one to three by --text: {listed}")
    if len(texts) > 3:
        raise CrepeError("--text: names more than three columns")
    return Columns(label, texts)


def rows(table: Table, columns: Columns) -> pl.LazyFrame:
    """`LABEL`, `TEXT` and `LINE` of each row that has a class."""
    return table.scan().select(columns.name, columns.text, LINE).drop_nulls(LABEL)


def classes(table: Table, columns: Columns) -> dict[str, int]:
    """Rows of each class, in the order of the names; numbers are in theirs.

    Raises:
        CrepeError: a text holds what the archive's format cannot.
    """
    nul = _where(table, rows(table, columns).filter(pl.col(TEXT).str.contains("\0", literal=True)))
    if nul:
        raise CrepeError(f"{table.path}: {nul[1]}: holds a NUL byte; take it out")
    found = _collect(table, rows(table, columns).group_by(LABEL).len())
    return dict(sorted(zip(found[LABEL], found["len"], strict=True), key=lambda item: _order(item[0])))


def oddities(table: Table, columns: Columns) -> Iterator[str]:
    """What there is to say of a table."""
    all_ = rows(table, columns)
    text = pl.col(TEXT)
    for what, frame in {
        "rows without a label, left out": table.scan().select(columns.name, LINE).filter(pl.col(LABEL).is_null()),
        "rows without text": all_.filter(text.str.strip_chars() == ""),
        r"texts with the two characters \n, now a line end": all_.filter(text.str.contains(r"\n", literal=True)),
    }.items():
        found = _where(table, frame)
        if found:
            yield f"{table.path}: {what}: {found[0]:,} ({found[1]})"
    same = all_.group_by(text.hash()).agg(pl.len(), pl.col(LABEL).n_unique().alias("labels"))
    sums = same.select(pl.col("len").sum(), (pl.col("len") - 1).sum().alias("again"), (pl.col("labels") > 1).sum())
    total, again, contradicting = _collect(table, sums).row(0)
    if again:
        yield f"{table.path}: rows with a text that stood before: {again:,} of {total:,}"
    if contradicting:
        yield f"{table.path}: texts that stand there with different labels: {contradicting:,}"
    bytes_ = text.str.len_bytes()
    figures = {
        "middle": bytes_.median(),
        "longest": bytes_.max(),
        "beyond": (bytes_ > LENGTH).sum(),
        "foreign": text.str.count_matches(r"[^\x00-\x7F]").sum() / text.str.len_chars().sum(),
    }
    middle, longest, beyond, foreign = _collect(table, all_.select(**figures)).row(0)
    if beyond:
        yield (
            f"{table.path}: texts of more than the {LENGTH:,} bytes that the paper's character models see: "
            f"{beyond:,} of {total:,} (median {middle:,.0f}, longest {longest:,})"
        )
    if foreign > 0.1:
        yield f"{table.path}: {foreign:.0%} of the characters are in no alphabet of the paper's; take models of words"


def shared(train: Table, test: Table, columns: Columns) -> Iterator[str]:
    """Test rows whose text is a train row's, too."""
    hashes = (rows(table, columns).select(pl.col(TEXT).hash()) for table in (train, test))
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


def _where(table: Table, frame: pl.LazyFrame) -> tuple[int, str] | None:
    """How many rows there are, and where the first of them begin; None if there are none."""
    count, first = _collect(table, frame.select(pl.len(), pl.col(LINE).head(_EXAMPLES).implode())).row(0)
    more = ", ..." if count > _EXAMPLES else ""
    return (count, f"{table.unit} {', '.join(map(str, first))}{more}") if count else None


def _collect(table: Table, frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise CrepeError(f"{table.path}: cannot be read: {error}") from error
