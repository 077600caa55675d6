"""Pooling over packed columns against torch's."""

import warnings

import torch
import torch.nn.functional as F

from crepe.models.device import be_exact
from crepe.models.packed.pooling import max_pool


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
