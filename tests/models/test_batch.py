from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crepe.models import batch as batches
from crepe.models.batch import Split
from crepe.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(1, 200), max_size=12), min_size=1, max_size=12)


def split_of(texts: list[list[int]]) -> Split:
    labels = np.arange(len(texts), dtype=np.int32)
    return Split(Ragged.from_rows([np.array(text, np.uint8) for text in texts], labels), torch.device("cpu"))


@given(ROWS, st.integers(1, 15))
def test_behind_a_text_and_in_the_row_behind_the_last_there_is_no_symbol(texts: list[list[int]], width: int) -> None:
    batch = split_of(texts).batch(np.arange(len(texts)))
    assert (np.diff(batch.lengths) >= 0).all()
    found = batch.take(torch.arange(len(batch) + 1)[:, None], torch.arange(width)).tolist()
    expected = [(texts[label] + [0] * width)[:width] for label in batch.labels]
    assert found == [*expected, [0] * width]


@given(ROWS)
def test_flat_rows_stand_behind_each_other(texts: list[list[int]]) -> None:
    batch = split_of(texts).batch(np.arange(len(texts)))
    codes, rows = batch.flat()
    found: list[list[int]] = [[] for _ in texts]
    for code, row in zip(codes.tolist(), rows.tolist(), strict=True):
        found[row].append(code)
    assert found == [texts[label] for label in batch.labels]


@given(ROWS, st.integers(1, 5))
def test_by_length_visits_every_row_once_and_the_longest_first(texts: list[list[int]], size: int) -> None:
    seen, batches = [], []
    for rows, batch in split_of(texts).by_length(size):
        assert len(rows) == len(batch) <= size
        assert batch.labels.tolist() == rows.tolist()
        seen += rows.tolist()
        batches.append(rows)
    assert sorted(seen) == list(range(len(texts)))
    lengths = [[len(texts[row]) for row in rows] for rows in batches]
    assert all(min(first) >= max(second) for first, second in pairwise(lengths))


@given(ROWS, st.integers(1, 5))
def test_parts_have_all_rows_in_their_order(texts: list[list[int]], number: int) -> None:
    batch = split_of(texts).batch(np.arange(len(texts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "LEAST_CODES", 0)
        parts = batch.split(number)
    assert 1 <= len(parts) <= number
    assert min(map(len, parts)) > 0
    assert torch.equal(torch.cat([part.padded(12) for part in parts]), batch.padded(12))
    assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)


def test_parts_have_about_as_many_codes_each() -> None:
    generator = np.random.default_rng(0)
    batch = split_of([[1] * size for size in generator.lognormal(5, 0.5, 500).astype(int)]).batch(np.arange(500))
    assert [len(part.lengths) for part in batch.split(100)] == [500], "too few codes for so many"
    sizes = [part.lengths.sum() for part in batch.split(5)]
    assert len(sizes) == 5
    assert max(sizes) < 1.05 * min(sizes)
