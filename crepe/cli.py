"""The command line: each command is one module, imported only when it is called.

A command's module has `arguments(parser)`, which declares its options, and `main(options)`, which runs it.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from crepe import __version__
from crepe.errors import CrepeError
from crepe.io import parent

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
    "compare": ("crepe.evaluation.compare", "test whether two runs differ on the same test rows"),
    "weights": ("crepe.inference.weights", "show what the first layer of a ConvNet has learnt"),
    "predict": ("crepe.inference.predict", "classify texts with a trained model"),
    "export": ("crepe.inference.export", "export a trained model as ONNX, in a folder with a model card"),
    "serve": ("crepe.inference.serve", "serve a trained model over HTTP, with a web page"),
    "bench": ("crepe.training.bench", "measure the engine against padded baselines"),
    "init-dataset": ("crepe.own_data.init_dataset", "make a dataset and a study from your own table of texts"),
    "demo-data": ("crepe.data.demo_data", "collect the demo's dataset from docstrings on this machine"),
}
"""Other commands: module and help."""

COMMANDS = STEPS | TOOLS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="crepe", description="The paper's whole table from one command, step by step."
    )
    parser.add_argument("--version", action="version", version=f"crepe {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = next((word for word in words if not word.startswith("-")), None)
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == called:
            module = import_module(module_name)
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
