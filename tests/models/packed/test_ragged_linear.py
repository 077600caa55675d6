"""The fully connected layer over texts of unlike lengths against torch's."""

import pytest
import torch
import torch.nn.functional as F

from crepe.models.packed.ragged_linear import ragged_linear


@pytest.mark.parametrize("widths", [(1, 1), (0, 2), (2, 5), (5, 5)])
def test_a_connected_layer_over_ragged_columns_is_that_of_torch(widths: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    constant, weight, bias = draw(3), draw(4, 15), draw(4)
    stacked = [draw(2, width, 3) for width in widths]

    def full(constant: torch.Tensor, weight: torch.Tensor, *stacked: torch.Tensor) -> torch.Tensor:
        rows = [torch.cat([group, constant.expand(2, 5 - group.shape[1], 3)], 1) for group in stacked]
        return F.linear(torch.cat(rows).flatten(1), weight, bias)

    def ragged(constant: torch.Tensor, weight: torch.Tensor, *stacked: torch.Tensor) -> torch.Tensor:
        return ragged_linear(stacked, constant, weight, bias)

    torch.testing.assert_close(ragged(constant, weight, *stacked), full(constant, weight, *stacked))
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
