"""The workflow from other folders, through other commands, and inside other workflows."""

import re
import sys

import pytest

from tests.support import tiny

# Minutes, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CELL = "results/demo/runs/docstrings/bow/0/run.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The workflow as it is, planned only."""
    folder = tmp_path_factory.mktemp("anywhere") / "project"
    tiny.copy(folder)
    return folder


def count(text):
    return {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", text, flags=re.M)}


def test_as_the_paper_says_and_as_a_module_of_python(project):
    words = ["--cores", "8", "--resources", "gpu=1", "--configfile", "config/demo.yaml", "all", "--dry-run"]
    plans = [tiny.run(project, *command, *words) for command in (["snakemake"], [sys.executable, "-m", "snakemake"])]
    assert [count(plan)["train"] for plan in plans] == [6, 6]


def test_values_typed_for_config(project):
    pairs = ["seeds=[0,1]", "training={convnet: {epochs: 2, learning_rate: 1e-3}}"]
    text = tiny.run(project, "snakemake", "--dry-run", "all", "--configfile", "config/demo.yaml", "--config", *pairs)
    assert count(text)["train"] == 12


@pytest.mark.parametrize("options", [["-s", "../project/workflow/Snakefile"], ["-s", "../project/Snakefile"]])
def test_in_a_folder_without_any_of_its_files(project, options):
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    overlay = str(project / "config/demo.yaml")
    text = tiny.run(
        elsewhere, "snakemake", *options, "--cores", "2", "--configfile", overlay, "--dry-run", "all", at=project
    )
    assert count(text)["total"] == 24


def test_another_directory_than_the_one_it_is_started_in(project):
    elsewhere = project.parent / "results elsewhere"
    text = tiny.run(
        project, "snakemake", "--directory", str(elsewhere), "--configfile", "config/demo.yaml", "--dry-run", "all"
    )
    assert count(text)["total"] == 24


def test_from_a_subfolder(project):
    command = ["snakemake", "-s", "../Snakefile", "--directory", "..", "--cores", "1", "--dry-run", "all"]
    text = tiny.run(project / "config", *command, "--configfile", "demo.yaml", at=project)
    assert count(text)["total"] == 24


OUTER = """
configfile: "{project}/config/config.yaml"
configfile: "{project}/config/datasets.yaml"
configfile: "{project}/config/models.yaml"
configfile: "{project}/config/demo.yaml"

module crepe:
    snakefile: "{project}/workflow/Snakefile"
    config: config

use rule * from crepe as crepe_*

rule mine:
    default_target: True
    input: rules.crepe_all.input
    output: "mine.txt"
    shell: "touch {{output}}"
"""


def test_as_a_module_of_another_workflow(project):
    outer = project.parent / "outer"
    outer.mkdir()
    (outer / "Snakefile").write_text(OUTER.format(project=project))
    text = tiny.run(outer, "snakemake", "--cores", "2", "--dry-run", at=project)
    assert count(text)["crepe_train"] == 6
    # It runs, too.
    tiny.run(outer, "snakemake", "--cores", "2", "data/clean/docstrings/clean.json", at=project)
    assert (outer / "data/clean/docstrings/test.parquet").exists()
