import base64
import csv
import itertools
import json
import re
import resource
import shlex
import shutil
from collections import Counter
from typing import Any

import pytest

from crepe import config
from crepe.config.jobs import jobs
from crepe.monitor.board import look
from tests.support import tiny
from tests.support.paths import ROOT
from tests.support.terminal import CONTROL, Terminal

pytestmark = pytest.mark.slow

# --- The plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """What Snakemake says it would do for all 22 rows of the paper on all eight datasets, and its processor time."""
    folder = tmp_path_factory.mktemp("grid")
    tiny.copy(folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = tiny.run(folder, "snakemake", "-n", "--cores", "8", "--resources", "gpu=1", "all")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_whole_grid_is_planned_within_seconds(plan):
    text, seconds = plan
    counts = {
        "download": 8,
        "clean": 8,
        "thesaurus": 1,
        "published": 1,
        # Sogou's texts have no synonyms.
        "encode": 6 * 8 + 3 * 7,
        "vectors": 8 + 7,
        "train": 168,
        "evaluate": 168,
        "table": 1,
        "report": 1,
    }
    for rule, count in counts.items():
        assert re.search(rf"^{rule} +{count}$", text, flags=re.M), rule
    # About 3 s on a machine that has nothing else to do; 4.4 s if something imports torch.
    assert seconds < 5


def test_every_job_says_what_it_needs_of_the_machine(plan):
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", plan[0], flags=re.M)
    assert len(jobs) > 390
    assert {"download", "thesaurus", "clean", "encode", "train", "evaluate"} <= {rule for rule, _ in jobs}
    for rule, text in jobs:
        if rule == "all":
            continue
        (needs,) = re.findall(r"    resources: (.*)", text)
        assert re.search(r"\bmem_mb=\d{3,}", needs), rule
        assert re.search(r"\bruntime=\d{2,}", needs), rule
        assert ("gpu=1" in needs) == (rule in ("train", "evaluate")), rule
        assert "    log: logs/" in text
        assert "    benchmark: logs/" in text


def test_short_rows_come_first_with_their_data_and_a_model_is_tested_right_after_its_training(plan):
    priority = {}
    for rule, text in re.findall(r"^rule (\w+):\n((?:    .*\n)+)", plan[0], flags=re.M):
        wildcards = re.search("^    wildcards: (.*)", text, flags=re.M)
        found = re.search("^    priority: (.*)", text, flags=re.M)
        if wildcards and found:
            priority[rule, *re.findall(r"=([^,\s]+)", wildcards[1])] = float(found[1])
    train = {key[1:]: value for key, value in priority.items() if key[0] == "train"}
    assert (
        train["ag_news", "bow", "0"] > train["ag_news", "conv-small-th", "0"] > train["ag_news", "conv-large-th", "0"]
    )
    assert min(value for key, value in priority.items() if key[0] == "evaluate") > max(train.values())
    # Their data, too, but a training that can begin begins.
    for dataset in ("ag_news", "dbpedia"):
        for rule, *keys in ("download", dataset), ("clean", dataset), ("encode", "words", dataset):
            data = next(value for key, value in priority.items() if key[0] == rule and {*key[1:]} == {*keys})
            assert train[dataset, "bow", "0"] > data > train["ag_news", "conv-small-th", "0"]


def test_the_board_has_the_steps_and_runs_of_the_plan(plan, monkeypatch):
    planned = set()
    for rule, text in re.findall(r"^rule (\w+):\n((?:    .*\n)+)", plan[0], flags=re.M):
        wildcards = re.search("^    wildcards: (.*)", text, flags=re.M)
        values = re.findall(r"=([^,\s]+)", wildcards[1]) if wildcards else []
        planned.add((rule, *values))
    monkeypatch.chdir(ROOT)
    found = look(config.load())
    runs = {(rule, *map(str, place)) for rule in ("train", "evaluate") for place in found.runs}
    assert {*found.steps, *runs, ("all",)} == planned


def test_long_texts_ask_for_more_memory_and_their_ngrams_for_more_still(plan):
    found = re.findall(
        r"^rule train:\n(?:    .*\n)*?    wildcards: dataset=(\w+), model=(\S+), seed=0\n(?:    .*\n)*?.*mem_mb=(\d+)",
        plan[0],
        flags=re.M,
    )
    memory = {(dataset, model): int(mb) for dataset, model, mb in found}
    assert len(memory) == 168
    assert memory["sogou_news", "conv-small"] > memory["ag_news", "conv-small"]
    assert memory["sogou_news", "ngrams"] > memory["sogou_news", "bow"] > memory["ag_news", "bow"]
    assert memory["ag_news", "conv-small-th"] > memory["ag_news", "conv-small"]


def test_a_step_gets_all_of_the_configuration_that_it_needs(tmp_path, monkeypatch):
    tiny.copy(tmp_path)
    text = tiny.run(tmp_path, "snakemake", "-n", "-p", "all", "--configfile", "config/demo.yaml")
    commands = map(shlex.split, re.findall(r"^Shell command: (crepe .*)$", text, flags=re.M))
    monkeypatch.chdir(tmp_path)
    whole = config.load("config/demo.yaml")
    found = {}
    for command in commands:
        if "--config" in command:
            found[tuple(command[1:5])] = config.load(command[command.index("--config") + 1])
    assert len(found) == 16
    for (name, *keys), given in found.items():
        if name in ("table", "report"):
            assert (given.name, given.datasets, given.models, given.training) == (
                whole.name,
                whole.datasets,
                whole.models,
                whole.training,
            )
        elif name == "encode":
            assert given.feature(keys[1]) == whole.feature(keys[1])
        elif name == "vectors":
            assert given.vectors(keys[2]) == whole.vectors(keys[2])
        elif name == "train":
            assert given.model(keys[1]) == whole.model(keys[1])
            assert given.dataset(keys[0]).title == whole.dataset(keys[0]).title
        else:
            assert given.dataset(keys[0]).train_rows == whole.dataset(keys[0]).train_rows


def test_files_pass_the_linters(tmp_path):
    tiny.copy(tmp_path)
    assert "your workflow is in a good condition" in tiny.run(tmp_path, "snakemake", "--lint")
    # With the repository's line length.
    tiny.run(ROOT, "snakefmt", "--check", "Snakefile", "workflow")


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--config", "surprise=1"], ["configuration: surprise: unknown key; known here: name, datasets, "]),
        (["--config", "datasets=[ag_mews]"], ["datasets: 'ag_mews' is not in the catalog, which has ag_news, "]),
        (["--configfile", "nowhere.yaml"], ["catalog.datasets.ag_news.sources: names none; where is its archive?"]),
    ],
)
def test_a_bad_configuration_is_refused_in_a_few_lines(tmp_path, options, messages):
    tiny.copy(tmp_path)
    tiny.write(tmp_path / "nowhere.yaml", {"catalog": {"datasets": {"ag_news": {"sources": []}}}})
    text = tiny.run(tmp_path, "snakemake", "-n", "all", *options, status=1)
    for message in messages:
        assert message in text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 12


