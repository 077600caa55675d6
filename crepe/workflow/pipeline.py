"""Write a study's DVC pipeline, results/STUDY/dvc.yaml, so that `dvc repro` runs and records the study.

    crepe pipeline --config config/pets.yaml
    dvc repro results/pets/dvc.yaml

It has one stage, `crepe record`. DVC runs it when the configuration has changed, or the code of a step, of which
config/code.json has digests.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crepe import layout
from crepe.config import load
from crepe.errors import CrepeError
from crepe.io.files import write_text

HEADER = """\
# Written by `crepe pipeline --config {overlay}`. Run and record the study:
#
#   dvc repro {path}
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--config", metavar="FILE", required=True, help="the study's configuration file, YAML or JSON")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    overlay = Path(options.config)
    if not overlay.is_file():
        raise CrepeError(f"--config {options.config}", "there is no such file", "name the study's configuration file")
    if overlay.is_absolute():
        raise CrepeError(f"--config {options.config}", "is absolute", "name it relative to the project's folder")
    config = load(options.config)
    path = layout.pipeline(config.name)
    subsets = (config.dataset(key).subset for key in config.datasets)
    write_text(path, text(path, overlay, [file for file in subsets if file]))
    print(f"{path}: now run `dvc repro {path}`", file=sys.stderr)


def text(path: Path, overlay: Path, subsets: Iterable[str] = ()) -> str:
    """The content of a study's dvc.yaml.

    Args:
        path: the file, results/STUDY/dvc.yaml.
        overlay: the study's configuration file.
        subsets: files that name the rows of its datasets, relative to the project's folder.
    """
    import yaml

    study = path.parent.name
    root = "/".join([".."] * len(path.parent.parts))
    configuration = [
        # The speed of a machine changes no result.
        *(str(layout.CONFIG / name) for name in layout.CONFIG_FILES),
        overlay.as_posix(),
    ]
    stage: dict[str, Any] = {
        "desc": "Every run of the study, its table and its report",
        "wdir": root,
        "cmd": f"crepe record --config {overlay.as_posix()}",
        "deps": [str(layout.CODE), *subsets],
        "params": [{name: None} for name in configuration],
        # Git keeps it. It stays while it is made again, since Snakemake says what has to be.
        "outs": [{str(layout.table(study)): {"cache": False, "persist": True}}],
    }
    content = {"stages": {study: stage}, "metrics": [layout.DVC_METRICS]}
    return HEADER.format(overlay=overlay.as_posix(), path=path) + yaml.safe_dump(content, sort_keys=False)
