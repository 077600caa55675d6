"""Texts with synonyms in them: held against editing the text as a string and encoding it then."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe.config import Config
from crepe.config.catalog import Thesaurus
from crepe.data import encode, shards
from crepe.data.shards import Manifest
from crepe.errors import CrepeError
from crepe.evaluation.evaluate import evaluate
from crepe.evaluation.prediction import predict
from crepe.features import characters as character_feature
from crepe.features import words as word_feature
from crepe.io.files import digest
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Split
from crepe.text import alphabet, thesaurus, tokens
from crepe.training import augmentation as augment
from crepe.training.augmentation import Augmented, choose, geometric, read_train
from crepe.training.loop import Training, fit
from crepe.training.sampler import Sampler
from crepe.training.train import train
from crepe.training.tune import tune
from tests.support.paths import contents
from tests.support.shards import Tiny, sgd
from tests.support.texts import cleaned
from tests.support.trainings import assert_a_cut_changes_nothing

CPU = torch.device("cpu")

THESAURUS = """\
UTF-8
good|2
(adj)|full|estimable|bad (antonym)
(noun)|goodness|well-being|good will
dog|1
(noun)|Canis familiaris|frump|domestic dog
king|1
(noun)|male monarch|Rex|the good king
élan|1
(noun)|dash|éclat|ardor
0|1
(noun)|zero|nought
кот|1
(noun)|кошка|cat
"""
# With a Kelvin sign, a ligature, letters that small ones make longer, and blanks and points of all sorts.
WORDS = ["good", "Good", "GOOD", "dog", "Dog", "king", "\u212aing", "élan", "Élan", "0", "кот", "Кот", "the", "a", "İ"]
WORDS += ["ﬁ", "Σ", "世界", "café", "x_y"]
GAPS = [" ", " ", " ", ", ", "-", ".", "\n", "\u00a0", "\u2019", "\u3000", "", "µ", "“"]


@st.composite
def texts(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), max_size=12))
    return draw(st.sampled_from(GAPS)) + "".join(word + gap for word, gap in parts)


ROWS = st.lists(st.tuples(st.integers(1, 2), texts(), texts()), min_size=1, max_size=8)


def characters(name: str = "crepe", length: int = 1014) -> character_feature.Settings:
    return character_feature.Settings(alphabet=name, max_length=length)


def words(length: int | None = None) -> word_feature.Settings:
    return word_feature.Settings(vocab_size=12, max_length=length)


Augmentable = character_feature.Settings | word_feature.Settings
FEATURES: list[Augmentable] = [
    characters(),
    characters("paper", 40),
    characters("full"),
    characters("full", 25),
    words(),
    words(6),
]


def encoded(
    folder: Path, rows: Sequence[tuple[int, str, str]], feature: Augmentable, thesaurus: str | None = THESAURUS
) -> Path:
    """Shards of the rows, with two more so that there are two classes."""
    path = folder / "th.dat"
    folder.mkdir(exist_ok=True)
    path.write_text(thesaurus or "", encoding="utf-8")
    feature = replace(feature, thesaurus="th" if thesaurus else None)
    clean = cleaned(folder, [*rows, (1, "a", ""), (2, "b", "")])
    encode.encode("toys", "feature", feature, clean, folder / "shards", path)
    return folder / "shards"


def fields(folder: Path) -> list[tuple[str, ...]]:
    """The clean train rows beside the shards."""
    return [row[1:] for row in pl.read_parquet(folder.parent / "clean/train.parquet").rows()]


class Reference:
    """Spots and edited texts as plain Python finds them."""

    def __init__(self, folder: Path, feature: Augmentable) -> None:
        self.feature, self.entries = feature, thesaurus.read(folder.parent / "th.dat")
        self.keys = list(self.entries)
        self.words = feature.kind == "words"
        self.alphabet = feature.alphabet if isinstance(feature, character_feature.Settings) else ""
        if self.words:
            vocabulary = pl.read_parquet(folder / "vocabulary.parquet")["word"]
            self.vocabulary = {word: index for index, word in enumerate(vocabulary, 1)}

    def text(self, row: Sequence[str]) -> str:
        return " ".join(row).lower() if self.words else " ".join(reversed(row))

    def found(self, row: Sequence[str]) -> list[regex.Match[str]]:
        """The replaceable words of a row in the order of its integers."""
        if self.words:
            return [found for found in regex.finditer(tokens.WORD, self.text(row)) if found[0] in self.entries]
        pieces = regex.finditer(tokens.PIECE, self.text(row))
        found = [piece for piece in pieces if piece[0].lower() in self.entries]
        return [piece for piece in found if len(piece[0].encode()) == len(piece[0].lower().encode())][::-1]

    def spots(self, row: Sequence[str]) -> list[list[int]]:
        """Start and entry of each."""
        text, spots = self.text(row), []
        for word in self.found(row):
            entry = self.keys.index(word[0].lower())
            if self.words:
                start = len(tokens.tokenize(text[: word.start()]))
            else:
                start = len(text[word.end() :].encode())
                entry += len(self.keys) * (self.alphabet == "full" and "A" <= word[0][0] <= "Z")
            spots.append([start, entry])
        return spots

    def edited(self, row: Sequence[str], replaced: dict[int, int]) -> list[int]:
        """The integers of the row with a synonym of a rank in place of some of its replaceable words."""
        text = self.text(row)
        places = [(word.start(), word.end(), word[0], replaced.get(i)) for i, word in enumerate(self.found(row))]
        for start, end, word, rank in sorted(places, reverse=True):
            if rank is not None:
                synonym = self.entries[word.lower()][rank]
                if self.alphabet == "full" and "A" <= word[0] <= "Z":
                    synonym = synonym[0].upper() + synonym[1:]
                text = text[:start] + synonym + text[end:]
        if self.words:
            return tokens.quantize(text, self.vocabulary, self.feature.max_length).tolist()
        return alphabet.quantize(text, self.alphabet, self.feature.max_length).tolist()


def listed(batch) -> list[list[int]]:
    """A batch's rows without the zeros at their ends."""
    rows = [batch.values[start : start + size] for start, size in zip(batch.starts, batch.lengths, strict=True)]
    return [np.trim_zeros(row.numpy(), "b").tolist() for row in rows]