# --- The real thing


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiny study, run from the archives to the report, with a fault on the way that is mended."""
    project = tiny.project(tmp_path_factory.mktemp("workflow"), ("toys", "others"), ("bow",))
    threads = ["--set-threads", "train=1", "evaluate=1"]
    command = ["snakemake", "--cores", "2", *threads, "--resources", "gpu=1", "--logger", "crepe"]
    catalog = project / "config/datasets.yaml"
    tiny.update(catalog, {"catalog": {"datasets": {"others": {"train_rows": tiny.ROWS["train"] + 1}}}})
    tiny.run(project, *command[:-2], "data/shards/words/toys/manifest.json")
    text = tiny.run(project, *command, status=1)
    assert "Error in rule clean:" in text
    assert "crepe clean: " in text
    assert (project / "results/tiny/runs/toys/bow/0/metrics.json").exists()
    assert not (project / "data/clean/others/train.parquet").exists()
    assert not (project / "results/tiny/table.csv").exists()
    tiny.update(catalog, {"catalog": {"datasets": {"others": {"train_rows": tiny.ROWS["train"]}}}})
    return project, tiny.run(project, *command)


def test_from_archives_to_the_report(finished):
    results = finished[0] / "results/tiny"
    for dataset in ("toys", "others"):
        run = results / f"runs/{dataset}/bow/0"
        names = {"model.safetensors", "history.csv", "run.json", "metrics.json", "predictions.parquet"}
        assert {path.name for path in run.iterdir()} == names
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["rows"] == tiny.ROWS["test"]
        # The words tell the class.
        assert metrics["error_pct"] < 10
    with (results / "table.csv").open(newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if line["error_pct"]]
    assert {(line["dataset"], line["model"]) for line in lines} == {("toys", "bow"), ("others", "bow")}
    assert "toys" in (results / "table.md").read_text()
    assert "<html" in (results / "report.html").read_text()


def test_what_failed_goes_on_when_it_is_mended_and_messages_are_terse(finished):
    steps = [
        "clean others",
        "encode words others",
        "train others bow 0",
        "evaluate others bow 0",
        "table",
        "report",
        "all",
    ]
    assert re.findall("^start (.*)$", finished[1], flags=re.M) == steps
    assert "\n7 of 7 steps (100%) done\n" in finished[1]
    assert "rule train" not in finished[1]


def test_gpu_jobs_wait_for_each_other_and_other_jobs_do_not(finished):
    jobs: dict[Any, list[Any]] = {}
    for path in (finished[0] / ".snakemake/metadata").iterdir():
        record = json.loads(path.read_text())
        file = base64.urlsafe_b64decode(path.name).decode()
        job = jobs.setdefault((record["rule"], *record["log"]), [record["starttime"], 0.0, file])
        job[1] = max(job[1], record["endtime"])
    gpu = sorted(job for (rule, _), job in jobs.items() if rule in ("train", "evaluate"))
    others = [job for (rule, _), job in jobs.items() if rule not in ("train", "evaluate")]
    assert len(gpu) == 4
    for (_, end, _), (start, _, _) in itertools.pairwise(gpu):
        assert end <= start
    assert any(start < other_end and other_start < end for start, end, _ in gpu for other_start, other_end, _ in others)


def test_a_terminal_shows_the_grid_filling(tmp_path):
    project = tiny.project(tmp_path, ("toys", "others"), ("bow",))
    tiny.update(project / "config/datasets.yaml", {"catalog": {"datasets": {"others": {"classes": 2}}}})
    command = ["snakemake", "--cores", "8", "--resources", "gpu=1", "all"]
    with Terminal(command, 100, 60, cwd=project, **tiny.environment(project), LANG="C") as terminal:
        terminal.until("Study tiny: 0 of 2 runs done")
        terminal.until("1 running, 1 waiting")
        assert terminal.end(600) == 1
    assert terminal.text.isascii()
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")
    text = CONTROL.sub("", terminal.text)
    assert "crepe clean: " in text
    assert "start clean" not in text
    last = text[text.rindex("Study tiny: 1 of 2 runs done, 1 waiting") :]
    assert "clean     1 of 2, failed: others" in last
    assert re.search(r"^. bow +. +\d+\.\d\d . waiting", last, flags=re.M)


def test_only_what_depends_on_a_change_runs_again(finished):
    folder, _ = finished
    assert tiny.planned(folder) == {}

    def after(file, change):
        path = folder / "config" / file
        before = path.read_text()
        tiny.update(path, change)
        try:
            return tiny.planned(folder)
        finally:
            path.write_text(before)

    tables = {"table": 1, "report": 1}
    assert after("config.yaml", {"seeds": [0, 1]}) == {"train": 2, "evaluate": 2, **tables}
    assert after("config.yaml", {"datasets": ["toys"]}) == tables
    assert after("models.yaml", {"catalog": {"models": {"bow": {"title": "Bag of words"}}}}) == tables
    digests = {"catalog": {"datasets": {"toys": {"csv": {"train": {"md5": "0" * 32}, "test": {"md5": "0" * 32}}}}}}
    assert after("datasets.yaml", digests) == {"clean": 1, "encode": 1, "train": 1, "evaluate": 1, **tables}


def test_data_whose_runs_are_done_may_be_removed(finished, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(finished[0], folder, symlinks=True)
    for name in ("clean", "raw", "shards"):
        shutil.rmtree(folder / "data" / name)
    assert tiny.planned(folder) == {}
    tiny.update(folder / "config/config.yaml", {"seeds": [0, 1]})
    manifests = [f"data/shards/words/{dataset}/manifest.json" for dataset in ("toys", "others")]
    tiny.run(folder, "snakemake", "--cores", "2", *manifests)
    # Made again, the data are the same bytes, and only the new seed is trained.
    assert tiny.planned(folder) == {"train": 2, "evaluate": 2, "table": 1, "report": 1}


def test_what_this_machine_has_is_no_limit_for_another_profile(tmp_path):
    tiny.project(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.yaml").write_text("cores: 3\n")
    for options, provided in (((), ["cores: 1 ", "resources: gpu="]), (("--profile", "other"), ["cores: 3"])):
        tiny.run(tmp_path, "snakemake", "--force", "data/raw/toys.tgz", *options)
        log = max((tmp_path / ".snakemake/log").iterdir()).read_text()
        found = re.findall("^Provided (.*)", log, flags=re.M)
        assert len(found) == len(provided)
        assert all(map(str.startswith, found, provided))


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


def test_a_thesaurus_is_fetched_once_and_is_for_english_texts(tmp_path, monkeypatch):
    tiny.project(tmp_path, ("toys", "others"), ("conv-small", "conv-small-th"))
    path = tmp_path / "archives/th.dat"
    path.write_text("UTF-8\ngoal|1\n(noun)|end|objective\n")
    tiny.update(
        tmp_path / "config/datasets.yaml",
        {
            "catalog": {
                "datasets": {"others": {"english": False}},
                "thesauri": {"th_en_US_v2": {"sources": [{"url": "archives/th.dat"}]}},
            }
        },
    )
    # The catalog of models comes later, with the published source.
    models = tmp_path / "config/models.yaml"
    content = json.loads(models.read_text())
    del content["catalog"]["thesauri"]
    tiny.write(models, content)
    ends = {"table": 1, "report": 1}
    found = tiny.planned(tmp_path)
    assert found == {"download": 2, "clean": 2, "thesaurus": 1, "encode": 3, "train": 3, "evaluate": 3, **ends}
    monkeypatch.chdir(tmp_path)
    assert found == Counter(job.rule for job in jobs(config.load()))
    tiny.run(tmp_path, "snakemake", "--cores", "1", "data/shards/chars-th/toys/manifest.json")
    assert (tmp_path / "data/raw/th_en_US_v2.dat").read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "data/shards/chars-th/toys/manifest.json").read_text())["thesaurus"] == tiny.sha256(
        path
    )
    assert tiny.planned(tmp_path) == {"download": 1, "clean": 1, "encode": 2, "train": 3, "evaluate": 3, **ends}
    path.write_text("UTF-8\ngoal|1\n(noun)|aim\n")
    assert tiny.planned(tmp_path)["thesaurus"] == 1
    assert tiny.planned(tmp_path)["encode"] == 3


KINDS = ("ngrams-tfidf", "bag-of-means", "lstm", "lk-conv-small-th", "conv-small-th")


def test_a_row_of_each_kind(tmp_path):
    project = tiny.project(tmp_path, models=KINDS)
    features: dict[str, Any] = {key: {"max_length": 254} for key in ("chars-th", "word-columns", "word-columns-th")}
    features |= {key: {**features[key], "thesaurus": "few"} for key in ("chars-th", "word-columns-th")}
    networks = {"word-convnet-small": {"channels": 8, "fc": [16, 16], "embedding_dim": 8}}
    small = {
        "features": {**features, "means": {"clusters": 6, "vector_size": 8}},
        "networks": {**networks, "lstm": {"hidden_size": 8, "embedding_dim": 8}},
        "models": {"lstm": {"vectors": "learnt"}},
        "vectors": {"learnt": {"vector_size": 8}},
    }
    tiny.update(project / "config/models.yaml", {"catalog": small})
    few = project / "few.dat"
    few.write_text("UTF-8\nmarket|1\n-|bazaar|fair\nnew|1\n-|fresh|brand new\n")
    source = {"url": few.name, "sha256": tiny.sha256(few)}
    tiny.update(project / "config/models.yaml", {"catalog": {"thesauri": {"few": {"sources": [source]}}}})
    command = ["snakemake", "--cores", "2", "--resources", "gpu=1"]
    text = tiny.run(project, *command)
    assert "start vectors learnt " in text
    assert "start thesaurus few" in text
    with (project / "results/tiny/table.csv").open(newline="") as stream:
        found = {line["model"]: float(line["error_pct"]) for line in csv.DictReader(stream) if line["error_pct"]}
    assert found.keys() == set(KINDS)
    # The words tell the class.
    assert found["ngrams-tfidf"] < 10
    assert found["bag-of-means"] < 40
    for model in KINDS:
        run = f"results/tiny/runs/toys/{model}/0"
        line = tiny.run(project, "crepe", "predict", run, "goal match team league", "--device", "cpu")
        assert re.match(r"\d\t[01]\.\d{3}\tgoal match", line)
    # A mirror of the same thesaurus.
    mirror = few.rename(project / "mirror.dat")
    sources = [{**source, "url": mirror.name}]
    tiny.update(project / "config/models.yaml", {"catalog": {"thesauri": {"few": {"sources": sources}}}})
    assert tiny.planned(project) == {}
