"""A project as small as can be: this one's workflow on made-up texts that a model learns in seconds."""

import csv
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

from crepe.config import merge
from tests.support.paths import ROOT

TREE = (
    *("Snakefile", "workflow", "profiles", "crepe", "config"),
    *("dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"),
)
WORDS = (
    ("goal", "match", "team", "league"),
    ("market", "shares", "profit", "bank"),
    ("atom", "cell", "planet", "gene"),
)
ROWS = {"train": 240, "test": 60}


def project(
    folder: Path, datasets: tuple[str, ...] = ("toys",), models: tuple[str, ...] = ("bow", "conv-small")
) -> Path:
    """Copy the workflow to `folder`, with a tiny study in place of the paper's as the default configuration."""
    copy(folder)
    archive(folder / "archives/toys.tgz")
    write(folder / "config/config.yaml", study(datasets, models))
    write(folder / "config/datasets.yaml", {"catalog": {"datasets": {key: dataset() for key in datasets}}})
    content = yaml.safe_load((ROOT / "config/models.yaml").read_text())
    content["catalog"]["features"]["chars"]["max_length"] = 254
    content["catalog"]["networks"]["convnet-small"] |= {"channels": 8, "fc": [16, 16]}
    content["catalog"]["models"]["bow"]["training"] = "counts"
    write(folder / "config/models.yaml", content)
    # The same pipeline, but for the study's name.
    pipeline = (folder / "dvc.yaml").read_text().replace("results/paper", "results/tiny").replace("  paper:", "  tiny:")
    (folder / "dvc.yaml").write_text(pipeline)
    return folder


def copy(folder: Path) -> None:
    """Copy the workflow as it is."""
    for name in TREE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    _take_one_core(folder)
    # Not used, only recorded.
    (folder / "environment.yml").write_text("name: crepe\n")


def clone(folder: Path) -> None:
    """Clone the repository, as it was last committed, to `folder`."""
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    _take_one_core(folder)


def _take_one_core(folder: Path) -> None:
    """Leave the other cores to the tests that run beside this one."""
    profile = folder / "profiles/default/config.yaml"
    profile.write_text(profile.read_text().replace("cores: all", "cores: 1"))


CG = ("cg-counts", "cg-tfidf", "cg-ngrams", "cg-ngrams-tfidf", "cg-tfidf-l2")
"""Recipes of the linear models of `config/models.yaml`, but for bow, which sgd trains here."""


def study(datasets: tuple[str, ...], models: tuple[str, ...]) -> dict:
    """A study whose models are trained for a moment."""
    recipe = {
        "epochs": 2,
        "batch_size": 32,
        "batches_per_epoch": 10,
        "learning_rate": 0.01,
        "halve_every": 3,
        "max_halvings": 10,
    }
    recipe |= {"momentum": 0.9, "weight_decay": 1e-3}
    return {
        "name": "tiny",
        "datasets": list(datasets),
        "models": list(models),
        "seeds": [0],
        "training": {
            **dict.fromkeys(("convnet", "counts", "lstm"), recipe),
            **{key: {"kind": "cg", "l2": 0.001} for key in CG},
        },
    }


def dataset() -> dict:
    """The entry of a dataset that comes from `archives/toys.tgz`."""
    rows = {f"{split}_rows": rows for split, rows in ROWS.items()}
    return {"fields": 2, "classes": len(WORDS), **rows, "sources": [{"url": "archives/toys.tgz"}]}


def archive(path: Path, rows: dict[str, int] = ROWS, padding: int = 0) -> None:
    """Write an archive of the paper's format: texts of words that tell the class, and of some that do not.

    `padding` are bytes of noise in a file that is of no use.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    with tarfile.open(path, "w:gz") as archive:
        for split, count in rows.items():
            text = io.StringIO()
            writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
            for row in range(count):
                label = row % len(WORDS)
                words = chance.choices(WORDS[label], k=6) + chance.choices(("the", "of", "one", "new"), k=6)
                chance.shuffle(words)
                writer.writerow([label + 1, " ".join(words[:4]).title(), f"{' '.join(words[4:])} {row}."])
            info = tarfile.TarInfo(f"toys_csv/{split}.csv")
            content = text.getvalue().encode()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if padding:
            info = tarfile.TarInfo("toys_csv/noise")
            info.size = padding
            archive.addfile(info, io.BytesIO(chance.randbytes(padding)))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2))


def read(path: Path) -> dict:
    """A configuration file of the project."""
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def update(path: Path, change: dict) -> None:
    """Lay `change` over a configuration file of the project."""
    write(path, merge(read(path), change))


def commit(folder: Path) -> None:
    """Commit all that is not ignored."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "state")


def age(folder: Path) -> None:
    """Make all that was made look older than what it was made from, as unluckily as a checkout can."""
    for path in folder.rglob("*"):
        old = path.relative_to(folder).parts[0] in ("data", "results")
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (0, 10**9) if old else None)


def lines(path: Path, column: str) -> list[dict[str, str]]:
    """The lines of a CSV file in which a column is not blank."""
    with path.open(newline="") as stream:
        return [line for line in csv.DictReader(stream) if line[column]]


def planned(folder: Path, *options: str) -> dict[str, int]:
    """Count the jobs of each rule that Snakemake would run, without `all`."""
    text = run(folder, "snakemake", "--dry-run", "all", *options)
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, flags=re.M)}
    assert jobs or "Nothing to be done" in text
    return {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}


def run(folder: Path, *command: str, status: int = 0, at: Path | None = None) -> str:
    """Run one of the environment's commands in `folder`; returns what it prints, on both streams.

    `at` is the project whose package it uses, if that is not `folder`.
    """
    process = started(folder, *command, at=at)
    text, _ = process.communicate()
    assert process.returncode == status, f"{' '.join(command)} ended with {process.returncode}:\n{text}"
    return text


def started(folder: Path, *command: str, at: Path | None = None) -> "subprocess.Popen[str]":
    """Start one of the environment's commands in `folder`, both streams together in a pipe."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | environment(at or folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def environment(folder: Path) -> dict[str, str]:
    """The copy's own package, and nothing of the user's configuration of git, DVC and Snakemake."""
    tools = Path(sys.executable).parent
    return {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "workflow/plugins")]),
        "HOME": str(folder.parent),
        "XDG_CACHE_HOME": str(folder.parent / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_NO_ANALYTICS": "1",
        **{f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