# --- Against plain Python


@pytest.mark.parametrize("feature", FEATURES)
@settings(max_examples=15)
@given(ROWS)
def test_spots_are_the_words_with_synonyms(tmp_path_factory, feature: Augmentable, rows) -> None:
    folder = encoded(tmp_path_factory.mktemp("spots"), rows, feature)
    reference = Reference(folder, feature)
    found = shards.read(folder, "spots")
    assert found.values.dtype == np.int32
    assert [row.reshape(-1, 2).tolist() for row in found] == [reference.spots(row) for row in fields(folder)]
    # Whole, whatever the length.
    whole = shards.read(folder, "train")
    sizes = [len(tokens.tokenize(row) if reference.words else " ".join(row).encode()) for row in fields(folder)]
    assert whole.lengths.tolist() == sizes


@pytest.mark.parametrize("feature", FEATURES)
@settings(max_examples=15)
@given(ROWS, st.integers(0, 2**31), st.integers(0, 10**6))
def test_a_drawn_row_is_the_edited_text(tmp_path_factory, feature: Augmentable, rows, seed: int, number: int) -> None:
    folder = encoded(tmp_path_factory.mktemp("drawn"), rows, feature)
    split = read_train(folder, Manifest.read(folder), CPU)
    reference, texts = Reference(folder, feature), fields(folder)
    # Each row several times over, so that many words of one are replaced now and then.
    chosen = np.random.default_rng(number).integers(len(texts), size=60)
    batch = split.drawn(chosen, seed, number)

    counts = np.array([len(reference.found(texts[row])) for row in chosen])
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, 2**63 + number], np.uint64)))
    places, spots = choose(generator, np.zeros(len(counts), np.int64), counts)
    keys = [reference.found(texts[chosen[place]])[spot][0].lower() for place, spot in zip(places, spots, strict=True)]
    ranks = geometric(generator, 0.5, np.array([len(reference.entries[key]) - 1 for key in keys], np.int64))
    replaced: list[dict[int, int]] = [{} for _ in chosen]
    for place, spot, rank in zip(places.tolist(), spots.tolist(), ranks.tolist(), strict=True):
        replaced[place][spot] = rank

    labels = shards.read(folder, "train").labels[chosen]
    expected = [
        (reference.edited(texts[row], how), int(label))
        for row, how, label in zip(chosen, replaced, labels, strict=True)
    ]
    assert sorted(zip(listed(batch), batch.labels.tolist(), strict=True)) == sorted(expected)
    assert all(one <= other for one, other in pairwise(batch.lengths.tolist()))
    assert batch.values.dtype == (torch.int32 if reference.words else torch.uint8)
    if feature.max_length:
        assert batch.lengths.max() <= feature.max_length


