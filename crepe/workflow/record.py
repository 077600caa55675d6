"""Run a study's workflow and record by DVC what it made: the command of the study's stage in dvc.yaml.

    crepe record --config config/demo.yaml

runs `snakemake all` and then, whatever its outcome, `dvc add` for the data and weights of the study that are there: a
study with a failed cell keeps the others. Datasets belong to no stage, so that studies share them. Snakemake's records
go into records.dvc: in a clone with `dvc pull` there is nothing to do.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from crepe import layout
from crepe import options as shared
from crepe.config import Config, load
from crepe.config.jobs import jobs
from crepe.data import store
from crepe.errors import CrepeError
from crepe.io.files import write_text

EXPERIMENT = "DVC_EXP_NAME"
"""Environment variable that `dvc exp run` sets."""

_HEAD = "# Records of finished jobs, for clones. `crepe record` renews it.\n"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    shared.add_config(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    config = load(options.config)
    # Ctrl-C reaches Snakemake, too; what it leaves is recorded.
    signal.signal(signal.SIGINT, lambda *_: None)
    if EXPERIMENT in os.environ:
        _restore()
    overlay = ["--configfile", options.config] if options.config else []
    status = _call("snakemake", "all", *overlay)
    record(config)
    if status:
        raise CrepeError(
            f"study {config.name}", f"Snakemake ended with status {status}", "what is done has been recorded; see above"
        )


def record(config: Config) -> None:
    """Record the data and weights of a study that are there, and Snakemake's records.

    Raises:
        CrepeError: DVC refused.
    """
    found = [str(path) for path in files(config) if path.exists()]
    if found:
        _dvc("add", "--quiet", *found)
        _join(Path(path) for path in found)
    if layout.SNAKEMAKE_RECORDS.exists():
        if not layout.DVC_RECORDS.exists():
            # `dvc add` would put its file into .snakemake, which git does not see.
            write_text(layout.DVC_RECORDS, f"{_HEAD}outs:\n- path: {layout.SNAKEMAKE_RECORDS.as_posix()}\n")
        _dvc("commit", "--quiet", "--force", str(layout.DVC_RECORDS))
    if EXPERIMENT in os.environ:
        # An experiment keeps only files that git knows.
        _call("git", "add", "--all", ".")


def files(config: Config) -> Iterator[Path]:
    """Yield the files and folders of a study that DVC keeps."""
    for job in jobs(config):
        yield from job.kept


def _join(paths: Iterable[Path]) -> None:
    """Make downloads and their copies in the store one file each."""
    kept = [file for file in layout.store("").glob("*") if file.is_file()]
    for path in filter(Path.is_file, paths):
        for copy in kept:
            if copy.stat().st_size == path.stat().st_size:
                store.join(path, copy)


def _restore() -> None:
    """Bring what is recorded into the folder of an experiment, where DVC has put the stage's own files only."""
    missing = [
        str(file)
        for file in Path().rglob("*.dvc")
        if file.is_file() and not file.with_suffix("").exists() and file != layout.DVC_RECORDS
    ]
    if layout.DVC_RECORDS.exists():
        missing.append(str(layout.DVC_RECORDS))
    if missing:
        _dvc("checkout", "--quiet", "--allow-missing", *missing)


def _dvc(*words: str) -> None:
    if status := _call("dvc", *words):
        raise CrepeError(f"dvc {words[0]}", f"ended with status {status}", "see its message above")


def _call(program: str, *words: str) -> int:
    """Run a program of the environment that this process runs in, activated or not."""
    command = [program] if program == "git" else [sys.executable, "-m", program]
    return subprocess.call([*command, *words])
