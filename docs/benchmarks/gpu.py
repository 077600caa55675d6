"""Measure a GPU in one call: networks against their plain forms, whole linear rows, and trainings side by side.

    python docs/benchmarks/gpu.py --dataset ag_news --seconds 540

needs the dataset's shards (`crepe encode`). Each measurement is a process of its own and leaves a JSON file in the
output folder; when the time is up, those that are left are named and not begun. Trainings side by side share the GPU
under NVIDIA's Multi-Process Service, where that can be started.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from crepe.config import load
from crepe.layout import shards
from crepe.models.device import RUNS_PER_GPU

AGAINST = {"convnet": ["padded", "compiled"], "lstm": ["padded"]}
"""Forms that networks of a kind are measured against."""
ROUNDS = 2


def main() -> int:
    """Run the script; return 1 if a measurement failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ag_news", help="key of a dataset (default: %(default)s)")
    networks = ["conv-small", "conv-large", "lk-conv-small", "lk-conv-large", "lstm"]
    parser.add_argument("--models", nargs="*", default=networks, help="for `crepe bench` (default: %(default)s)")
    parser.add_argument("--rows", nargs="*", default=["ngrams-tfidf", "ngrams"], help="linear (default: %(default)s)")
    parser.add_argument("--together", default="conv-small", help="trained side by side (default: %(default)s)")
    parser.add_argument("--numbers", nargs="*", type=int, default=[1, 2, 4], help="trainings at a time")
    parser.add_argument("--steps", type=int, default=20_000, help="batches of each of them (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=540, help="begin nothing after these (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="or cpu, to try the script (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("gpu"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    end, config, failed = time.monotonic() + options.seconds, load(), False

    def late(name: str) -> bool:
        if time.monotonic() < end:
            print(f"--- {name}", flush=True)
            return False
        print(f"--- {name}: not begun, the time is up", flush=True)
        return True

    for number in options.numbers:
        if not late(f"{number} x {options.together}"):
            found = side_by_side(options, number)
            failed |= not found
            (options.output / f"together-{number}.json").write_text(json.dumps(found))
            print(f"{sum(found):,.0f} samples/s: {', '.join(f'{speed:,.0f}' for speed in found)}", flush=True)
    for model in options.models:
        if not late(model):
            folder = shards(config.model(model).model.feature, options.dataset)
            against = AGAINST.get(config.model(model).network.kind, ["padded"])
            words = ["bench", "--shards", str(folder), "--model", model, "--against", *against, "--rounds", str(ROUNDS)]
            done = crepe([*words, "--device", options.device, "--json"], stdout=subprocess.PIPE)
            text = done.communicate()[0]
            failed |= done.returncode != 0
            if done.returncode == 0:
                (options.output / f"{model}.json").write_bytes(text)
                figures = json.loads(text)
                print({key: figures[key] for key in ("train", "evaluate", "ratios")}, flush=True)
    for model in options.rows:
        if not late(model):
            failed |= crepe(train(options, model, 0)).wait() != 0
    return int(failed)


def train(options: argparse.Namespace, model: str, seed: int, *more: str) -> list[str]:
    """Return the words of a training whose folder lies in the output."""
    place = ["--output", str(options.output / f"{model}-{seed}"), "--device", options.device]
    return ["train", options.dataset, model, "--seed", str(seed), *place, *more]


def side_by_side(options: argparse.Namespace, number: int) -> list[float]:
    """Train `number` networks at a time, and return the samples per second of each; none if one fails."""
    service = number > 1 and which("nvidia-cuda-mps-control") is not None
    if service:
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=False)
    environment = {**os.environ, RUNS_PER_GPU: str(number)}
    seeds = [10 * number + seed for seed in range(number)]
    steps = ("--steps", str(options.steps))
    running = [crepe(train(options, options.together, seed, *steps), env=environment) for seed in seeds]
    failed = [process.wait() for process in running]
    if service:
        subprocess.run(["nvidia-cuda-mps-control"], input=b"quit\n", check=False)
    if any(failed):
        return []
    records = [options.output / f"{options.together}-{seed}" / "run.json" for seed in seeds]
    return [json.loads(record.read_text())["samples_per_second"] for record in records]


def crepe(words: Sequence[str], **how: object) -> "subprocess.Popen[bytes]":
    """Start a command of crepe."""
    return subprocess.Popen([sys.executable, "-m", "crepe", *words], **how)  # type: ignore[call-overload, no-any-return]


if __name__ == "__main__":
    sys.exit(main())
