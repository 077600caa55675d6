"""The optimizer and the learning rate schedule, against plain formulas."""

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from crepe.models.base import embed
from crepe.training import optimizer
from crepe.training.optimizer import SGDW, HalvingLR, clip_grad_norm

GRADIENTS = [[1.0, 3.0], [-2.0, 0.5], [0.25, 4.0]]
RATES = [0.1, 0.05, 0.05]


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))


def take(descent: SGDW, p: nn.Parameter, gradient: list[float], lr: float) -> None:
    descent.param_groups[0]["lr"] = lr
    p.grad = torch.tensor(gradient, dtype=p.dtype)
    descent.step()
    descent.zero_grad()


def test_weight_decay_is_outside_gradient_and_momentum() -> None:
    trained = parameter()
    descent = SGDW([trained], lr=0.1, momentum=0.9, weight_decay=0.01)
    p, m = trained.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for gradient, lr in zip(GRADIENTS, RATES, strict=True):
        take(descent, trained, gradient, lr)
        m = 0.9 * m - lr * torch.tensor(gradient, dtype=torch.float64)
        p = p * (1 - lr * 0.01) + m
        torch.testing.assert_close(trained.detach(), p)
        torch.testing.assert_close(descent.momentum_buffers, [m])
        assert trained.grad is None


def test_a_parameter_without_gradient_stays() -> None:
    trained, idle = parameter(), parameter()
    descent = SGDW([{"params": [trained]}, {"params": [idle]}], lr=0.1, weight_decay=0.5)
    take(descent, trained, GRADIENTS[0], 0.1)
    assert not torch.equal(trained, parameter())
    assert torch.equal(idle, parameter())


def test_a_closure_is_called_with_gradients_and_its_loss_returned() -> None:
    trained = parameter()
    descent = SGDW([trained], lr=0.5)

    def closure() -> float:
        loss = (trained**2).sum()
        loss.backward()
        return float(loss.detach())

    assert descent.step(closure) == 5.0
    torch.testing.assert_close(trained.detach(), torch.zeros(2, dtype=torch.float64))


def test_its_state_goes_into_another_and_gives_the_same_steps() -> None:
    first, second = parameter(), parameter()
    one, two = (SGDW([p], lr=0.1, momentum=0.9, weight_decay=0.01) for p in (first, second))
    take(one, first, GRADIENTS[0], 0.1)
    two.load_state_dict(deepcopy(one.state_dict()))
    with torch.no_grad():
        second.copy_(first)
    for p, descent in ((first, one), (second, two)):
        take(descent, p, GRADIENTS[1], 0.05)
    assert torch.equal(first, second)


@pytest.mark.parametrize("wrong", [{"lr": -0.1}, {"lr": 0.1, "momentum": 1.0}, {"lr": 0.1, "weight_decay": -1.0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of its range"):
        SGDW([parameter()], **wrong)


def test_large_parameters_are_updated_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = (nn.Parameter(torch.linspace(-1, 1, 35).view(7, 5)) for _ in range(2))
    gradient = torch.linspace(3, -2, 35).view(7, 5)
    for trained, piece in ((whole, 35), (pieces, 11)):
        monkeypatch.setattr(optimizer, "PIECE", piece)
        descent = SGDW([trained], lr=0.1, momentum=0.9, weight_decay=0.01)
        for _ in range(2):
            trained.grad = gradient.clone()
            descent.step()
    assert torch.equal(whole, pieces)


@pytest.mark.parametrize("resumed", [None, 0, 4, 9])
def test_the_learning_rate_is_halved_every_so_many_epochs(resumed: int | None) -> None:
    trained = parameter()
    descent = SGDW([trained], lr=0.3)
    schedule = HalvingLR(descent, halve_every=2, max_halvings=3, last_epoch=-1 if resumed is None else resumed)
    for epoch in range(0 if resumed is None else resumed + 1, 12):
        assert schedule.get_last_lr() == [descent.param_groups[0]["lr"]] == [0.3 * 0.5 ** min(epoch // 2, 3)]
        take(descent, trained, GRADIENTS[0], descent.param_groups[0]["lr"])
        schedule.step()


def test_neither_imports_what_takes_seconds() -> None:
    program = (
        "import sys, torch; from crepe.training.optimizer import SGDW, HalvingLR\n"
        "p = torch.nn.Parameter(torch.zeros(2)); p.grad = torch.ones(2)\n"
        "o = SGDW([p], lr=1.0); s = HalvingLR(o, 1, 1)\n"
        "o.step(); o.zero_grad(); s.step(); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("max_norm", [None, 0.1, 100.0])
def test_a_sparse_gradient_trains_as_the_whole_one(max_norm: float | None) -> None:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 9, (4, 30), generator=generator)
    wanted = torch.randn(4, 30, 5, generator=generator)
    start, tables = torch.randn(40, 5, generator=generator), []
    for sparse in (False, True):
        table = nn.Parameter(start.clone())
        descent = SGDW([table], lr=0.1, momentum=0.9, weight_decay=0.01)
        for _ in range(3):
            ((embed(codes, table, torch.float32, sparse) - wanted) ** 2).mean().backward()
            assert table.grad is not None
            assert table.grad.is_sparse == sparse
            if max_norm is not None:
                clip_grad_norm([table], max_norm)
            descent.step()
            descent.zero_grad()
        tables.append(table.detach())
    torch.testing.assert_close(*tables, rtol=1e-6, atol=1e-7)
    assert max_norm is not None or torch.equal(*tables)


def test_gradients_are_clipped_as_torch_does() -> None:
    generator = torch.Generator().manual_seed(1)
    pairs = [
        [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(7)), nn.Parameter(torch.zeros(2))] for _ in "ab"
    ]
    for one, other in zip(*(parameters[:2] for parameters in pairs), strict=True):
        one.grad = torch.randn(one.shape, generator=generator)
        other.grad = one.grad.clone()
    clip_grad_norm(pairs[0], 0.5)
    nn.utils.clip_grad_norm_(pairs[1], 0.5)
    for one, other in zip(*(parameters[:2] for parameters in pairs), strict=True):
        assert torch.equal(*(parameter.grad for parameter in (one, other) if parameter.grad is not None))
