"""Archives, a thesaurus and word vectors of the real numbers of rows, fields, classes, lengths and words, made up.

    python -m tests.support.made_up --scale 0.01 --folder rehearsal
    python -m tests.support.made_up --statistics > tests/support/made_up.json

The same seed and scale make the same bytes. Lengths of texts, frequencies of words and marks are those of genuine rows:
`made_up.json` has them, as numbers only, and `--statistics` makes it anew where `../shared/data2` has such rows. Words
are syllables. Frequent groups of words come again, as in genuine texts, so that as many n-grams differ. A twentieth of
the words tells the class.

There are no genuine rows of Sogou's news at hand, few of Yelp Review Polarity, and none of Yahoo! with a question's
text: `ASSUMED` has figures for these. Datasets are written some rows at a time, in a few hundred megabytes of memory.
"""

import argparse
import gzip
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from crepe.config import load
from crepe.config.catalog import Dataset
from crepe.io.files import replacing
from crepe.text import tokens
from tests.support.paths import SHARED

TABLE = Path(__file__).with_suffix(".json")
GENUINE = SHARED / "data2"
QUANTILES = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)
RANKS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
MARKS = {"comma": ",", "dot": r"\.", "quotes": '"', "newlines": r"\\n", "capitals": r"\b[A-Z]"}
ASSUMED: dict[str, dict[str, Any]] = {
    # Pinyin: a syllable with its tone is a word, of which there are some 1,300, besides numbers and names.
    "sogou_news": {
        "fields": [
            {"empty": 0.0, "words": [1, 4, 7, 9, 13, 18, 22, 26, 29, 35, 60]},
            {"empty": 0.02, "words": [1, 16, 48, 80, 168, 320, 552, 920, 1_320, 2_400, 9_600]},
        ],
        "shares": [0.03, 0.06, 0.13, 0.25, 0.48, 0.78, 0.95, 0.975, 0.985],
        "growth": [100_000, 3_000, 0.4],
        "marks": {"comma": 0.05, "dot": 0.03, "quotes": 0.004, "newlines": 0.02, "capitals": 0.0},
    },
    "yahoo_answers": {"empty": [0.0, 0.45, 0.02], "like": [0, 2, 2]},
    "yelp_review_polarity": {"as": "yelp_review_full"},
}
PINYIN = {"sogou_news"}

TOKENS = 3_000_000
"""Words that are made at a time, about."""
PHRASES, LONGEST, SHARE = 1_000_000, 4, 0.35
"""Groups of words that come again, the most words of one, and their share of all draws."""
TOPIC, TOPIC_WORDS = 0.05, 40
"""Share of words that tell the class, and how many such words a class has."""
ENTRIES = 80_000
"""Words with synonyms."""
VECTORS, SIZE = 3_000_000, 300
LEVEL = 1
"""Level of compression: the archives are made once, and unpacking takes as long for any."""


# --- Statistics of genuine rows


def statistics() -> dict[str, Any]:
    """Measure the genuine rows, with what is assumed of others."""
    index = json.loads((GENUINE / "index.json").read_text())
    found = {key: measured(rows(GENUINE / entry["file"])) for key, entry in sorted(index.items())}
    for key, change in ASSUMED.items():
        if "as" in change:
            found[key] = found[change["as"]]
        elif "like" in change:
            fields = [found[key]["fields"][like] for like in change["like"]]
            found[key]["fields"] = [
                {**field, "empty": empty} for field, empty in zip(fields, change["empty"], strict=True)
            ]
        else:
            found[key] = change
    return found


def rows(archive: Path) -> pl.DataFrame:
    """The fields of both splits of an archive."""
    with tarfile.open(archive) as tar:
        parts = [
            pl.read_csv(io.BytesIO(file.read()), has_header=False, infer_schema=False)
            for member in tar
            if member.name.endswith(".csv") and (file := tar.extractfile(member))
        ]
    # Behind the label.
    return pl.concat(parts).fill_null("")[:, 1:]


