import base64
import csv
import itertools
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake_logger_plugin_crepe import targets_first

from tests import tiny

ROOT = Path(__file__).parent.parent
ONE_THREAD = [f"{rule}=1" for rule in ("clean", "encode", "train", "evaluate")]


# --- The command line


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("--cores 8 --resources gpu=1 all", "all --cores 8 --resources gpu=1"),
        ("--resources gpu=1 mem_mb=9 all table --cores 8", "all table --resources gpu=1 mem_mb=9 --cores 8"),
        ("--resources gpu=1 --set-threads train=2 a/run.json", "a/run.json --resources gpu=1 --set-threads train=2"),
        ("--configfile a.json b.yml a/run.json a/table.md", "a/run.json a/table.md --configfile a.json b.yml"),
        ("--config name=a all -n", "all --config name=a -n"),
        ("all --resources gpu=1", "all --resources gpu=1"),
        ("--cores 8 all", "--cores 8 all"),
        ("--until encode train", "--until encode train"),
        ("", ""),
    ],
)
def test_targets_come_first(typed, found):
    assert targets_first(typed.split()) == found.split()


def test_importing_the_plugin_touches_no_other_programs_words():
    code = "import sys, snakemake_logger_plugin_crepe; print(*sys.argv)"
    words = ["--resources", "gpu=1", "all"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-c", *words]


# --- The plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """What Snakemake says it would do for all 22 rows of the paper on all eight datasets, and its processor time."""
    folder = tmp_path_factory.mktemp("grid")
    tiny.copy(folder)
    path = folder / "config/models.yaml"
    content = yaml.safe_load(path.read_text())
    models = content["catalog"]["models"]
    with (folder / "config/paper/table4.csv").open(newline="") as stream:
        rows = list(dict.fromkeys(line["model"] for line in csv.DictReader(stream)))
    for key in rows:
        models.setdefault(key, models["conv-large"])
    tiny.write(path, content)
    default = folder / "config/config.yaml"
    tiny.write(default, yaml.safe_load(default.read_text()) | {"models": rows})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = tiny.run(folder, "snakemake", "-n", "--cores", "8", "--resources", "gpu=1", "all")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_whole_grid_is_planned_within_15_seconds(plan):
    text, seconds = plan
    counts = {"download": 8, "clean": 8, "encode": 24, "train": 176, "evaluate": 176, "table": 1, "report": 1}
    for rule, count in counts.items():
        assert re.search(rf"^{rule} +{count}$", text, flags=re.M), rule
    assert seconds < 15


def test_every_job_says_what_it_needs_of_the_machine(plan):
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", plan[0], flags=re.M)
    assert len(jobs) > 390
    for rule, text in jobs:
        if rule == "all":
            continue
        (needs,) = re.findall(r"    resources: (.*)", text)
        assert re.search(r"\bmem_mb=\d{4,}", needs), rule
        assert re.search(r"\bruntime=\d{2,}", needs), rule
        assert ("gpu=1" in needs) == (rule in ("train", "evaluate")), rule
        assert "    log: logs/" in text
        assert "    benchmark: logs/" in text


@pytest.mark.parametrize("module", ["download", "clean", "encode", "train", "evaluate", "table", "report"])
def test_a_job_depends_on_the_code_that_it_runs(plan, module):
    found = re.search(rf"^rule {module}:\n    input: (.*)", plan[0], flags=re.M)[1].split(", ")
    code = f"import sys, crepe.{module} as m; print(*(m.__file__ for n, m in sys.modules.items() if n[:6] == 'crepe.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {str(Path(file).relative_to(ROOT)) for file in done.stdout.split()}
    assert f"crepe/{module}.py" in loaded
    assert loaded <= set(found)
    assert "crepe/cli.py" not in found


def test_files_pass_the_linters(tmp_path):
    tiny.copy(tmp_path)
    assert "your workflow is in a good condition" in tiny.run(tmp_path, "snakemake", "--lint")
    # With the repository's line length.
    tiny.run(ROOT, "snakefmt", "--check", "Snakefile", "workflow")


def test_snakefile_is_short():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 40


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (
            ["--config", "surprise=1", "seeds=[]"],
            ["$: Additional properties are not allowed ('surprise' was unexpected)", "$.seeds: [] should be non-empty"],
        ),
        (["--config", "datasets=[ag_mews]"], ["datasets: 'ag_mews' is not in the catalog, which has ag_news, "]),
    ],
)
def test_a_bad_configuration_is_refused_in_a_few_lines(tmp_path, options, messages):
    tiny.copy(tmp_path)
    text = tiny.run(tmp_path, "snakemake", "-n", "all", *options, status=1)
    for message in messages:
        assert message in text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 12


# --- The real thing


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return tiny.project(tmp_path_factory.mktemp("workflow"), ("toys", "others"))


