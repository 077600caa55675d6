"""Command-line options that several commands share."""

import argparse
from pathlib import Path

from crepe.layout import CONFIG, CONFIG_FILES

PRECISIONS = ("float32", "bfloat16", "float64")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare `--config`: see `crepe.config.load`."""
    files = ", ".join(CONFIG_FILES)
    parser.add_argument(
        "--config",
        metavar="OVERLAY",
        help=f"YAML or JSON file, or JSON text, merged into the default configuration ({CONFIG}/: {files})",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare `--device`: see `crepe.models.device.choose_device`."""
    parser.add_argument(
        "--device", default="auto", help="cuda, cuda:1, mps or cpu; default: a free GPU if there is one, else the CPU"
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Declare `--precision`: see `crepe.models.device.choose_precision`."""
    parser.add_argument(
        "--precision", default="auto", help=f"{', '.join(PRECISIONS)}; default: the fastest that the device computes in"
    )


def add_shards(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Declare `--shards`, the folder of a dataset's shards."""
    parser.add_argument(
        "--shards",
        type=Path,
        metavar="DIR",
        required=required,
        help="folder of the shards" + ("" if required else " (default: data/shards/FEATURE/DATASET)"),
    )


def add_partial(parser: argparse.ArgumentParser) -> None:
    """Declare `--partial`: see `crepe.results.grid.grids`."""
    parser.add_argument(
        "--partial",
        action="store_true",
        help="write partial.* of an unfinished study, and leave out runs of other settings",
    )
