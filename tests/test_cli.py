import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crepe import __version__
from crepe.cli import COMMANDS, main
from tests.support.paths import ROOT

HEAVY = {"torch", "polars", "pyarrow", "numpy", "requests", "PIL", "rich"}


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys; from crepe.cli import main\ntry: main(['--help'])\nfinally: print({HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"crepe {command}" in text
    assert not re.search(r"`crepe\.(?!load\b|quantize\b)", text), "users read no Python modules"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"crepe {__version__}\n"


def test_a_fault_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "no_such_dataset"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("crepe clean: configuration: dataset 'no_such_dataset' is not in the catalog")
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bake"])
    assert ended.value.code == 2
    assert "bake" in capsys.readouterr().err


def crepe(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line of the shell, in which `crepe` is the program."""
    line = arguments.replace("crepe", f"{sys.executable} -m crepe")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; cd {ROOT}; {line}"],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | {"TMPDIR": str(folder)},
    )


@pytest.mark.parametrize(
    ("line", "status", "fault"),
    [
        ("crepe --version > /dev/full", 1, "standard output: cannot be written: No space left on device; direct it"),
        ("crepe --version >&-", 1, "standard output: cannot be written: Bad file descriptor; direct it elsewhere"),
        ("crepe --version | true", 141, ""),
        (r"crepe clean $'caf\xe9'", 2, r"argument 'caf\udce9': is not UTF-8; rename the file, or write the text"),
        ("PYTHONIOENCODING=ascii crepe predict --help", 0, ""),
    ],
)
def test_output_and_arguments_of_all_sorts(tmp_path: Path, line: str, status: int, fault: str) -> None:
    done = crepe(line, tmp_path)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert fault in done.stderr
    assert fault or not done.stderr