@pytest.fixture(scope="module")
def finished(project):
    """The tiny study, run from the archives to the report, with a fault on the way that is mended."""
    command = ["snakemake", "--cores", "2", "--set-threads", *ONE_THREAD, "--resources", "gpu=1"]
    catalog = project / "config/datasets.yaml"
    tiny.update(catalog, {"catalog": {"datasets": {"others": {"train_rows": tiny.ROWS["train"] + 1}}}})
    tiny.run(project, *command, *(f"data/shards/{feature}/toys/manifest.json" for feature in ("chars", "words")))
    text = tiny.run(project, *command, "all", status=1)
    assert "others: " in text or "train.csv" in text
    assert (project / "results/tiny/runs/toys/bow/0/metrics.json").exists()
    assert not (project / "data/clean/others/train.parquet").exists()
    assert not (project / "results/tiny/table.csv").exists()
    tiny.update(catalog, {"catalog": {"datasets": {"others": {"train_rows": tiny.ROWS["train"]}}}})
    text = tiny.run(project, *command, "all")
    assert "train toys" not in text
    return project


def test_from_archives_to_the_report(finished):
    results = finished / "results/tiny"
    for dataset in ("toys", "others"):
        for model in ("bow", "conv-small"):
            run = results / f"runs/{dataset}/{model}/0"
            names = {"model.safetensors", "history.csv", "run.json", "metrics.json", "predictions.parquet"}
            assert {path.name for path in run.iterdir()} == names
            metrics = json.loads((run / "metrics.json").read_text())
            assert metrics["rows"] == tiny.ROWS["test"]
        # The words tell the class.
        assert json.loads((results / f"runs/{dataset}/bow/0/metrics.json").read_text())["error_pct"] < 10
    with (results / "table.csv").open(newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if line["error_pct"]]
    assert {(line["dataset"], line["model"]) for line in lines} == {
        (dataset, model) for dataset in ("toys", "others") for model in ("bow", "conv-small")
    }
    assert "toys" in (results / "table.md").read_text()
    assert "<html" in (results / "report.html").read_text()


def test_gpu_jobs_wait_for_each_other_and_other_jobs_do_not(finished):
    jobs = {}
    for path in (finished / ".snakemake/metadata").iterdir():
        record = json.loads(path.read_text())
        file = base64.urlsafe_b64decode(path.name).decode()
        job = jobs.setdefault((record["rule"], *record["log"]), [record["starttime"], 0.0, file])
        job[1] = max(job[1], record["endtime"])
    gpu = sorted(job for (rule, _), job in jobs.items() if rule in ("train", "evaluate"))
    others = [job for (rule, _), job in jobs.items() if rule not in ("train", "evaluate")]
    assert len(gpu) == 8
    for (_, end, _), (start, _, _) in itertools.pairwise(gpu):
        assert end <= start
    assert any(start < other_end and other_start < end for start, end, _ in gpu for other_start, other_end, _ in others)


def test_only_what_depends_on_a_change_runs_again(finished):
    assert tiny.planned(finished) == {}

    def after(file, change):
        path = finished / "config" / file
        before = path.read_text()
        tiny.update(path, change)
        try:
            return tiny.planned(finished)
        finally:
            path.write_text(before)

    tables = {"table": 1, "report": 1}
    assert after("config.yaml", {"training": {"counts": {"epochs": 3}}}) == {"train": 2, "evaluate": 2, **tables}
    assert after("config.yaml", {"seeds": [0, 1]}) == {"train": 4, "evaluate": 4, **tables}
    assert after("config.yaml", {"datasets": ["toys"]}) == tables
    digests = {"catalog": {"datasets": {"toys": {"csv_md5": {"train": "0" * 32, "test": "0" * 32}}}}}
    assert after("datasets.yaml", digests) == {"clean": 1, "encode": 2, "train": 2, "evaluate": 2, **tables}


def test_a_mirror_of_the_same_archive_makes_nothing_run_again(tmp_path):
    tiny.project(tmp_path)
    sources = [
        {"url": url, "sha256": tiny.sha256(tmp_path / "archives/toys.tgz")} for url in ("a.tgz", "archives/toys.tgz")
    ]
    catalog = tmp_path / "config/datasets.yaml"
    tiny.update(catalog, {"catalog": {"datasets": {"toys": {"sources": sources}}}})
    tiny.run(tmp_path, "snakemake", "--cores", "1", "data/raw/toys.tgz")
    tiny.update(catalog, {"catalog": {"datasets": {"toys": {"sources": [{**sources[1], "name": "here"}, sources[0]]}}}})
    assert "Nothing to be done" in tiny.run(tmp_path, "snakemake", "--cores", "1", "data/raw/toys.tgz")


def test_terse_messages(finished):
    text = tiny.run(finished, "snakemake", "--cores", "1", "--forcerun", "table", "--logger", "crepe")
    assert "\nstart table\n1 of 3 steps (33%) done\nstart report\n" in text
    assert "Nothing to be done" in tiny.run(finished, "snakemake", "--cores", "1", "--logger", "crepe")