def measured(texts: pl.DataFrame) -> dict[str, Any]:
    """Lengths of fields in words, shares of the most frequent words, growth of the vocabulary, marks for each word."""
    fields = []
    for name in texts.columns:
        count = texts[name].str.to_lowercase().str.extract_all(tokens.WORD).list.len()
        full = count.filter(count > 0).to_numpy()
        quantiles = np.quantile(full, QUANTILES) if len(full) else np.zeros(len(QUANTILES))
        fields.append({"empty": round(float((count == 0).mean()), 3), "words": [int(value) for value in quantiles]})  # type: ignore[arg-type]
    words = texts.select(tokens.tokens(texts.columns).alias("words"))["words"].explode().drop_nulls()
    counts = words.value_counts(sort=True)["count"].to_numpy()
    total, types = int(counts.sum()), len(counts)
    growth = np.log(types / words[: total // 10].n_unique()) / np.log(10)
    whole = texts.select(pl.concat_str(texts.columns, separator=" "))[:, 0]
    marks = {name: round(int(whole.str.count_matches(pattern).sum()) / total, 4) for name, pattern in MARKS.items()}
    return {
        "fields": fields,
        "shares": [round(float(counts[:rank].sum() / total), 3) for rank in RANKS],
        # Words, different ones among them, and the power by which these grow.
        "growth": [total, types, round(float(growth), 3)],
        "marks": marks,
    }


# --- Words


def joined(*parts: Any) -> pa.LargeStringArray:
    """Texts of parts, each a text or an array of texts."""
    kind = pa.large_string()
    columns = [pa.scalar(part, kind) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar("", kind))


@cache
def words(count: int, pinyin: bool = False) -> pa.LargeStringArray:
    """Made-up words by rank, all different: frequent ones are short, and some have a letter outside ASCII."""
    rank = np.arange(count)
    first, vowels = [*"bcdfghjklmnprstvwz", "ch", "sh"], "aeiou"
    syllables = pa.array([start + vowel for start in first for vowel in vowels], pa.large_string())
    tails = pa.array(["", "n", "s", "nd", "r", "ng", "ts", "st"], pa.large_string())
    base = len(syllables)
    # Words of one, two, three and four syllables, each with a tail: no two can be spelled alike.
    parts, start = [], 0
    for number in range(1, 5):
        size = base**number * len(tails)
        here = rank[start : start + size] - start
        start += size
        if not len(here):
            break
        # Neighbours in rank shall not look alike: a multiplier without a common factor permutes them.
        here = here * 7919 % size
        columns = []
        rest = here // len(tails)
        for _ in range(number):
            columns.append(syllables.take(pa.array(rest % base)))
            rest = rest // base
        parts.append(joined(*columns, tails.take(pa.array(here % len(tails)))))
    found = pa.concat_arrays(parts)
    accents = pa.array(rank % 40 == 39) if not pinyin else pa.array(rank < 0)
    found = pc.if_else(accents, joined(found, "é"), found)
    if pinyin:
        tones = pa.array(["1", "2", "3", "4"], pa.large_string()).take(pa.array(rank % 4))
        found = joined(found, tones)
    return found


@dataclass(frozen=True, slots=True)
class Language:
    """The words of a dataset, with marks, and how often each is drawn."""

    spelled: pa.LargeStringArray
    """Each word as it is, then each with the first mark, and so on."""
    types: int
    cumulated: np.ndarray
    """float64 [types]: share of words up to each rank."""
    marked: np.ndarray
    """float64 [marks]: share of words up to each mark."""
    phrases: np.ndarray
    """int32 [phrases, LONGEST], ranks of words, -1 behind the last."""

    @classmethod
    def of(cls, found: dict[str, Any], total: int, pinyin: bool, seed: int) -> "Language":
        """The language of a dataset with so many words."""
        measured, seen, power = found["growth"]
        types = max(2 * RANKS[-1], int(seen * (total / measured) ** power))
        weights, before, last = np.empty(types), 0, 0.0
        for rank, share in zip((*RANKS, types), (*found["shares"], 1.0), strict=True):
            # Shares fall as 1 / rank, those of rare words faster.
            piece = np.arange(before + 1, rank + 1) ** (-1.0 if rank < types else -1.5)
            weights[before:rank] = piece / piece.sum() * (share - last)
            before, last = rank, share
        cumulated = np.cumsum(weights)
        plain, marks = words(types, pinyin), found["marks"]
        spelled = [
            plain,
            joined(plain, ","),
            joined(plain, "."),
            joined('""', plain),
            joined(plain, '""'),
            joined(plain, r"\n"),
            pc.utf8_capitalize(plain),
        ]
        shares = np.array(
            [
                marks["comma"],
                marks["dot"],
                marks["quotes"] / 2,
                marks["quotes"] / 2,
                marks["newlines"],
                marks["capitals"],
            ]
        )
        chance = np.random.default_rng([seed, 1])
        lengths = chance.integers(2, LONGEST + 1, PHRASES)
        phrases = np.searchsorted(cumulated, chance.random((PHRASES, LONGEST))).astype(np.int32)
        phrases[np.arange(LONGEST) >= lengths[:, None]] = -1
        return cls(
            pa.concat_arrays(spelled),
            types,
            cumulated,
            np.cumsum([1 - shares.sum(), *shares]),
            np.minimum(phrases, types - 1),
        )

    def draw(self, count: int, chance: np.random.Generator) -> np.ndarray:
        """Ranks of so many words, int32."""
        units = int(count / (1 + SHARE * (LONGEST / 2)) * 1.1) + 10
        block = np.full((units, LONGEST), -1, np.int32)
        group = chance.random(units) < SHARE
        single = np.searchsorted(self.cumulated, chance.random(units - int(group.sum()))).astype(np.int32)
        block[~group, 0] = np.minimum(single, self.types - 1)
        # Shares fall as 1 / rank.
        block[group] = self.phrases[(PHRASES ** chance.random(int(group.sum()))).astype(np.int64) - 1]
        flat = block[block >= 0]
        return flat[:count] if len(flat) >= count else np.concatenate([flat, self.draw(count - len(flat), chance)])

    def text(self, counts: np.ndarray, label: np.ndarray, chance: np.random.Generator) -> pa.LargeStringArray:
        """Texts of so many words each, of these classes."""
        total = int(counts.sum())
        rank = self.draw(total, chance)
        tells = chance.random(total) < TOPIC
        of = np.repeat(label, counts)[tells]
        rank[tells] = RANKS[5] + of * TOPIC_WORDS + chance.integers(TOPIC_WORDS, size=len(of))
        mark = np.minimum(np.searchsorted(self.marked, chance.random(total)), len(self.marked) - 1)
        spelled = self.spelled.take(pa.array(rank + mark * self.types))
        offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int64())
        return pc.binary_join(pa.LargeListArray.from_arrays(offsets, spelled), pa.scalar(" ", pa.large_string()))


# --- Datasets


def scaled(count: int, scale: float, least: int) -> int:
    """So much of a number, but not less than `least`."""
    return max(least, round(count * scale))


def sizes(dataset: Dataset, scale: float) -> dict[str, int]:
    """Rows of both splits of a scaled dataset."""
    return {
        "train": scaled(dataset.train_rows, scale, 20 * dataset.classes),
        "test": scaled(dataset.test_rows, scale, 10 * dataset.classes),
    }


def csv(key: str, dataset: Dataset, split: str, scale: float, seed: int, language: Language) -> Iterator[pa.Buffer]:
    """Yield the lines of a CSV file, some thousand rows at a time."""
    fields, total = _table()[key]["fields"], sizes(dataset, scale)[split]
    at_once = max(1, int(TOKENS / sum(_mean(field) for field in fields)))
    for number, start in enumerate(range(0, total, at_once)):
        chance = np.random.default_rng([seed, *key.encode(), split == "train", number])
        here = min(at_once, total - start)
        # As many rows of each class.
        label = chance.permutation(np.arange(start, start + here) % dataset.classes)
        columns: list[Any] = ['"', pa.array((label + 1).astype(str), pa.large_string())]
        for field in fields:
            counts = np.interp(chance.random(here), QUANTILES, field["words"]).astype(np.int64)
            counts[chance.random(here) < field["empty"]] = 0
            columns += ['","', language.text(counts, label, chance)]
        lines = joined(*columns, '"\n')
        yield lines.buffers()[2]


def archive(path: Path, key: str, dataset: Dataset, scale: float, seed: int) -> None:
    """Write the archive of a dataset, whole or not at all."""
    found = _table()[key]
    count = sizes(dataset, scale)
    total = int(sum(count.values()) * sum(_mean(field) for field in found["fields"]))
    language = Language.of(found, total, key in PINYIN, seed)
    with (
        replacing(path) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0, compresslevel=LEVEL) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
        tempfile.TemporaryFile(dir=path.parent) as file,
    ):
        for split in count:
            file.seek(0)
            file.truncate()
            for buffer in csv(key, dataset, split, scale, seed, language):
                file.write(buffer)
            entry = tarfile.TarInfo(f"{key}_csv/{split}.csv")
            entry.size = file.tell()
            file.seek(0)
            tar.addfile(entry, file)
        names = "".join(f"class {number}\n" for number in range(1, dataset.classes + 1)).encode()
        entry = tarfile.TarInfo(f"{key}_csv/classes.txt")
        entry.size = len(names)
        tar.addfile(entry, io.BytesIO(names))


