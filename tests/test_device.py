import numpy as np
import pytest
import torch

from crepe.device import choose_device, choose_precision, describe, send
from crepe.errors import CrepeError


def test_auto_is_a_device_of_this_machine() -> None:
    device = choose_device()
    assert torch.ones(2, device=device).sum() == 2
    assert describe(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(CrepeError, match=r"--device cuda: is not on this machine"):
        choose_device("cuda")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(CrepeError, match=r"--device abacus: "):
        choose_device("abacus")


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert choose_precision(cpu, "float32") == "float32"
    assert choose_precision(cpu) in ("float32", "bfloat16")
    with pytest.raises(CrepeError, match=r"--precision float8: unknown; known: auto, float32"):
        choose_precision(cpu, "float8")


def test_arrays_are_sent_as_they_are() -> None:
    values = np.arange(6).reshape(2, 3)
    assert send(values, choose_device()).tolist() == values.tolist()
