"""Moves of packed columns, alone and with the convolution behind them."""

import pytest
import torch

from crepe.models import device
from crepe.models.packed.convolution import convolve, convolve_moved
from crepe.models.packed.moves import Move, move_columns


@pytest.mark.parametrize("static", [[], ["cpu"]], ids=["shapes by the texts", "static shapes"])
def test_columns_that_are_lacking_are_the_constant(static: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "STATIC", static)
    # The constant, a text of two columns, spare ones; wanted are a column each of the first two, three of the third.
    move = Move(
        source=torch.tensor([0, 1, 2, 0, 3, 0, 0]),
        is_constant=torch.tensor([False, False, False, True, False, True, True]),
        destination=torch.tensor([0, 1, 2, 4, 0, 0]),
        is_unused=torch.tensor([False, False, False, False, True, True]),
    )
    values = torch.arange(10, dtype=torch.float64).view(5, 2).requires_grad_()
    assert torch.equal(move_columns(values, move), values[[0, 1, 2, 0, 3, 0, 0]])
    assert torch.autograd.gradcheck(lambda x: move_columns(x, move), values)
    weight = torch.randn(3, 2, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(convolve_moved(values, move, weight), convolve(values[[0, 1, 2, 0, 3, 0, 0]], weight))
    assert torch.autograd.gradcheck(lambda x, w: convolve_moved(x, move, w), (values, weight))
