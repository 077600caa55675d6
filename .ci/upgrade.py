"""Renew the pinned versions: constraints.txt, environment.yml and workflow/envs/, and print what changed.

    make upgrade

pip finds the newest versions that go together, without installing them. Nothing is tested: run `make test` and `make
demo` afterwards. conda-forge may lag behind; where it lacks a version, pin an older one in all files.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch-gpu": "torch", "snakemake-minimal": "snakemake"}
"""Packages with another name in conda-forge than in PyPI."""


def newest() -> dict[str, str]:
    """Name and version of everything that an installation of today would have."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        install = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        command = [sys.executable, "-m", "pip", *install, f"{ROOT}[workflow,tools,dev]"]
        subprocess.run(command, check=True)
        installed = json.loads(report.read_text())["install"]
    found = {package["metadata"]["name"]: package["metadata"]["version"] for package in installed}
    return {normal(name): version.partition("+")[0] for name, version in found.items() if normal(name) != "crepe"}


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(constraints: str) -> dict[str, str]:
    """Name and version of each line of constraints.txt."""
    return {normal(name): version for name, version in re.findall(r"^([^#\s=]+)==(\S+)$", constraints, flags=re.M)}


def constraints(old: str, versions: Mapping[str, str]) -> str:
    """constraints.txt with other versions; its comments stay."""
    comments = [line for line in old.splitlines() if line.startswith("#")]
    return "\n".join([*comments, *sorted(f"{name}=={version}" for name, version in versions.items()), ""])


def environment(old: str, versions: Mapping[str, str]) -> str:
    """An environment file of conda with other versions, where they are known."""

    def renewed(line: re.Match[str]) -> str:
        name = normal(CONDA_NAMES.get(line[2], line[2]))
        return f"{line[1]}{line[2]}={versions.get(name, line[3])}"

    return re.sub(r"^( *- )([\w.-]+)=([\w.]+)$", renewed, old, flags=re.M)


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """A line for each package that differs."""
    names = sorted({*old, *new})
    return [
        f"{name}: {old.get(name, 'new')} -> {new.get(name, 'gone')}" for name in names if old.get(name) != new.get(name)
    ]


def main() -> None:
    """Renew all files."""
    path, versions = ROOT / "constraints.txt", newest()
    old = path.read_text()
    path.write_text(constraints(old, versions))
    for file in (ROOT / "environment.yml", *sorted((ROOT / "workflow/envs").glob("*.yml"))):
        file.write_text(environment(file.read_text(), versions))
    print("\n".join(changes(pins(old), versions)) or "Nothing has changed.")


if __name__ == "__main__":
    main()