def test_a_long_text_is_edited_before_it_is_cut(tmp_path: Path) -> None:
    folder = encoded(tmp_path, [(1, "good", "x" * 2000)], characters(length=20), "UTF-8\ngood|1\n(adj)|ok\n")
    split = read_train(folder, Manifest.read(folder), CPU)
    found = {tuple(listed(split.drawn(np.array([0]), 0, number))[0]) for number in range(20)}
    expected = ["x" * 15 + " good", "x" * 17 + " ok"]
    assert found == {tuple(alphabet.quantize(text).tolist()) for text in expected}


# --- What is drawn


def fits(observed: np.ndarray, shares: np.ndarray) -> bool:
    """Whether counts are what one gets of these shares, by chi-square: once in a thousand times they are not."""
    expected = observed.sum() * shares / shares.sum()
    degrees = len(shares) - 1
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return statistic < degrees + 3.1 * (2 * degrees) ** 0.5 + 5


@pytest.mark.parametrize("most", [0, 1, 2, 7])
def test_numbers_are_geometric(most: int) -> None:
    found = geometric(np.random.default_rng(1), 0.5, np.full(20_000, most))
    assert fits(np.bincount(found, minlength=most + 1), 0.5 ** np.arange(most + 1.0))


def test_extreme_numbers_stay_within_bounds() -> None:
    class Extreme(np.random.Generator):
        def random(self, shape):  # type: ignore[override]
            return np.resize([0.0, 1 - 2**-53], shape)

    most = np.repeat(np.arange(70), 2)
    found = geometric(Extreme(np.random.PCG64()), 0.5, most)
    assert (found[::2] == 0).all()
    assert (found[1:80:2] == np.arange(40)).all()
    assert (found[1::2] <= np.arange(70)).all()


def test_how_many_and_which_words_are_replaced() -> None:
    first, counts = np.array([10, 20, 30, 30]), np.array([0, 3, 0, 5])
    generator = np.random.default_rng(2)
    replaced: dict[int, list[int]] = {1: [], 3: []}
    which: dict[int, list[Any]] = {1: [], 3: []}
    pairs = []
    for _ in range(6000):
        texts, numbers = choose(generator, first, counts)
        assert set(texts.tolist()) <= {1, 3}
        for text in (1, 3):
            chosen = numbers[texts == text] - first[text]
            assert (np.diff(chosen) > 0).all()
            replaced[text].append(len(chosen))
            which[text] += chosen.tolist()
            if text == 3 and len(chosen) == 2:
                pairs.append(int(chosen[0] * 5 + chosen[1]))
    for text in (1, 3):
        assert fits(np.bincount(replaced[text], minlength=counts[text] + 1), 0.5 ** np.arange(counts[text] + 1.0))
        assert fits(np.bincount(which[text], minlength=counts[text]), np.ones(counts[text]))
    assert fits(np.unique(pairs, return_counts=True)[1], np.ones(10))


def test_synonyms_are_drawn_by_rank(tmp_path: Path) -> None:
    folder = encoded(tmp_path, [(1, "good", "")], characters())
    split = read_train(folder, Manifest.read(folder), CPU)
    found = [tuple(row) for number in range(40) for row in listed(split.drawn(np.zeros(128, np.int64), 3, number))]
    synonyms = ["good", *thesaurus.read(tmp_path / "th.dat")["good"]]
    counts = [found.count(tuple(alphabet.quantize([word, ""]).tolist())) for word in synonyms]
    assert sum(counts) == len(found)
    # The one word is left in two cases of three.
    ranks = 0.5 ** np.arange(len(synonyms) - 1.0)
    assert fits(np.array(counts), np.append(2, ranks / ranks.sum()))


def test_a_minibatch_is_a_function_of_seed_and_number(tmp_path: Path) -> None:
    folder = encoded(tmp_path, [(1, "good good good", "dog 0")], characters())
    split, again = (read_train(folder, Manifest.read(folder), CPU) for _ in range(2))
    rows = np.zeros(64, np.int64)
    one = split.drawn(rows, 5, 7)
    split.drawn(rows, 5, 8)
    assert torch.equal(one.values, split.drawn(rows, 5, 7).values)
    assert torch.equal(one.values, again.drawn(rows, 5, 7).values)
    # Neighbouring numbers as well: 2^63 + 7 is not a float64.
    drawn = [split.drawn(rows, seed, number).values.tolist() for seed in (0, 1, 5) for number in range(6, 9)]
    assert len({tuple(values) for values in drawn}) == 9