def thesaurus(path: Path, seed: int) -> None:
    """Write a thesaurus in mytheas format: of the frequent words, two in three have synonyms."""
    chance = np.random.default_rng([seed, 2])
    known = np.array(words(2 * ENTRIES).to_pylist(), dtype=object)
    ranks = np.sort(chance.choice(np.arange(30, len(known)), ENTRIES, replace=False, p=_falling(len(known) - 30)))
    lines = ["UTF-8"]
    for rank, number in zip(ranks, chance.geometric(0.3, len(ranks)), strict=True):
        synonyms = known[chance.integers(len(known), size=number)]
        lines += [f"{known[rank]}|1", "|".join(["(noun)", *synonyms])]
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _falling(count: int) -> np.ndarray:
    weights = 1 / (1_000 + np.arange(count))
    return np.asarray(weights / weights.sum())


def vectors(path: Path, scale: float, seed: int) -> None:
    """Write published word vectors, compressed: of words in small letters, in capitals, of two parts, and of Pinyin."""
    count = scaled(VECTORS, scale, 1_000)
    plain = words(-(-count // 3))
    foreign = words(min(1_000, count // 50), pinyin=True)
    chance, at_once = np.random.default_rng([seed, 3]), 20_000
    names = pa.concat_arrays(
        [
            foreign,
            plain,
            pc.utf8_capitalize(plain),
            joined(plain, "_", plain.take(pa.array(np.arange(len(plain))[::-1]))),
        ]
    )[:count]
    with replacing(path) as temporary, gzip.GzipFile(temporary, "wb", compresslevel=LEVEL, mtime=0) as packed:
        packed.write(f"{count} {SIZE}\n".encode())
        for start in range(0, count, at_once):
            some = names[start : start + at_once].to_pylist()
            table = chance.normal(0, 0.1, (len(some), SIZE)).astype("<f4")
            # As published ones, which were shortened: half of a number's bits are zero.
            content = (table.view("<u4") & 0xFFFF0000).tobytes()
            size = 4 * SIZE
            packed.write(
                b"".join(
                    name.encode() + b" " + content[place * size : (place + 1) * size] for place, name in enumerate(some)
                )
            )


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def _mean(field: dict[str, Any]) -> float:
    """Mean number of words of a field."""
    found = field["words"]
    steps = [
        (second - first) * (low + high) / 2
        for first, second, low, high in zip(QUANTILES, QUANTILES[1:], found, found[1:], strict=False)
    ]
    return float((1 - field["empty"]) * sum(steps))


# --- All of them


def make(folder: Path, scale: float, seed: int = 0, datasets: tuple[str, ...] = ()) -> dict[str, Path]:
    """Make every file that is not there yet.

    Args:
        folder: the folder of the files.
        scale: share of the real numbers of rows and vectors.
        seed: seed of all draws.
        datasets: keys; all of the paper's if empty.

    Returns:
        The files, by the key of a dataset, a thesaurus or vectors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = load()
    found = {key: folder / f"{key}.tgz" for key in datasets or config.datasets}
    for key, path in found.items():
        if not path.exists():
            _tell(path)
            archive(path, key, config.dataset(key), scale, seed)
    found["th_en_US_v2"] = folder / "thesaurus.dat"
    if not found["th_en_US_v2"].exists():
        _tell(found["th_en_US_v2"])
        thesaurus(found["th_en_US_v2"], seed)
    found["google-news"] = folder / "vectors.bin.gz"
    if not found["google-news"].exists():
        _tell(found["google-news"])
        vectors(found["google-news"], scale, seed)
    return found


def _tell(path: Path) -> None:
    print(f"making {path}", file=sys.stderr)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the real numbers of rows (default: 1)")
    parser.add_argument("--folder", type=Path, default=Path("rehearsal"), help="folder of the files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--datasets", nargs="*", default=[], help="some of the paper's; default: all")
    parser.add_argument("--statistics", action="store_true", help="print the statistics of genuine rows")
    options = parser.parse_args()
    if options.statistics:
        print(json.dumps(statistics(), indent=1))
    else:
        make(options.folder, options.scale, options.seed, tuple(options.datasets))


if __name__ == "__main__":
    main()
