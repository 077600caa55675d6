"""The original program's dumps: the tiny network in float64, and three steps of its training.

golden/tiny_model_f64.npz was made by running the original (commit 449852d) on Torch 7: 8 texts of 150 columns, features
8, hidden units 16, 4 classes, dropout off; start parameters as below.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crepe.models.base import Inputs
from crepe.models.batch import Batch, Split
from crepe.models.convnet import Settings
from crepe.models.convnet.network import ConvNet
from crepe.ragged import Ragged
from crepe.training.optimizer import SGDW
from tests.support.networks import padded
from tests.support.paths import GOLDEN as GOLDENS

GOLDEN = np.load(GOLDENS / "tiny_model_f64.npz")
TINY = Settings(convolutions=((7, 3), (7, 3), (3, 1), (3, 1), (3, 1), (3, 3)), channels=8, fc=(16, 16))


def flat(network: ConvNet, tensors: Sequence[torch.Tensor]) -> np.ndarray:
    """Tensors shaped as the parameters, in the original's order: convolutions as [out, kernel, in]."""
    parts = [tensor.detach().squeeze(2).transpose(1, 2) if tensor.dim() == 4 else tensor.detach() for tensor in tensors]
    return np.concatenate([part.reshape(-1).numpy() for part in parts])


@pytest.fixture
def network() -> ConvNet:
    network = TINY.build(Inputs(vocab_size=69, length=150, classes=4)).double()
    start = torch.from_numpy(np.random.RandomState(0).normal(0, 0.3, 5740).astype(np.float32)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            part, start = start[: parameter.numel()], start[parameter.numel() :]
            if parameter.dim() == 4:
                outputs, inputs, _, kernel = parameter.shape
                part = part.view(outputs, 1, kernel, inputs).permute(0, 3, 1, 2)
            parameter.copy_(part.view_as(parameter) if parameter.dim() < 4 else part)
    assert len(start) == 0
    return network


@pytest.fixture
def batch() -> Batch:
    texts = [np.trim_zeros(row, "b") for row in GOLDEN["x_indices"]]
    split = Split(Ragged.from_rows(texts, GOLDEN["labels"]), torch.device("cpu"))
    return split.batch(np.arange(len(texts)))


def order() -> np.ndarray:
    """Golden rows in a batch's order, which is by length."""
    return np.argsort([len(np.trim_zeros(row, "b")) for row in GOLDEN["x_indices"]], kind="stable")


@pytest.mark.parametrize("forward", [ConvNet.forward, padded], ids=["ragged", "padded"])
def test_log_probabilities_and_gradients(network: ConvNet, batch: Batch, forward) -> None:
    scores = forward(network, batch, torch.float64)
    log_probabilities = F.log_softmax(scores, dim=1).detach().numpy()
    np.testing.assert_allclose(log_probabilities, GOLDEN["logp0"][order()], rtol=1e-9)
    F.cross_entropy(scores, batch.labels).backward()
    gradients = flat(network, [parameter.grad for parameter in network.parameters()])
    np.testing.assert_allclose(gradients, GOLDEN["grads0"], rtol=1e-9, atol=1e-13)


def test_three_steps_of_training(network: ConvNet, batch: Batch) -> None:
    optimizer = SGDW(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-5)
    for step in (1, 2, 3):
        scores = network(batch, torch.float64)
        log_probabilities = F.log_softmax(scores, dim=1).detach().numpy()
        np.testing.assert_allclose(log_probabilities, GOLDEN[f"logp_step{step}"][order()], rtol=1e-9)
        F.cross_entropy(scores, batch.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_allclose(flat(network, optimizer.parameters), GOLDEN["params3"], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(flat(network, optimizer.momentum_buffers), GOLDEN["momentum3"], rtol=1e-9, atol=1e-13)
