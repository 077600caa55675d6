"""The three lists of what is needed agree."""

import re
import tomllib

import yaml

from tests.support.paths import ROOT

RENAMED = {"pytorch-gpu": "torch", "snakemake-minimal": "snakemake", "matplotlib-base": "matplotlib"}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


def test_conda_has_the_same_versions() -> None:
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(line.split("=") for line in lines if isinstance(line, str) and "=" in line)
    assert conda.pop("python") == "3.11"
    assert {RENAMED.get(name, name): version for name, version in conda.items()}.items() <= pins().items()


def test_everything_declared_is_pinned_and_in_both() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["workflow"], *extras["tools"]]
    names = {re.split(r"[\[<>=;]", name)[0].lower() for name in needed}
    developers = {re.split(r"[\[<>=;]", name)[0].lower() for name in extras["dev"]}
    assert names | developers <= pins().keys()
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {RENAMED.get(name, name) for name in (line.split("=")[0] for line in lines if isinstance(line, str))}
    assert names <= conda
