"""Convolutions over packed columns against torch's."""

import pytest
import torch
import torch.nn.functional as F

from crepe.models import device
from crepe.models.packed import convolution
from crepe.models.packed.convolution import convolve, lookup

STATIC = pytest.mark.parametrize("static", [[], ["cpu"]], ids=["shapes by the texts", "static shapes"])


@STATIC
def test_lookup_is_a_convolution_over_one_hot_columns(static: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "STATIC", static)
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


@pytest.mark.parametrize("by_positions", [False, True])
def test_convolution_is_that_of_torch(by_positions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "BY_POSITIONS", by_positions)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 4, 1, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(convolve(x, weight), F.conv1d(x.t(), weight.squeeze(2)).t())
    assert torch.autograd.gradcheck(convolve, (x, weight))
