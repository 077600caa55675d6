"""Measure the engine against plain padded baselines: the same network, data and machine, in one process, by turns.

    crepe bench --shards data/shards/chars/ag_news --model conv-small

`dense_float32` is what other implementations do: a one-hot matrix padded to the full length, Conv1d. `dense_bfloat16`
is the best that can be had without skipping the padding: channels-last images in bfloat16. Each round trains and
tests each of them for some seconds, one after the other, so that a busy machine slows them alike; the figures are
medians over the rounds. A figure is null where the device does not multiply bfloat16 natively.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from crepe.config import load, sgd
from crepe.data import shards
from crepe.errors import CrepeError
from crepe.evaluation.prediction import rows_at_once
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Batch, Split
from crepe.models.convnet import ConvNet, cast_parameters
from crepe.models.device import choose_precision, describe, enough_memory, own_device, set_up
from crepe.options import add_config, add_device, add_shards
from crepe.training.augmentation import read_train
from crepe.training.optimizer import SGDW
from crepe.training.sampler import Sampler
from crepe.training.step import Forward, Step, step_of

SECONDS = 3.0
"""Shortest time of one measurement."""
BATCHES = 8
"""Number of different batches in a measurement."""

PHASES = ("train", "evaluate")

Variant = tuple[Forward, Callable[[Batch], None]]
"""Two functions of a batch: the forward pass, and a training step."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_shards(parser, required=True)
    parser.add_argument("--model", metavar="KEY", required=True, help="key of a ConvNet in the configuration")
    add_config(parser)
    add_device(parser)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each variant (default: 5)")
    parser.add_argument("--json", action="store_true", help="print an object instead of a table")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    with own_device(options.device) as device:
        figures = bench(options.shards, options.model, options.config, device, options.rounds)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)


