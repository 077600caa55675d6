"""The command line: one command a phase, each in the module of its name and imported only when it is called.

A command's module has `arguments(parser)`, which declares its options, and `main(options)`, which runs it.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from crepe import __version__, parent
from crepe.errors import CrepeError

COMMANDS = {
    "download": "fetch a dataset's archive and check it",
    "clean": "turn an archive's CSV files into Parquet",
    "encode": "turn clean text into shards of integers",
    "vectors": "find a vector for each word of a vocabulary",
    "train": "train a model on shards",
    "tune": "compare settings of a recipe on rows held out from the train set",
    "evaluate": "test a trained model on every test row",
    "table": "set a study's results beside the paper's table 4",
    "compare": "test whether two runs differ on the same test rows",
    "watch": "show how far a study has come",
    "report": "write a study's report, one HTML page",
    "weights": "show what a ConvNet's first layer has learnt",
    "predict": "classify texts with a trained model",
    "export": "write a trained model as ONNX and as a folder to pass on",
    "serve": "serve a trained model as a page to type into and an address to post to",
    "bench": "measure the engine against plain dense baselines",
    "init-dataset": "make a dataset and a study of one's own table of texts",
    "demo-data": "collect the demo's dataset from docstrings on this machine",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="crepe", description="The paper's whole table from one command, step by step."
    )
    parser.add_argument("--version", action="version", version=f"crepe {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == called:
            module = import_module(f"crepe.{name.replace('-', '_')}")
            command.description = module.__doc__
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            module.arguments(command)
    options = parser.parse_args(words)
    parent.watch()
    try:
        module.main(options)
    except CrepeError as error:
        print(f"crepe {called}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"crepe {called}: interrupted", file=sys.stderr)
        return 130
    return 0
