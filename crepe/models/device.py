"""Device and precision: choosing them, and setting a process up for computing on them."""

import ctypes
import os
import platform
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from shutil import which
from typing import TYPE_CHECKING

import numpy as np
import torch
from platformdirs import user_state_path

from crepe.errors import CrepeError
from crepe.io.locks import first_free

if TYPE_CHECKING:
    from crepe.models.base import Network

RUNS_PER_GPU = "CREPE_RUNS_PER_GPU"
"""Environment variable: number of commands that share a GPU, 1 if unset. A small network leaves most of one idle."""

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def set_up(name: str = "auto", deterministic: bool = True) -> torch.device:
    """Prepare this process for computing on a device, and return the device. Commands that compute begin with this.

    Float32 is computed without TF32, and the process keeps the memory that it frees (`keep_memory`).

    Args:
        name: see `choose_device`.
        deterministic: make runs bit-reproducible, which costs speed (`be_exact`).

    Raises:
        CrepeError: there is no such device on this machine, or no memory on it.
    """
    if deterministic:
        be_exact()
    disable_tf32()
    keep_memory()
    return choose_device(name)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes the first of cuda, mps and cpu that is there.

    Raises:
        CrepeError: there is no such device on this machine, or no memory on it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.partition(":")[0] not in ("cuda", "mps", "cpu"):
        raise CrepeError(f"--device {name}", "unknown", "known: auto, cuda, cuda:1 and so on, mps, cpu")
    try:
        device = torch.device(name)
        with enough_memory("end what else runs on the device, or take another --device"):
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CrepeError(f"--device {name}", f"is not on this machine ({str(error).splitlines()[0]})") from error
    return device


@contextmanager
def own_device(name: str = "auto") -> Iterator[str]:
    """Yield the name of a device for a command, with a GPU locked against other commands for as long as the block.

    `auto`, where there is a GPU, and `cuda` take the first free one of those that the process may see
    (`CUDA_VISIBLE_DEVICES`), and wait until there is one. Where `CREPE_RUNS_PER_GPU` is n, a GPU is free until n
    commands have it. Any other name is that device's, and nothing is locked: who names `cuda:2`, `mps` or `cpu` may
    share it.

    Raises:
        CrepeError: the lock cannot be made, or `CREPE_RUNS_PER_GPU` is not a whole number from 1.
    """
    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        yield name
        return
    # Not by number: what is number 0 differs from process to process.
    gpus = [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]
    with own_gpu(gpus, _runs_per_gpu()) as number:
        yield f"cuda:{number}"


def _runs_per_gpu() -> int:
    text = os.environ.get(RUNS_PER_GPU, "1")
    if not (text.isdecimal() and int(text)):
        raise CrepeError(RUNS_PER_GPU, f"is {text!r}, which is not a whole number from 1", "set it to 1, or to 4, say")
    return int(text)


@contextmanager
def own_gpu(gpus: Sequence[str], runs: int = 1) -> Iterator[int]:
    """Lock the first of `gpus` that fewer than `runs` processes of this user hold, for as long as the block.

    A GPU has `runs` places. The first places of all GPUs are tried before the second ones, and so on.

    Args:
        gpus: names of the GPUs, the same in every process.
        runs: processes that share a GPU, the same number in every process.

    Yields:
        Index of the GPU in `gpus`.

    Raises:
        CrepeError: the lock cannot be made.
    """
    # In the home folder, since no session's end and no tidying-up of /tmp takes a lock from it that is held.
    folder = user_state_path("crepe") / "gpus"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrepeError(folder, f"cannot be made: {error.strerror or error}", "name a --device, as cuda:0") from error
    busy = f"each GPU here is held by another command; waiting for one (--device cuda:0 or {RUNS_PER_GPU} shares one)"
    with first_free([folder / f"{gpu}-{run}.lock" for run in range(runs) for gpu in gpus], busy) as number:
        yield number % len(gpus)


@contextmanager
def enough_memory(
    remedy: str = "give the recipe a smaller `batch_size`, take a smaller model, or end what else runs on the device",
) -> Iterator[None]:
    """Raise a CrepeError if the block, or the function so decorated, runs out of memory.

    Args:
        remedy: advice in its message.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        # Allocators of the CPU and of MPS raise a plain RuntimeError.
        wanting = isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
            sign in text for sign in ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
        )
        if not wanting:
            raise
        raise CrepeError("out of memory", text.splitlines()[0] if text else "MemoryError", remedy) from error


def choose_precision(device: torch.device, name: str = "auto", network: "Network | None" = None) -> str:
    """Resolve `auto`: bfloat16 where the device multiplies it natively and it is of use to the network, else float32.

    Raises:
        CrepeError: no such precision.
    """
    if name == "auto":
        if network is not None and not network.prefers_bfloat16:
            return "float32"
        return "bfloat16" if multiplies_bfloat16(device) else "float32"
    if name not in PRECISIONS:
        raise CrepeError(f"--precision {name}", "unknown", f"known: auto, {', '.join(PRECISIONS)}")
    return name


@cache
def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def be_exact() -> None:
    """Make runs bit-reproducible on a device, and disable TF32."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms does, which takes two seconds to import what it does not need.
    torch.set_deterministic_debug_mode("warn")
    # Unpooling is deterministic where no two values go to one place, as in `crepe.models.packed`.
    warnings.filterwarnings("ignore", "max_unpooling2d_forward_out does not have a deterministic implementation")
    # Nothing here reads memory before writing it, and filling it takes a tenth of a step on a GPU.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    disable_tf32()


def disable_tf32() -> None:
    """Have float32 computed in float32, not in TF32, which has 10 bits of mantissa."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def keep_memory() -> None:
    """Let the process keep the memory it frees, where the C library is glibc.

    It returns blocks of some megabytes to the system at once, and gets them again page by page: for gradients of a
    million weights that takes longer than adding them up.
    """
    if sys.platform == "linux":
        mmap_max, trim_threshold = -4, -1
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


STATIC = ["cuda"]
"""Kinds of device where shapes are static."""


def static_shapes(device: torch.device) -> bool:
    """Whether shapes must follow from few numbers that the host knows, so that a step can be recorded and replayed."""
    return device.type in STATIC


def fusing(tensor: torch.Tensor) -> bool:
    """Return whether the kernels of `crepe.models.fused` compute with such a tensor."""
    return tensor.is_cuda and _compiles(tensor.device)


@cache
def _compiles(device: torch.device) -> bool:
    """Whether Triton can compile: it is installed, with a C compiler, and the GPU is a Volta or later."""
    compilers = os.environ.get("CC"), "gcc", "clang"
    there = find_spec("triton") is not None and any(which(compiler) for compiler in compilers if compiler)
    return there and torch.cuda.get_device_capability(device) >= (7, 0)


def send(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device, without waiting for the device."""
    tensor = torch.from_numpy(values)
    # Memory that may be paged is copied only when the device has done all that it was given before.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def describe(device: torch.device) -> str:
    """Return the manufacturer's name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
