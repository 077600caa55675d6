"""Layers over packed columns against torch's."""

import pytest
import torch
import torch.nn.functional as F

from crepe.models import packed
from crepe.models.packed import convolve, lookup, max_pool


def test_lookup_is_a_convolution_over_one_hot_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 6, (20,), generator=generator)
    weight = torch.randn(8, 5, 1, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    one_hot = F.one_hot(codes, 6)[:, 1:].double()
    torch.testing.assert_close(lookup(codes, weight), F.conv1d(one_hot.t(), weight.squeeze(2)).t())
    assert torch.autograd.gradcheck(lambda kernels: lookup(codes, kernels), weight)


def test_the_gradient_of_a_lookup_is_not_rounded_column_by_column() -> None:
    codes, weight = (
        torch.ones(4002, dtype=torch.int64),
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
    (ours,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    (theirs,) = torch.autograd.grad(F.max_pool1d(x.t(), 3).sum(), x)
    assert torch.equal(ours, theirs)
