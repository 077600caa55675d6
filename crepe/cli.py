"""The command line: each command is one module, imported only when it is called.

A command's module has `arguments(parser)`, which declares its options, and `main(options)`, which runs it.
"""

import argparse
import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from crepe import __version__
from crepe.errors import CrepeError
from crepe.io import processes

STEPS = {
    "download": ("crepe.data.download", "download a dataset's archive and verify its checksum"),
    "clean": ("crepe.data.clean", "convert an archive's CSV files to Parquet"),
    "encode": ("crepe.data.encode", "encode clean text as shards of integers"),
    "vectors": ("crepe.data.vectors", "find a vector for each word of a vocabulary"),
    "train": ("crepe.training.train", "train a model on shards"),
    "evaluate": ("crepe.evaluation.evaluate", "test a trained model on the whole test set"),
    "table": ("crepe.results.table", "write a study's results beside the paper's table 4"),
    "report": ("crepe.results.report", "write a study's report, one HTML page"),
}
"""Commands that the workflow runs, in its order: module and help."""

TOOLS = {
    "watch": ("crepe.monitor.watch", "show the progress of a study"),
    "tune": ("crepe.training.tune", "compare hyper-parameters on held-out rows of the train set"),
    "scores": ("crepe.evaluation.scores", "show the metrics of tested runs, with intervals"),
    "compare": ("crepe.evaluation.compare", "test whether two runs differ on the same test rows"),
    "weights": ("crepe.inference.weights", "show what the first layer of a ConvNet has learnt"),
    "predict": ("crepe.inference.predict", "classify texts with a trained model"),
    "export": ("crepe.inference.export", "export a trained model as ONNX, in a folder with a model card"),
    "serve": ("crepe.inference.serve", "serve a trained model over HTTP, with a web page"),
    "bench": ("crepe.training.bench", "measure the engine against plain forms of a network"),
    "plan": ("crepe.workflow.plan", "estimate what a study takes, before it runs"),
    "record": ("crepe.workflow.record", "run a study's workflow and record its data and models with DVC"),
    "pipeline": ("crepe.workflow.pipeline", "write a study's DVC pipeline"),
    "init-dataset": ("crepe.own_data.init_dataset", "make a dataset and a study from your own table of texts"),
    "subset": ("crepe.data.subset", "name a dataset's rows, for others to make it from the whole archive"),
    "demo-data": ("crepe.data.demo_data", "collect the demo's dataset from docstrings on this machine"),
}
"""Other commands: module and help."""

COMMANDS = STEPS | TOOLS

_STREAM_ERRORS = {errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG, errno.EDQUOT}
"""Errors of writing to standard output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    A full or closed standard output is reported as an error. If its reader has exited (`head`), return 128 + SIGPIPE
    silently.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    processes.limit_threads()
    try:
        try:
            return _run(words, _import_for_good if arguments is None else import_module)
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Errors of files have a name, or have become a CrepeError; without a buffer a write fails only once.
        if error.filename is not None or error.errno not in _STREAM_ERRORS:
            raise
        _drop(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        fault = CrepeError("standard output", f"cannot be written: {error.strerror}", "direct it elsewhere")
        print(f"crepe {_called(words)}: {fault}", file=sys.stderr)
        return 1


def _called(words: Sequence[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _run(words: Sequence[str], load: Callable[[str], Any]) -> int:
    parser = argparse.ArgumentParser(
        prog="crepe", description="Reproduce table 4 of Zhang et al. (2015), one step per command."
    )
    parser.add_argument("--version", action="version", version=f"crepe {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = _called(words)
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == called:
            module = load(module_name)
            command.description = module.__doc__
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            module.arguments(command)
    for word in words:
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            parser.error(f"argument {word!a}: is not UTF-8; rename the file, or write the text in UTF-8")
    options = parser.parse_args(words)
    processes.watch_parent()
    try:
        module.main(options)
    except CrepeError as error:
        print(f"crepe {called}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"crepe {called}: interrupted", file=sys.stderr)
        return 130
    return 0


def _import_for_good(name: str) -> Any:
    """Import the module of the only command of this process.

    The garbage collector leaves alone what the import makes, at the end of the process, too. With torch, which makes
    250,000 objects, this saves 0.3 s of 1.3.
    """
    gc.disable()
    module = import_module(name)
    gc.freeze()
    gc.enable()
    return module


def _open_streams() -> None:
    """Replace streams that were closed before the start, and let any text be written."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    if sys.stdout is None:
        # Writing to it is an error, as with the closed one; printing nothing is not.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where it is not UTF-8 (LANG=C), what it lacks becomes an escape.
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop(stream: IO[str]) -> None:
    """Drop the rest of a stream that cannot be written: Python would try again at its end, and complain."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
