import pytest
import torch
from torch import nn

from crepe.training import optimizer
from crepe.training.optimizer import Descent


def test_decay_is_outside_gradient_and_momentum() -> None:
    parameter = nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))
    descent = Descent([parameter], momentum=0.9, decay=0.01)
    p, m = parameter.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for gradient, rate in (([1.0, 3.0], 0.1), ([-2.0, 0.5], 0.05)):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        descent.update(rate)
        m = 0.9 * m - rate * torch.tensor(gradient, dtype=torch.float64)
        p = p * (1 - rate * 0.01) + m
        torch.testing.assert_close(parameter.detach(), p)
        assert parameter.grad is None


def test_large_parameters_are_updated_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = (nn.Parameter(torch.linspace(-1, 1, 35).view(7, 5)) for _ in range(2))
    gradient = torch.linspace(3, -2, 35).view(7, 5)
    for parameter, piece in ((whole, 35), (pieces, 11)):
        monkeypatch.setattr(optimizer, "PIECE", piece)
        descent = Descent([parameter], momentum=0.9, decay=0.01)
        for _ in range(2):
            parameter.grad = gradient.clone()
            descent.update(0.1)
    assert torch.equal(whole, pieces)
