"""Where columns stand, against the rule that `crepe.models.packed` gives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crepe.models import device
from crepe.models.packed import plan
from crepe.models.packed.moves import Move
from crepe.models.packed.plan import GROUP, Geometry, Plan

CPU = torch.device("cpu")

GEOMETRY = Geometry(1014, ((7, 3), (7, 3), (3, 1), (3, 1), (3, 1), (3, 3)))
SHORT = Geometry(100, ((5, 2), (4, 3), (2, 2)))


def make(geometry: Geometry, lengths: list[int]) -> Plan:
    sizes = np.sort(np.array(lengths, np.int64))
    return Plan(geometry, torch.from_numpy(sizes), sizes)


def test_the_papers_network_leaves_34_columns() -> None:
    assert GEOMETRY.limits == (1014, 336, 110, 108, 106, 104, 34)
    assert GEOMETRY.scales == (1, 3, 9, 9, 9, 9, 27)
    assert GEOMETRY.tails == (2, 2, 2, 2, 2, 1)


def test_unravel_counts_through_rows() -> None:
    rows, columns = plan.unravel(torch.tensor([[2, 1], [0, 3]]), 6)
    assert rows.tolist() == [0, 0, 1, 3, 3, 3]
    assert columns.tolist() == [0, 1, 0, 0, 1, 2]


def test_the_example_of_the_docstring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plan.QUANTUM, "cpu", 1)
    found = make(Geometry(11, ((3, 2), (2, 1))), [3, 7])
    assert found.row_of_column.tolist() == [-1] * 4 + [0] * 6 + [1] * 10 + [-1] * 2
    assert found.place_in_row.tolist() == [*range(4), *range(6), *range(12)]
    second, last = found.moves
    assert second.source.tolist() == [0, 0, 2, 3, 0, 5, 6, 7, 8, 0]
    assert second.is_constant.nonzero().flatten().tolist() == [1, 4, 9]
    assert second.destination[:10].tolist() == [0, 0, 2, 3, 0, 5, 6, 7, 8, 0]
    assert second.is_unused[:10].nonzero().flatten().tolist() == [1, 4, 9]
    assert last.source.tolist() == [0, 2, 3, 0, 5, 6, 7]
    assert found.groups == [(2, 3)]


@pytest.mark.parametrize("static", [[], ["cpu"]], ids=["shapes by the texts", "static shapes"])
@pytest.mark.parametrize("geometry", [GEOMETRY, SHORT], ids=["paper", "short"])
@given(lengths=st.lists(st.integers(0, 1200), min_size=1, max_size=40))
def test_every_layer_gets_each_rows_columns_and_else_the_constant(
    static: list[str], geometry: Geometry, lengths: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "STATIC", static)
        found = make(geometry, lengths)
    texts = [0, *sorted(min(length, geometry.length) for length in lengths)]
    rows, columns = found.row_of_column + 1, found.place_in_row
    for layer, move in enumerate(found.moves, 1):
        kernel, pool = geometry.kernels[layer - 1], geometry.pools[layer - 1]
        # What the last layer leaves: the row and the column of each.
        made = (len(rows) - kernel + 1) // pool
        assert made * pool == len(rows) - kernel + 1
        own = [min(max(-(-length // geometry.scales[layer]), 1), geometry.limits[layer]) for length in texts]
        left = [(int(row), int(column) // pool) for row, column in zip(rows, columns, strict=True)][
            : made * pool : pool
        ]
        taken = [left[place] for place in move.source.tolist()]
        assert left[0] == (0, 0)
        rows, columns = _wanted(move, taken)
        # Each row's columns are all there, once, in order ...
        mine = [some for some, lacks in zip(taken, move.is_constant.tolist(), strict=True) if not lacks]
        if layer < len(found.moves):
            assert mine == [(row, column) for row, count in enumerate(own) for column in range(count)]
        # ... and what takes a column is where its gradient comes from.
        for place, (back, unused) in enumerate(zip(move.destination.tolist(), move.is_unused.tolist(), strict=True)):
            if not unused:
                assert move.source[back] == place
                assert not move.is_constant[back]
        assert len(mine) == int((~move.is_unused).sum())
        assert all(place == 0 for place, lacks in zip(move.source, move.is_constant, strict=True) if lacks)


def _wanted(move: Move, taken: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each place of a layer's input: those that lack one follow the row before them."""
    rows, columns, row, column = [], [], 0, -1
    for (source_row, _), lacks in zip(taken, move.is_constant.tolist(), strict=True):
        if not lacks and source_row != row:
            row, column = source_row, -1
        column += 1
        rows.append(row)
        columns.append(column)
    return torch.tensor(rows), torch.tensor(columns)


@given(rows=st.integers(1, 300))
def test_groups_cover_every_row_once(rows: int) -> None:
    groups = make(GEOMETRY, list(range(rows))).groups
    assert sum(count for count, _ in groups) == rows
    assert all(count <= GROUP for count, _ in groups)
    assert [width for _, width in groups] == sorted(width for _, width in groups)


def test_static_shapes_follow_from_the_sum_of_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "STATIC", ["cpu"])
    one, other = make(GEOMETRY, [100, 300, 680]), make(GEOMETRY, [30, 36, 1014])
    assert GEOMETRY.size(np.array([100, 300, 680]), CPU) == GEOMETRY.size(np.array([30, 36, 1014]), CPU)
    shapes = [
        [len(found.row_of_column), *(len(move.source) for move in found.moves), found.groups] for found in (one, other)
    ]
    assert shapes[0] == shapes[1]
