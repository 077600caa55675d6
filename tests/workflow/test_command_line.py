import subprocess
import sys

import pytest

from crepe.workflow.command_line import move_targets, targets_first, typed


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--cores 8 --resources gpu=1 all", "all --cores 8 --resources gpu=1"),
        ("--resources gpu=1 mem_mb=9 all table --cores 8", "all table --resources gpu=1 mem_mb=9 --cores 8"),
        ("--resources gpu=1 --set-threads train=2 a/run.json", "a/run.json --resources gpu=1 --set-threads train=2"),
        ("--configfile a.json b.yml a/run.csv a/table.md", "a/run.csv a/table.md --configfile a.json b.yml"),
        ("--configfile a.yaml a/clean.json", "a/clean.json --configfile a.yaml"),
        ("--config name=a all -n", "all --config name=a -n"),
        ("all --resources gpu=1", "all --resources gpu=1"),
        ("--cores 8 all", "--cores 8 all"),
        ("--until encode train", "--until encode train"),
        ("", ""),
    ],
)
def test_targets_come_first(words, found):
    assert targets_first(words.split()) == found.split()


@pytest.mark.parametrize(
    ("program", "options", "moved"),
    [
        ("/usr/bin/snakemake", "", True),
        ("/lib/python3.11/site-packages/snakemake/__main__.py", "", True),
        # Jobs that Snakemake starts have values in base64, without an equals sign.
        ("/lib/python3.11/site-packages/snakemake/__main__.py", "--target-jobs train:", False),
        ("/usr/bin/pytest", "", False),
    ],
)
def test_only_what_a_user_types_for_snakemake_is_changed(program, options, moved):
    words = [program, *options.split(), "--resources", "base64//Z3B1PTE", "all"]
    before = list(words)
    move_targets(words)
    assert (words != before) == moved


def test_importing_the_plugin_touches_no_other_programs_words():
    code = "import sys, snakemake_logger_plugin_crepe; print(*sys.argv)"
    words = ["--resources", "gpu=1", "all"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-c", *words]


def test_values_inside_lists_and_mappings_have_their_types():
    nested = {"convnet": {"epochs": "3", "learning_rate": "1e-3"}, "english": "false", "max_grad_norm": "null"}
    assert typed(nested) == {
        "convnet": {"epochs": 3, "learning_rate": 0.001},
        "english": False,
        "max_grad_norm": None,
    }
    assert typed(["0", "1"]) == [0, 1]
    assert typed(["ag_news", "[odd"]) == ["ag_news", "[odd"]
    # At the top level Snakemake has given them a type.
    assert typed("0") == "0"
