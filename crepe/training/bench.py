"""Measure the engine against plain forms of the same network, with the same data, in one process, by turns.

    crepe bench --shards data/shards/chars/ag_news --model conv-small

`engine` is what `crepe train` computes. `padded` is what other implementations do: for a ConvNet a matrix padded to the
full length, by Conv1d in float32 and as channels-last images in bfloat16; for an LSTM a matrix padded to the batch's
longest text. `--against packed` adds torch's other form of an LSTM, a packed sequence, on a CPU, where it is slower;
`--against compiled` adds `padded_compiled`: the channels-last ConvNet by `torch.compile`, on a GPU with its search for
the fastest kernels and CUDA graphs.

Each round trains and tests each of them with the same batches, one after the other, so that a busy machine slows them
alike. It takes 10 s for an LSTM, 20 s for a small ConvNet over 1,014 characters on two cores. The figures are medians
over the rounds. A ratio is that of the engine to the fastest other form. A figure is null where the device does not
multiply bfloat16 natively, or torch cannot compile.

A linear model is compared with other libraries by whole trainings, by turns, with the test errors beside the times:

    crepe bench --shards data/shards/ngrams/ag_news --model ngrams-tfidf --against scikit-learn fasttext
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from crepe.config import Config, load, sgd
from crepe.data import shards
from crepe.errors import CrepeError
from crepe.evaluation.prediction import rows_at_once
from crepe.layout import SPEEDS
from crepe.models.base import Inputs, initialize
from crepe.models.batch import Batch, Split
from crepe.models.convnet.network import ConvNet, cast_parameters
from crepe.models.device import PRECISIONS, choose_precision, describe, enough_memory, own_device, set_up
from crepe.models.lstm.network import LSTM
from crepe.options import add_config, add_device, add_shards
from crepe.records.speeds import Speed, Speeds
from crepe.training import peers
from crepe.training.augmentation import read_train
from crepe.training.optimizer import SGDW
from crepe.training.sampler import Sampler
from crepe.training.step import Forward, Step, step_of

SECONDS = 1.0
"""Shortest time of one measurement."""
BATCHES = 4
"""Least number of different batches in a measurement."""

PHASES = ("train", "evaluate")
PLAIN = {"convnet": ("padded", "compiled"), "lstm": ("padded", "packed"), "linear": peers.AGAINST}
"""Names of what a kind of network is compared with, what it is by default first."""
AGAINST = tuple(dict.fromkeys(name for names in PLAIN.values() for name in names))

Variant = tuple[Forward, Callable[[Batch], None]]
"""Two functions of a batch: the forward pass, and a training step."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_shards(parser, required=True)
    parser.add_argument("--model", metavar="KEY", required=True, help="key of a model in the configuration")
    add_config(parser)
    add_device(parser)
    parser.add_argument(
        "--against",
        nargs="+",
        choices=AGAINST,
        help="what to compare with: "
        + "; ".join(f"{kind}: {', '.join(names)} (default: {names[0]})" for kind, names in PLAIN.items()),
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each variant (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help=f"add the engine's speeds to {SPEEDS}, for `crepe plan`")
    parser.add_argument("--json", action="store_true", help="print an object instead of a table")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    kind = config.model(options.model).network.kind
    if kind not in PLAIN:
        raise CrepeError(f"--model {options.model}", f"is of kind {kind}, and {', '.join(PLAIN)} are measured")
    known = PLAIN[kind]
    against = options.against or [known[0]]
    for name in against:
        if name not in known:
            raise CrepeError(f"--against {name}", f"is nothing to compare {options.model} with", ", ".join(known))
    if options.rounds < 1:
        raise CrepeError(f"--rounds {options.rounds}", "must be 1 or more")
    if options.save and known == peers.AGAINST:
        raise CrepeError("--save", "takes ConvNets and LSTMs; of a linear model, `crepe train` records the speed")
    with own_device(options.device) as device:
        if known == peers.AGAINST:
            figures = peers.bench(config, options.model, options.shards, device, options.rounds, against)
        else:
            figures = bench(config, options.model, options.shards, device, options.rounds, against)
    if options.save:
        Speeds.read(SPEEDS if SPEEDS.exists() else None).extended(measured(figures)).write(SPEEDS)
    if options.json:
        print(json.dumps(figures, indent=2))
    elif known == peers.AGAINST:
        peers.show(figures)
    else:
        _print(figures)


def measured(figures: dict[str, Any]) -> list[Speed]:
    """Return the engine's speeds of a measurement, as config/speeds.csv has them: in the fastest precision.

    Args:
        figures: see `bench`.
    """
    found = {name: speed for name, speed in figures["train"].items() if name.startswith("engine") and speed}
    fastest = max(found, key=lambda name: found[name])
    source = f"{fastest.removeprefix('engine_')}, {figures['threads']} threads, torch {figures['torch']}"
    return [
        Speed(
            machine=figures["device_name"],
            step=phase,
            kind=figures["network"],
            codes=figures["codes"],
            rows_per_second=figures[phase][fastest],
            source=f"{source}, median of {figures['rounds']}",
        )
        for phase in PHASES
    ]


@enough_memory()
def bench(
    config: Config, key: str, folder: Path, device: str, rounds: int, against: Collection[str] = ()
) -> dict[str, Any]:
    """Measure the samples per second of each variant.

    Args:
        config: the configuration that has the model.
        key: key of the model.
        folder: shards of its feature.
        device: see `crepe.models.device.choose_device`.
        rounds: measurements of each variant, 1 or more.
        against: other forms that are measured, too: `compiled`, `packed`.

    Returns:
        The figures, as the command prints them with `--json`.

    Raises:
        CrepeError: the model is no ConvNet and no LSTM, there are no such shards, or there is not enough memory.
    """
    place = set_up(device, deterministic=False)
    spec = config.model(key)
    settings, recipe = spec.network, spec.recipe
    manifest = shards.Manifest.read(folder)
    if settings.kind not in ("convnet", "lstm") or manifest.feature != spec.model.feature:
        fault = f"needs to be a ConvNet or an LSTM on {manifest.feature}, which {folder} holds"
        raise CrepeError(f"--model {key}", fault)
    if not isinstance(recipe, sgd.Settings):
        raise CrepeError(f"--model {key}", f"is trained by {recipe.kind}, and batches of sgd are measured")
    inputs = Inputs(vocab_size=manifest.symbols, length=spec.feature.max_length, classes=len(manifest.classes))
    network = settings.build(inputs)
    assert isinstance(network, ConvNet | LSTM)
    initialize(network, settings.init_std, 0)
    network.to(place)
    train, test = read_train(folder, manifest, place), Split(shards.read(folder, "test", manifest), place)
    sampler = Sampler(train.labels, len(manifest.classes), recipe.batch_size, 0, recipe.sampling)
    batches = [train.drawn(sampler.rows(number), 0, number) for number in range(BATCHES)]
    # Tests go through the rows by length; so do these, a few from the whole range.
    tests = [batch for _, batch in test.by_length(rows_at_once(place))]
    apart = max(1, len(tests) // BATCHES)
    tests = tests[apart // 2 :: apart]
    fast = choose_precision(place) == "bfloat16"
    # Nothing is learnt, so that all variants go on with the same network.
    optimizer = SGDW(network.parameters(), 0.0, recipe.momentum, recipe.weight_decay)
    variants: dict[str, Variant | None] = {}
    for precision in ("float32", "bfloat16"):
        dtype = PRECISIONS[precision]
        forwards: dict[str, Forward] = {"engine": partial(network, dtype=dtype), **plain(network, dtype, against)}
        for name, forward in forwards.items():
            tally = torch.zeros(2, dtype=torch.float64, device=place)
            step = Step(forward, optimizer, tally, recipe.max_grad_norm)
            made = forward, step_of(step, network) if name == "engine" else step
            there = (fast or precision != "bfloat16") and ("compiled" not in name or _compiles(made, batches[0]))
            variants[f"{name}_{precision}"] = made if there else None
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
        "network": spec.model.network,
        "codes": round(float(np.minimum(train.lengths, network.length).mean()), 1),
        "dataset": manifest.dataset,
        "batch_size": recipe.batch_size,
        "device": place.type,
        "device_name": describe(place),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": rounds,
        **medians,
        "ratios": {
            phase: {name: _ratio(found[f"engine_{name}"], _fastest(found, name)) for name in peaks}
            for phase, found in medians.items()
        },
        "padding_share": round(_padding(network, train.lengths, batches), 4),
        "peak_memory_bytes": memory,
        "matrix_product_flops": peaks,
        "train_share_of_peak": {
            name: _ratio(medians["train"][f"engine_{name}"], peak and peak / work) for name, peak in peaks.items()
        },
    }


def plain(network: ConvNet | LSTM, dtype: torch.dtype, against: Collection[str] = ()) -> dict[str, Forward]:
    """Return the forms of a network that torch offers, by name: functions from a batch to its logits.

    Args:
        network: the network.
        dtype: the dtype of the computation.
        against: other forms than `padded`: `compiled` of a ConvNet, `packed` of an LSTM on a CPU.
    """
    if isinstance(network, LSTM):

        def longest(batch: Batch) -> Tensor:
            return network.padded(batch.padded(min(int(batch.lengths.max(initial=0)), network.length)), dtype)

        found: dict[str, Forward] = {"padded": longest}
        if "packed" in against and network.embedding.device.type == "cpu":
            found["packed"] = partial(network, dtype=dtype, packed=True)
        return found
    images = partial(network.padded, dtype=dtype, channels_last=True)
    found = {"padded": partial(padded, network, dtype=dtype, channels_last=dtype == torch.bfloat16)}
    if "compiled" in against:
        cuda = next(network.parameters()).is_cuda
        torch.backends.cudnn.benchmark = cuda
        run = torch.compile(images, mode="max-autotune" if cuda else None)
        found["padded_compiled"] = lambda batch: run(batch.padded(network.length))
    return found


def padded(network: ConvNet, batch: Batch, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    """Compute the logits of a batch by `ConvNet.padded`: dtype [rows, classes]."""
    return network.padded(batch.padded(network.length), dtype, channels_last)


def operations(network: ConvNet | LSTM, lengths: np.ndarray) -> float:
    """Floating point operations of a forward pass that a text takes on average, if only its own columns are computed.

    Multiplications and additions of convolutions, recurrent and fully connected layers. Look-ups, such as the first
    convolution over one-hot columns, are not counted, nor is what is once a batch.

    Args:
        network: the layers.
        lengths: int64 [rows], of the texts.
    """
    texts = np.clip(lengths, 1, network.length)
    if isinstance(network, LSTM):
        weights = sum(weight.numel() for weight in network.lstm.parameters() if weight.dim() == 2)
        return 2 * (weights * float(texts.mean()) + network.connected.weight.numel())
    geometry, total = network.geometry, 0.0
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


def _compiles(variant: Variant, batch: Batch) -> bool:
    """Whether torch can compile a variant here, which wants a C++ compiler or Triton; says why if not."""
    try:
        variant[1](batch)
    except (RuntimeError, ImportError) as error:
        print(f"torch.compile: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return False
    return True


def _padding(network: ConvNet | LSTM, lengths: np.ndarray, batches: list[Batch]) -> float:
    """Share of padding in what the padded form of a network computes."""
    if isinstance(network, LSTM):
        texts = [np.clip(batch.lengths, 1, network.length) for batch in batches]
        return 1 - sum(int(part.sum()) for part in texts) / sum(len(part) * int(part.max()) for part in texts)
    return 1 - float(np.minimum(lengths, network.length).mean()) / network.length


def _fastest(found: dict[str, float | None], precision: str) -> float | None:
    """The largest figure of another form than the engine in a precision."""
    return max((value or 0 for name, value in found.items() if _other(name, precision)), default=0) or None


def _other(name: str, precision: str) -> bool:
    return name.endswith(precision) and not name.startswith("engine")


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
        table.add_row(
            f"engine : fastest other, {name}", *(_cell(figures["ratios"][phase][name], ".2f") for phase in PHASES)
        )
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
