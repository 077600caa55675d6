"""Show the progress of a study from its files: in another terminal, or while the workflow runs on a cluster.

    crepe watch demo
    crepe watch results/demo --once

It ends when every run is done, or on Ctrl-C. Without a terminal it prints the state once, then a line for each change.
Files that exist count as done, even if a changed configuration makes Snakemake write them again.
"""

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from crepe import layout
from crepe.config import Config, load
from crepe.errors import CrepeError
from crepe.monitor import view
from crepe.monitor.board import Board, look
from crepe.options import add_config


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "study",
        nargs="?",
        metavar="STUDY",
        help="name or folder of a study (config/STUDY.yaml); default: the paper's",
    )
    add_config(parser)
    parser.add_argument("--once", action="store_true", help="print the state once and end")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = study(options.study, options.config)
    console = view.console(sys.stdout)
    if options.once:
        view.show(look(config), console)
        return
    with suppress(KeyboardInterrupt):
        _follow(config, console)


def study(name: str | None, overlay: str | None) -> Config:
    """Load the configuration of a study, given its name or folder, or an overlay.

    Raises:
        CrepeError: there is no configuration of that name.
    """
    key = None if name is None else Path(name).name.removesuffix(".yaml")
    file = layout.overlay(key or "")
    config = load(overlay or (str(file) if key and file.exists() else None))
    if key not in (None, config.name):
        known = sorted(path.stem for path in layout.CONFIG.glob("*.yaml"))
        hint = f"there is no {file}" if overlay is None else f"{overlay} is of {config.name}"
        raise CrepeError(f"study {key!r}", hint, f"give its file by --config; config/ has {', '.join(known)}")
    return config


def _follow(config: Config, console: Console) -> None:
    """Show the study until every run is done."""
    board = look(config)

    def latest() -> Board:
        nonlocal board
        board = look(config)
        return board

    if view.is_live(sys.stdout):
        with view.live(latest, console):
            while not board.done:
                time.sleep(view.SECONDS)
        return
    before = None
    print(view.heading(board), flush=True)
    while True:
        for line in view.plain(before, board):
            print(line, flush=True)
        if board.done:
            return
        time.sleep(view.SECONDS)
        before, board = board, look(config)
