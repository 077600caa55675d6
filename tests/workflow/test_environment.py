"""The three lists of what is needed agree."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.support.paths import ROOT

RENAMED = {"pytorch-gpu": "torch", "snakemake-minimal": "snakemake"}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


def test_conda_has_the_same_versions() -> None:
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(line.split("=") for line in lines if isinstance(line, str) and "=" in line)
    assert conda.pop("python") == "3.11"
    assert {RENAMED.get(name, name): version for name, version in conda.items()}.items() <= pins().items()


@pytest.mark.parametrize("path", sorted((ROOT / "workflow/envs").glob("*.yml")), ids=lambda path: path.stem)
def test_the_rules_environments_have_the_same_versions(path: Path) -> None:
    conda = dict(line.split("=") for line in yaml.safe_load(path.read_text())["dependencies"])
    assert conda.pop("python") == "3.11"
    assert {RENAMED.get(name, name): version for name, version in conda.items()}.items() <= pins().items()


@pytest.fixture(scope="module")
def upgrade() -> ModuleType:
    spec = importlib.util.spec_from_file_location("upgrade", ROOT / ".ci/upgrade.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_upgrade_changes_versions_alone(upgrade: ModuleType) -> None:
    old = (ROOT / "constraints.txt").read_text()
    versions = upgrade.pins(old)
    assert upgrade.pins(upgrade.constraints(old, versions)) == versions
    newer = versions | {"torch": "99.0", "added": "1.0"}
    del newer["yarl"]
    assert upgrade.changes(versions, newer) == [
        "added: new -> 1.0",
        f"torch: {versions['torch']} -> 99.0",
        f"yarl: {versions['yarl']} -> gone",
    ]
    conda = (ROOT / "environment.yml").read_text()
    assert upgrade.environment(conda, versions) == conda
    assert upgrade.environment(conda, newer) == conda.replace(f"pytorch-gpu={versions['torch']}", "pytorch-gpu=99.0")


def test_everything_declared_is_pinned_and_in_both() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["workflow"], *extras["tools"]]
    names = {re.split(r"[\[<>=;]", name)[0].lower() for name in needed}
    developers = {re.split(r"[\[<>=;]", name)[0].lower() for name in [*extras["dev"], *extras["bench"]]}
    assert names | developers <= pins().keys()
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {RENAMED.get(name, name) for name in (line.split("=")[0] for line in lines if isinstance(line, str))}
    assert names <= conda
