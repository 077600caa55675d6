"""Kernels in Triton against torch: on a GPU, or else on a CPU by its interpreter. Not every machine has Triton."""

import os

import pytest
import torch
import torch.nn.functional as F

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from crepe.models import fused
from crepe.models.packed.pooling import THRESHOLD

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("features", [7, 1024])
def test_pooling_bias_and_rectifier_and_their_gradient(dtype: torch.dtype, pool: int, features: int) -> None:
    generator = torch.Generator().manual_seed(0)
    # Few values, so that many are equal.
    x = (torch.randint(-3, 4, (pool * 5, features), generator=generator) / 4).to(DEVICE, dtype).requires_grad_()
    bias = (torch.randint(-3, 4, (features,), generator=generator) / 4).to(DEVICE, dtype)
    y, which = fused.activate(x.detach(), bias, pool, THRESHOLD)
    expected = F.threshold(F.max_pool1d(x.t(), pool).t() + bias, THRESHOLD, 0.0)
    assert torch.equal(y, expected)
    gradient = torch.randn(y.shape, generator=generator).to(DEVICE, dtype)
    (for_x,) = torch.autograd.grad(expected, x, gradient)
    assert torch.equal(fused.spread(gradient, which, pool), for_x)


def test_what_is_no_number_stays_so() -> None:
    x = torch.tensor([[1.0], [float("nan")], [2.0]], device=DEVICE)
    y, _ = fused.activate(x, torch.zeros(1, device=DEVICE), 3, THRESHOLD)
    assert y.isnan().all()


@pytest.mark.parametrize("shape", [(5,), (40, 70), (3, 5, 1, 7)])
def test_the_update_is_that_of_the_original(shape: tuple[int, ...]) -> None:
    parameter, step, gradient = (torch.randn(shape, device=DEVICE) for _ in range(3))
    if len(shape) == 4:
        # The gradient may stand in memory in another order.
        parameter, step = (t.to(memory_format=torch.channels_last) for t in (parameter, step))
    moved = step.double() * 0.9 - gradient.double() * 0.1
    expected = parameter.double() * 0.99 + moved
    fused.sgdw_update(parameter, step, gradient, momentum=0.9, lr=0.1, weight_decay=0.1)
    torch.testing.assert_close(step.double(), moved, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parameter.double(), expected, rtol=1e-6, atol=1e-6)
