"""Layers over packed columns against torch's."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from crepe.models import packed, plan
from crepe.models.device import be_exact
from crepe.models.packed import convolve, convolve_moved, lookup, max_pool, move, ragged_linear
from crepe.models.plan import Move

FIXED = pytest.mark.parametrize("fixed", [[], ["cpu"]], ids=["shapes by the texts", "fixed shapes"])


@FIXED
def test_lookup_is_a_convolution_over_one_hot_columns(fixed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FIXED", fixed)
    generator = torch.Generator().manual_seed(0)
    codes = F.pad(torch.randint(0, 6, (20,), generator=generator), (2, 2))
    weight = torch.randn(8, 5, 1, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    one_hot = F.one_hot(codes, 6)[:, 1:].double()
    torch.testing.assert_close(lookup(codes, weight), F.conv1d(one_hot.t(), weight.squeeze(2)).t())
    assert torch.autograd.gradcheck(lambda kernels: lookup(codes, kernels), weight)


def test_the_gradient_of_a_lookup_is_not_rounded_column_by_column() -> None:
    codes, weight = (
        F.pad(torch.ones(4000, dtype=torch.int64), (2, 2)),
        torch.zeros(1, 1, 1, 3, dtype=torch.bfloat16, requires_grad=True),
    )
    lookup(codes, weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == [4000.0] * 3


@pytest.mark.parametrize("placewise", [False, True])
def test_convolution_is_that_of_torch(placewise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "PLACEWISE", placewise)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 4, 1, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(convolve(x, weight), F.conv1d(x.t(), weight.squeeze(2)).t())
    assert torch.autograd.gradcheck(convolve, (x, weight))


def test_pooling_is_that_of_torch_where_columns_are_equal_too() -> None:
    x = torch.tensor([[1.0, 5.0], [1.0, 4.0], [0.0, 5.0], [2.0, 0.0], [2.0, 0.0], [3.0, 0.0]]).requires_grad_()
    y = max_pool(x, 3)
    torch.testing.assert_close(y, F.max_pool1d(x.t(), 3).t())
    (ours,) = torch.autograd.grad(y.sum(), x)
    (theirs,) = torch.autograd.grad(F.max_pool1d(x.t(), 3).sum(), x)
    assert torch.equal(ours, theirs)


def test_pooling_has_the_gradient_of_its_maxima() -> None:
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda columns: max_pool(columns, 3), x)


def test_pooling_in_exact_runs_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        be_exact()
        max_pool(torch.ones(6, 2, requires_grad=True), 3).sum().backward()


@FIXED
def test_columns_that_are_lacking_are_the_constant(fixed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FIXED", fixed)
    # The constant, a text of two columns, spare ones; wanted are a column each of the first two, three of the third.
    way = Move(
        places=torch.tensor([0, 1, 2, 0, 3, 0, 0]),
        lacking=torch.tensor([False, False, False, True, False, True, True]),
        back=torch.tensor([0, 1, 2, 4, 0, 0]),
        unused=torch.tensor([False, False, False, False, True, True]),
    )
    values = torch.arange(10, dtype=torch.float64).view(5, 2).requires_grad_()
    assert torch.equal(move(values, way), values[[0, 1, 2, 0, 3, 0, 0]])
    assert torch.autograd.gradcheck(lambda x: move(x, way), values)
    weight = torch.randn(3, 2, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(convolve_moved(values, way, weight), convolve(values[[0, 1, 2, 0, 3, 0, 0]], weight))
    assert torch.autograd.gradcheck(lambda x, w: convolve_moved(x, way, w), (values, weight))


@pytest.mark.parametrize("widths", [(1, 1), (0, 2), (2, 5), (5, 5)])
def test_a_connected_layer_over_ragged_columns_is_that_of_torch(widths: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    constant, weight, bias = draw(3), draw(4, 15), draw(4)
    stacked = [draw(2, width, 3) for width in widths]

    def dense(constant: torch.Tensor, weight: torch.Tensor, *stacked: torch.Tensor) -> torch.Tensor:
        rows = [torch.cat([group, constant.expand(2, 5 - group.shape[1], 3)], 1) for group in stacked]
        return F.linear(torch.cat(rows).flatten(1), weight, bias)

    def ragged(constant: torch.Tensor, weight: torch.Tensor, *stacked: torch.Tensor) -> torch.Tensor:
        return ragged_linear(stacked, constant, weight, bias)

    torch.testing.assert_close(ragged(constant, weight, *stacked), dense(constant, weight, *stacked))
    assert torch.autograd.gradcheck(ragged, (constant, weight, *stacked))


def test_the_gradient_of_a_large_weight_has_its_own_dtype() -> None:
    weight = torch.ones(4, 15, requires_grad=True)
    half = torch.ones(3, dtype=torch.bfloat16)
    y = ragged_linear([half.expand(2, 2, 3)], half, weight, torch.zeros(4, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    assert torch.equal(weight.grad, torch.full((4, 15), 2.0))