# --- What stays as it is


@settings(max_examples=3)
@given(ROWS)
def test_rows_without_replaceable_words_are_those_of_the_feature_without_a_thesaurus(tmp_path_factory, rows) -> None:
    plain, augmented = (tmp_path_factory.mktemp(name) for name in ("plain", "augmented"))
    for feature in FEATURES:
        before = shards.read(encoded(plain, rows, feature, None), "train")
        folder = encoded(augmented, rows, feature, "UTF-8\nzyzzyva|1\n(noun)|weevil\n")
        batch = read_train(folder, Manifest.read(folder), CPU).drawn(np.arange(len(before)), 0, 0)
        assert sorted(listed(batch)) == sorted(row.tolist() for row in before)


@pytest.mark.parametrize("feature", FEATURES)
def test_test_rows_and_all_that_is_not_drawn_stay_as_they_are(tmp_path: Path, feature: Augmentable) -> None:
    rows = [(1, "Good dog", "the king is good " * 30), (2, "élan", ""), (1, "", "0 0")]
    before = encoded(tmp_path / "plain", rows, feature, None)
    after = encoded(tmp_path / "augmented", rows, feature)
    assert (before / "test-00000-of-00001.arrow").read_bytes() == (after / "test-00000-of-00001.arrow").read_bytes()
    split = read_train(after, Manifest.read(after), CPU)
    train = shards.read(before, "train")
    assert sorted(listed(split.batch(np.arange(5)))) == sorted(row.tolist() for row in train)
    # So do the rows that are held out of a train set, and the others are drawn as they would be in the whole.
    part = split.part(np.array([3, 0]))
    assert sorted(listed(part.batch(np.arange(2)))) == sorted([train[3].tolist(), train[0].tolist()])
    assert listed(part.drawn(np.array([1, 1]), 0, 5)) == listed(split.drawn(np.array([0, 0]), 0, 5))


def test_a_feature_without_a_thesaurus_is_drawn_as_it_is(tmp_path: Path) -> None:
    folder = encoded(tmp_path, [(1, "good", "dog")], characters(), None)
    split = read_train(folder, Manifest.read(folder), CPU)
    assert type(split) is Split
    assert sorted(contents(folder)) == ["manifest.json", "test-00000-of-00001.arrow", "train-00000-of-00001.arrow"]
    assert "thesaurus" not in json.loads((folder / "manifest.json").read_text())
    assert listed(split.drawn(np.arange(3), 0, 0)) == listed(split.batch(np.arange(3)))


# --- Shards


def test_what_a_thesaurus_adds_to_the_shards(tmp_path: Path) -> None:
    rows = [(1, "Good dog", "king")] * 3
    folder = encoded(tmp_path, rows, characters("full"))
    manifest = Manifest.read(folder)
    assert manifest.thesaurus == digest(tmp_path / "th.dat")
    for split in ("train", "test", "spots", "synonyms"):
        (shard,) = manifest.shards[split]
        assert shard.sha256 == digest(folder / f"{split}-00000-of-00001.arrow")
    found = shards.read(folder, "synonyms")
    signs = np.array([" ", *alphabet.ALPHABETS["full"]])
    texts = ["".join(signs[row])[::-1] for row in found]
    assert texts[:6] == ["good", "full", "estimable", "goodness", "well-being", "good will"]
    assert found.labels[:7].tolist() == [0] * 6 + [1]
    # Once more for words with a capital initial.
    half = len(texts) // 2
    assert texts[half : half + 3] == ["good", "Full", "Estimable"]
    assert found.labels[half] == 6
    before = contents(folder)
    assert contents(encoded(tmp_path, rows, characters("full"))) == before
    # They go when the thesaurus does, and are missed when they are gone.
    (folder / "spots-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(CrepeError, match=r"spots-00000-of-00001.arrow: is damaged"):
        read_train(folder, manifest, CPU)
    encoded(tmp_path, rows, characters("full"), None)
    assert len(contents(folder)) == 3


def test_a_synonym_may_be_several_words(tmp_path: Path) -> None:
    folder = encoded(tmp_path, [(1, "good dog the domestic will", "")] * 3, words())
    found, reference = shards.read(folder, "synonyms"), Reference(folder, words())
    texts = [text for key, synonyms in reference.entries.items() for text in (key, *synonyms)]
    expected = [[reference.vocabulary.get(word, 0) for word in tokens.tokenize(text)] for text in texts]
    assert [row.tolist() for row in found] == expected
    assert [] not in expected


def test_shards_are_as_many_as_those_of_the_train_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(1, "good", "dog"), (2, "0", "king king")]
    whole = shards.read(encoded(tmp_path / "whole", rows, characters()), "spots")
    monkeypatch.setattr(shards, "ROWS", 1)
    folder = encoded(tmp_path / "parts", rows, characters())
    assert len(list(folder.glob("spots-*"))) == len(list(folder.glob("train-*"))) == 4
    assert [row.tolist() for row in shards.read(folder, "spots")] == [row.tolist() for row in whole]


