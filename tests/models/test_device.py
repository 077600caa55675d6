from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from crepe.errors import CrepeError
from crepe.models.base import Inputs
from crepe.models.device import (
    _compiles,
    choose_device,
    choose_precision,
    describe,
    enough_memory,
    fusing,
    own_device,
    own_gpu,
    send,
)
from crepe.models.linear import Settings


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
    cpu, linear = torch.device("cpu"), Settings().build(Inputs(vocab_size=5, length=None, classes=2))
    assert choose_precision(cpu, "float32") == "float32"
    assert choose_precision(cpu) in ("float32", "bfloat16")
    assert choose_precision(cpu, network=linear) == "float32"
    assert choose_precision(cpu, "bfloat16", linear) == "bfloat16"
    with pytest.raises(CrepeError, match=r"--precision float8: unknown; known: auto, float32"):
        choose_precision(cpu, "float8")


def test_arrays_are_sent_as_they_are() -> None:
    values = np.arange(6).reshape(2, 3)
    assert send(values, choose_device()).tolist() == values.tolist()


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What torch says of this machine's GPUs; as many as a test puts in."""
    names: list[str] = []
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=names[number]))
    return names


def test_a_command_gets_the_first_gpu_that_is_free(gpus: list[str]) -> None:
    gpus += ["GPU-a", "GPU-b"]
    with own_device() as first, own_device("cuda") as second:
        assert (first, second) == ("cuda:0", "cuda:1")
    with own_device() as first:
        assert first == "cuda:0"


def test_a_gpu_is_the_same_whatever_its_number(gpus: list[str]) -> None:
    gpus += ["GPU-a", "GPU-b"]
    with own_device():
        # As under another CUDA_VISIBLE_DEVICES.
        gpus.reverse()
        with own_device() as second:
            assert second == "cuda:0"


def test_gpus_are_shared_by_as_many_commands_as_are_to(gpus: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gpus += ["GPU-a", "GPU-b"]
    monkeypatch.setenv("CREPE_RUNS_PER_GPU", "2")
    with own_device() as first, own_device() as second, own_device() as third, own_device() as fourth:
        assert (first, second, third, fourth) == ("cuda:0", "cuda:1", "cuda:0", "cuda:1")
        monkeypatch.setattr("crepe.io.locks.time.sleep", lambda _: full())
        with pytest.raises(torch.OutOfMemoryError), own_device():
            pass


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_a_number_of_commands_that_is_none(gpus: list[str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus += ["GPU-a"]
    monkeypatch.setenv("CREPE_RUNS_PER_GPU", text)
    with pytest.raises(CrepeError, match=f"CREPE_RUNS_PER_GPU: is '{text}', which is not a whole number"), own_device():
        pass


@pytest.mark.parametrize("name", ["cuda:0", "cuda:2", "cpu", "mps"])
def test_a_device_that_is_named_is_not_locked(gpus: list[str], name: str) -> None:
    gpus += ["GPU-a"]
    with own_device(), own_device(name) as found:
        assert found == name


def test_without_a_gpu_nothing_is_locked(gpus: list[str]) -> None:
    with own_device() as first, own_device() as second:
        assert first == second == "auto"


def test_locks_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(CrepeError, match=r"/gpus: cannot be made: .*; name a --device, as cuda:0"), own_gpu(["GPU-a"]):
        pass


def full() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it.")


def full_mps() -> None:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)")


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        (full, "CUDA out of memory. Tried to allocate 2.00 GiB."),
        (full_mps, "MPS backend out of memory (MPS allocated: 9.00 GB)"),
        (lambda: torch.empty(2**50), "DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        (lambda: np.empty(2**47), "Unable to allocate 1.00 PiB"),
    ],
)
def test_want_of_memory_is_said_with_what_to_do(compute: Callable[[], object], said: str) -> None:
    with pytest.raises(CrepeError) as caught:
        enough_memory("buy some")(compute)()
    assert caught.value.remedy == "buy some"
    assert said in caught.value.fault
    assert "\n" not in str(caught.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), enough_memory():
        torch.zeros(2).reshape(3)


@pytest.mark.parametrize(
    ("triton", "compiler", "capability", "fuses"),
    [
        (True, True, (9, 0), True),
        (False, True, (9, 0), False),
        (True, False, (9, 0), False),
        (True, True, (6, 1), False),
    ],
)
def test_kernels_of_our_own_need_triton_a_compiler_and_a_late_gpu(
    triton: bool, compiler: bool, capability: tuple[int, int], fuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crepe.models.device.find_spec", lambda _: "triton" if triton else None)
    monkeypatch.setattr("crepe.models.device.which", lambda _: "/usr/bin/cc" if compiler else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert _compiles.__wrapped__(torch.device("cuda")) == fuses
    assert not fusing(torch.zeros(1))
