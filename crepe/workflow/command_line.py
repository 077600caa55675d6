"""Snakemake's command line as users type it: targets in last place, numbers in `--config`.

Some of Snakemake's options take every word that follows, so it refuses the command `snakemake --cores 8 --resources
gpu=1 all`: it takes `all` for a resource. Snakemake imports its logger plugins before
it reads `sys.argv`, so the project's plugin calls `move_targets` when it is imported.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAIRS = {"--resources", "--res", "--set-threads", "--set-resources", "--default-resources", "--config", "-C"}
"""Options that take every word that follows as a `NAME=VALUE` pair."""
FILES = {"--configfile", "--configfiles"}
"""Options that take every word that follows as the name of a configuration file."""


def move_targets(words: list[str]) -> None:
    """Move the targets in `sys.argv` to the front, in place, if it is a command line of Snakemake that a user typed.

    Jobs that Snakemake starts itself have `--target-jobs`; they are left alone, as are other programs.
    """
    if words and _is_snakemake(Path(words[0])) and "--target-jobs" not in words:
        words[1:] = targets_first(words[1:])


def _is_snakemake(program: Path) -> bool:
    return program.name == "snakemake" or program.parts[-2:] == ("snakemake", "__main__.py")


def targets_first(words: Sequence[str]) -> list[str]:
    """Move the targets of a command line that follow a greedy option to the front."""
    targets, rest, option = [], [], ""
    for before, word in zip(["", *words], words, strict=False):
        option = word if word.startswith("-") else option
        value = "=" in word if option in PAIRS else before == option or word.endswith((".yaml", ".yml"))
        if word != option and option in PAIRS | FILES and not value:
            targets.append(word)
        else:
            rest.append(word)
    return targets + rest


def typed(value: Any) -> Any:
    """Convert text inside the lists and mappings of a `--config` pair to numbers, booleans and nulls.

    Snakemake reads these as text: `seeds=[0,1]` gives `["0", "1"]`. Values at the top level have their type already.
    """
    if isinstance(value, Mapping):
        return {key: _scalar(item) for key, item in value.items()}
    return [_scalar(item) for item in value] if isinstance(value, list) else value


def _scalar(value: Any) -> Any:
    import yaml

    if not isinstance(value, str):
        return typed(value)
    for parse in (int, float, yaml.safe_load):  # YAML alone takes 1e-3 for text.
        try:
            return parse(value)
        except (ValueError, yaml.YAMLError):
            continue
    return value