@enough_memory()
def bench(folder: Path, key: str, overlay: str | None, device: str, rounds: int) -> dict[str, Any]:
    """Measure the samples per second of each variant.

    Args:
        folder: shards of the model's feature.
        key: key of the model.
        overlay: see `crepe.config.load`.
        device: see `crepe.models.device.choose_device`.
        rounds: measurements of each variant, 1 or more.

    Returns:
        The figures, as the command prints them with `--json`.

    Raises:
        CrepeError: the model is no ConvNet, there are no such shards, or there is not enough memory.
    """
    place = set_up(device, deterministic=False)
    spec = load(overlay).model(key)
    settings, recipe = spec.network, spec.recipe
    manifest = shards.Manifest.read(folder)
    if settings.kind != "convnet" or manifest.feature != spec.model.feature:
        raise CrepeError(f"--model {key}", f"needs to be a ConvNet on {manifest.feature}, which {folder} holds")
    if not isinstance(recipe, sgd.Settings):
        raise CrepeError(f"--model {key}", f"is trained by {recipe.kind}, and batches of sgd are measured")
    if rounds < 1:
        raise CrepeError(f"--rounds {rounds}", "must be 1 or more")
    inputs = Inputs(vocab_size=manifest.symbols, length=spec.feature.max_length, classes=len(manifest.classes))
    network = settings.build(inputs)
    assert isinstance(network, ConvNet)
    initialize(network, settings.init_std, 0)
    network.to(place)
    train, test = read_train(folder, manifest, place), Split(shards.read(folder, "test", manifest), place)
    sampler = Sampler(train.labels, len(manifest.classes), recipe.batch_size, 0, recipe.sampling)
    batches = [train.drawn(sampler.rows(number), 0, number) for number in range(BATCHES)]
    # Tests go through the rows by length; so do these, a few from the whole range.
    tests = [batch for _, batch in test.by_length(rows_at_once(place))]
    tests = tests[:: max(1, len(tests) // BATCHES)]
    fast = choose_precision(place) == "bfloat16"
    half = torch.bfloat16
    # Nothing is learnt, so that all variants go on with the same network.
    optimizer = SGDW(network.parameters(), 0.0, recipe.momentum, recipe.weight_decay)
    forwards: dict[str, Forward] = {
        "engine_float32": partial(network, dtype=torch.float32),
        "engine_bfloat16": partial(network, dtype=half),
        "dense_float32": partial(padded, network, dtype=torch.float32),
        "dense_bfloat16": partial(padded, network, dtype=half, channels_last=True),
    }
    variants: dict[str, Variant | None] = dict.fromkeys(forwards)
    for name, forward in forwards.items():
        step = Step(forward, optimizer, torch.zeros(2, dtype=torch.float64, device=place))
        if fast or not name.endswith("bfloat16"):
            variants[name] = forward, step_of(step, network) if name.startswith("engine") else step
    speeds: dict[str, dict[str, list[float]]] = {phase: {} for phase in PHASES}
    memory: dict[str, int | None] = dict.fromkeys(variants)
    for _ in range(rounds):
        for name, variant in variants.items():
            for phase, found in speeds.items():
                found.setdefault(name, [])
                if variant is not None:
                    network.train(phase == "train")
                    found[name].append(_trained(variant, batches) if phase == "train" else _tested(variant, tests))
                    memory[name] = memory[name] or _memory(place)
    medians = {
        phase: {name: round(statistics.median(values), 1) if values else None for name, values in found.items()}
        for phase, found in speeds.items()
    }
    peaks = {"float32": _peak(place, torch.float32), "bfloat16": _peak(place, torch.bfloat16) if fast else None}
    work = 3 * operations(network, train.lengths)
    return {
        "model": key,
        "dataset": manifest.dataset,
        "batch_size": recipe.batch_size,
        "device": place.type,
        "device_name": describe(place),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": rounds,
        **medians,
        "ratios": {
            phase: {name: _ratio(found[f"engine_{name}"], found[f"dense_{name}"]) for name in peaks}
            for phase, found in medians.items()
        },
        "padding_share": round(1 - float(np.minimum(train.lengths, network.length).mean()) / network.length, 4),
        "peak_memory_bytes": memory,
        "matrix_product_flops": peaks,
        "train_share_of_peak": {
            name: _ratio(medians["train"][f"engine_{name}"], peak and peak / work) for name, peak in peaks.items()
        },
    }


def padded(network: ConvNet, batch: Batch, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    """Logits of a batch by `ConvNet.padded`: dtype [rows, classes]."""
    return network.padded(batch.padded(network.length), dtype, channels_last)


def operations(network: ConvNet, lengths: np.ndarray) -> float:
    """Floating point operations of a forward pass that a text takes on average, if only its own columns are computed.

    Multiplications and additions of convolutions and fully connected layers. Look-ups, such as the first convolution
    over one-hot columns, are not counted, nor is what is once a batch.

    Args:
        network: the layers.
        lengths: int64 [rows], of the texts.
    """
    geometry, total = network.geometry, 0.0
    texts = np.clip(lengths, 1, network.length)
    # Columns that each layer makes, on average.
    used = [
        float(np.minimum(-(-texts // scale), limit).mean())
        for scale, limit in zip(geometry.scales[1:], geometry.limits[1:], strict=True)
    ]
    kernels = [weight for weight, _ in cast_parameters(network.convolutions, torch.float32)]
    for number, (weight, pool, columns) in enumerate(zip(kernels, geometry.pools, used, strict=True)):
        if number > 0 or network.embedding is not None:
            total += weight.numel() * pool * columns
    first, *others = (weight.numel() for weight, _ in cast_parameters(network.connected, torch.float32))
    return 2 * (total + first * used[-1] / geometry.limits[-1] + sum(others))


def _trained(variant: Variant, batches: list[Batch]) -> float:
    """Samples per second in training; nothing is learnt, since the learning rate is 0."""
    return _speed(variant[1], batches)


@torch.inference_mode()
def _tested(variant: Variant, batches: list[Batch]) -> float:
    """Samples per second in testing."""
    return _speed(variant[0], batches)


def _speed(work: Callable[[Batch], Any], batches: list[Batch]) -> float:
    """Samples per second of whole rounds of the batches, which differ in length, after some to warm up."""
    cuda = batches[0].labels.is_cuda
    # Where steps are recorded, all shapes are to be met.
    for batch in batches if cuda else batches[:1]:
        work(batch)
    if cuda:
        torch.cuda.synchronize()
    rounds, begun, spent = 0, time.perf_counter(), 0.0
    while spent < SECONDS:
        for batch in batches:
            work(batch)
        if cuda:
            torch.cuda.synchronize()
        rounds, spent = rounds + 1, time.perf_counter() - begun
    return rounds * sum(map(len, batches)) / spent


def _peak(place: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations per second of large matrix products, the best of a few."""
    size = 2048 if place.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=place, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        float((a @ b)[0, 0])
        best = min(best, time.perf_counter() - begun)
    return round(2 * size**3 / best)


def _memory(place: torch.device) -> int:
    """Most memory in use so far: of the device, or of the process on a CPU. Bytes."""
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours and theirs else None


def _print(figures: dict[str, Any]) -> None:
    title = "{model} on {dataset}, batch size {batch_size}, {device_name}, {threads} threads, torch {torch}"
    table = Table("samples/s", *PHASES, title=title.format(**figures), title_justify="left")
    for name in figures["train"]:
        table.add_row(name, *(_cell(figures[phase][name], ",.0f") for phase in PHASES))
    for name in figures["matrix_product_flops"]:
        table.add_row(f"engine : dense, {name}", *(_cell(figures["ratios"][phase][name], ".2f") for phase in PHASES))
    Console().print(table)
    print(f"Padding is {100 * figures['padding_share']:.0f} % of the columns.")
    for name, peak in figures["matrix_product_flops"].items():
        if peak:
            share = 100 * figures["train_share_of_peak"][name]
            print(f"Matrix products in {name}: {peak / 1e9:,.0f} GFLOP/s; training reaches {share:.0f} % of that.")
    memory = {name: f"{size / 1e6:,.0f} MB" for name, size in figures["peak_memory_bytes"].items() if size}
    print("Most memory in use, in this order:", ", ".join(f"{name} {size}" for name, size in memory.items()))


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
