"""docs/architecture.md names files that are there, and the layers that are checked."""

import re
import tomllib

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
MAP = PAGE[PAGE.index("## Where to look") :]
PATHS = sorted(set(re.findall(r"`((?:crepe|config|workflow|profiles|tests|docs)/[^`]*)`", PAGE)))


def test_the_map_has_rows() -> None:
    assert len(re.findall(r"^\| [^|]+ \| .*`.+` ?\|$", MAP, flags=re.M)) > 15
    assert len(PATHS) > 20


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exists(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).exists()


def test_the_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    (drawn,) = re.findall(r"^```\n(cli .*?)^```$", PAGE, flags=re.S | re.M)
    # The names stand in the first 26 columns.
    assert re.findall(r"\w+", " ".join(line[:26] for line in drawn.splitlines())) == re.findall(
        r"\w+", " ".join(layers)
    )