def test_a_missing_thesaurus_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrepeError, match=r"nowhere.dat: cannot be read: No such file"):
        encode.encode(
            "toys",
            "feature",
            replace(characters(), thesaurus="nowhere"),
            cleaned(tmp_path, [(1, "a", ""), (2, "b", "")]),
            tmp_path / "shards",
        )


# --- Training


@pytest.fixture(scope="module")
def study(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """The tiny study with a dataset of texts whose good words are all but in one class, and its shards."""
    chance = np.random.default_rng(0)
    lists = [["good", "king", "0", "the"], ["dog", "élan", "Good", "a"]]
    rows = [(label + 1, "", " ".join(chance.choice(lists[label], 12))) for label in (0, 1) for _ in range(58)]
    feature = characters(length=100)
    folder = encoded(tmp_path_factory.mktemp("study"), rows, feature)
    manifest = Manifest.read(folder)
    replace(manifest, dataset="tiny", feature="chars").write(folder)
    catalog = tiny.config.catalog
    feature = replace(feature, thesaurus="th")
    features = {**catalog.features, "chars": feature}
    thesauri = {**catalog.thesauri, "th": Thesaurus(sources=())}
    catalog = replace(catalog, features=features, thesauri=thesauri)
    return replace(tiny.config, catalog=catalog), folder


def make(study: tuple[Config, Path]) -> Training:
    config, folder = study
    spec = config.model("conv-small")
    network = spec.network
    manifest = Manifest.read(folder)
    net = network.build(Inputs(vocab_size=manifest.symbols, length=spec.feature.max_length, classes=2))
    initialize(net, network.init_std, 0)
    return Training(
        title="t",
        network=net,
        dtype=torch.float32,
        recipe=replace(sgd(spec.recipe), batches_per_epoch=20),
        seed=0,
        train=read_train(folder, manifest, CPU),
        test=Split(shards.read(folder, "test"), CPU),
        classes=2,
    )


@pytest.mark.parametrize("cut", [1, 33])
def test_a_run_in_two_parts_is_the_run_in_one(study, tmp_path: Path, cut: int) -> None:
    assert_a_cut_changes_nothing(lambda: make(study), tmp_path, cut)


def test_a_training_gets_synonyms_and_a_test_does_not(study, tmp_path: Path, monkeypatch) -> None:
    run = make(study)
    drawn = []
    monkeypatch.setattr(Augmented, "batch", None)
    original = Augmented.drawn
    monkeypatch.setattr(Augmented, "drawn", lambda *arguments: drawn.append(arguments[1:]) or original(*arguments))
    fit(run, tmp_path, "x", steps=3)
    sampler = Sampler(run.train.labels, 2, 16, 0)
    assert [(rows.tolist(), seed, number) for rows, seed, number in drawn] == [
        (sampler.rows(number).tolist(), 0, number) for number in range(3)
    ]
    assert len(predict(run.network, run.test, torch.float32).classes) == len(run.test)


def test_commands(study, tmp_path: Path) -> None:
    config, folder = study
    train(config, "tiny", "conv-small", 0, folder, tmp_path, "cpu")
    evaluate(tmp_path, folder, "cpu")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["feature"]["thesaurus"] == "th"
    assert record["data"]["thesaurus"] == digest(folder.parent / "th.dat")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["error_pct"] < 30
    trials = tune(config, "tiny", "conv-small", [{}], folder, 0.25, device="cpu")["trials"]
    assert trials[0]["error_pct"] < 60


def test_the_papers_figures() -> None:
    assert (augment.COUNT_RATIO, augment.RANK_RATIO) == (0.5, 0.5)
