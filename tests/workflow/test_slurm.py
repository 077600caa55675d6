"""The workflow through a real Slurm on this machine, with profiles/slurm as it is."""

import csv
import os
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from crepe.workflow.steps import SNAKEMAKE_MB
from tests.support import slurm, tiny

# Jobs of seconds are looked at sooner than the profile says.
COMMAND = (
    "snakemake --profile profiles/slurm --slurm-init-seconds-before-status-checks 8 --seconds-between-status-checks 1"
)
# A minute or two, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
RUNS = "results/tiny/runs/toys"


@pytest.fixture(scope="module")
def cluster():
    """Slurm's commands for three nodes, first on the path."""
    try:
        with slurm.cluster(3) as environment, pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield environment
    except slurm.MissingError as error:
        pytest.skip(str(error))


def jobs(environment, folder):
    """Read the reports of Slurm on each job of the study there, by its number."""
    lines = slurm.ask(environment, "scontrol", "--details", "--oneliner", "show", "job").splitlines()
    found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]
    return {job["JobId"]: job for job in found if job.get("WorkDir") == str(folder)}


def running(environment, folder, *words):
    """The study's jobs that run and whose rule and wildcards have the words."""
    return [
        job
        for job in jobs(environment, folder).values()
        if job["JobState"] == "RUNNING" and all(w in job["Comment"] for w in words)
    ]


@pytest.fixture(scope="module")
def disturbed(cluster, tmp_path_factory):
    """A study of which one training was killed on its node and one cancelled; with what Snakemake and Slurm said."""
    folder = tiny.project(tmp_path_factory.mktemp("slurm") / "study")
    tiny.update(folder / "config/config.yaml", {"training": {"convnet": {"epochs": 12, "batches_per_epoch": 4}}})
    shards = [f"data/shards/{feature}/toys/manifest.json" for feature in ("words", "chars", "full-chars")]
    tiny.run(folder, "snakemake", "--cores", "2", *shards[:2])
    weights = [f"{RUNS}/{model}/0/model.safetensors" for model in ("bow", "conv-small")]
    with ThreadPoolExecutor() as pool:
        call = pool.submit(tiny.run, folder, *COMMAND.split(), shards[2], *weights, status=1)
        try:
            slurm.wait(lambda: call.done() or len(running(cluster, folder, "train")) == 2, "two trainings side by side")
            together = running(cluster, folder, "train")
            (cancelled,) = running(cluster, folder, "train", "bow")
            slurm.ask(cluster, "scancel", cancelled["JobId"])
            slurm.wait(lambda: [*folder.glob(f"{RUNS}/conv-small/0/checkpoint-*")], "a checkpoint")
            (killed,) = running(cluster, folder, "train", "conv-small")
            listed = slurm.ask(cluster, "scontrol", "listpids", killed["JobId"], killed["NodeList"])
            for pid in re.findall(r"^\d+", listed, flags=re.M):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        finally:
            text = call.result()
    log = max((folder / ".snakemake/log").iterdir())
    return folder, text, log.read_text(), jobs(cluster, folder), together


def test_each_job_gets_what_its_rule_asks_for(disturbed):
    _, _, log, found, together = disturbed
    asked = re.findall(
        r"^rule (\w+):\n(?:    .*\n)*?    jobid: (\d+)\n(?:    .*\n)*?    resources: (.*)",
        log.partition("\nError in rule")[0],
        flags=re.M,
    )
    numbers = dict(re.findall(r"^Job (\d+) has been submitted with SLURM jobid (\d+) ", log, flags=re.M))
    assert sorted(rule for rule, *_ in asked) == ["encode", "train", "train"]
    for rule, number, resources in asked:
        job, needs = found[numbers[number]], dict(need.split("=") for need in resources.split(", "))
        assert job["Comment"].startswith(f"rule_{rule}_")
        assert job["NumCPUs"] == "1"  # Snakemake prints other numbers only.
        assert job["MinMemoryNode"] == f"{needs['mem_mb']}M"
        hours, minutes, _ = job["TimeLimit"].split(":")
        assert int(hours) * 60 + int(minutes) == int(needs["runtime"])
        assert (
            bool(re.fullmatch(r"gres.gpu:1", job.get("TresPerJob", "")))
            == (rule == "train")
            == (needs.get("gpu") == "1")
        )
    # Trainings side by side have a GPU each.
    assert sorted(re.search(r"gpu.*\(IDX:(\d)\)", job["GRES"])[1] for job in together) == ["0", "1"]


def test_what_was_killed_or_cancelled_is_said_and_leaves_nothing_half_written(disturbed):
    folder, text, _, found, _ = disturbed
    assert sorted(job["JobState"] for job in found.values()) == ["CANCELLED", "COMPLETED", "FAILED"]
    assert len(re.findall(r"^Error in rule train:$", text, flags=re.M)) == 2
    assert "SLURM status is: 'CANCELLED'" in text
    assert "SLURM status is: 'FAILED'" in text
    for model in ("bow", "conv-small"):
        for name in ("model.safetensors", "history.csv", "run.json"):
            assert not (folder / RUNS / model / "0" / name).exists()


@pytest.fixture(scope="module")
def completed(disturbed, cluster):
    """The new jobs of a second call, and the memory that was seen: of each whole job, and of Snakemake in it."""
    folder, _, _, before, _ = disturbed
    peaks: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor() as pool:
        call = pool.submit(tiny.run, folder, *COMMAND.split(), "all")
        while not call.done():
            now: Counter[tuple[str, str]] = Counter()
            for number, snakemake, size in slurm.memory(cluster):
                now[number, "whole"] += size
                now[number, "Snakemake"] += snakemake * size
            peaks |= now
            time.sleep(0.2)
        call.result()
    return {number: job for number, job in jobs(cluster, folder).items() if number not in before}, peaks


def test_no_job_takes_more_memory_than_it_asks_for(completed):
    new, peaks = completed
    for number, job in new.items():
        assert 50_000_000 < peaks[number, "Snakemake"] < SNAKEMAKE_MB * 1e6
        assert peaks[number, "whole"] < int(job["MinMemoryNode"].removesuffix("M")) * 1e6


def test_the_next_call_completes_the_table(disturbed, completed):
    folder, *_ = disturbed
    new, _ = completed
    # The training that was killed did not begin anew.
    log = (folder / "logs/tiny/train/toys/conv-small/0.log").read_text()
    assert re.search(r"^conv-small on toys: continues after (4|8|12|16|20|24|28|32|36|40|44) of 48 batches$", log, re.M)
    with (folder / "results/tiny/table.csv").open(newline="") as stream:
        assert {line["model"] for line in csv.DictReader(stream) if line["error_pct"]} == {"bow", "conv-small"}
    rules = sorted(job["Comment"].split("_")[1] for job in new.values())
    assert rules == ["evaluate", "evaluate", "train", "train"]
    assert tiny.planned(folder) == {}


def test_a_node_that_fails_loses_only_its_jobs_which_go_on_elsewhere(cluster, tmp_path):
    folder = tiny.project(tmp_path / "study", models=("conv-small",))
    recipe = {"epochs": 200, "batches_per_epoch": 4}
    tiny.update(folder / "config/config.yaml", {"seeds": [0, 1, 2], "training": {"convnet": recipe}})
    tiny.run(folder, "snakemake", "--cores", "2", "data/shards/chars/toys/manifest.json")
    with ThreadPoolExecutor() as pool:
        call = pool.submit(tiny.run, folder, *COMMAND.split(), "all")
        try:
            # A node has two GPUs.
            slurm.wait(lambda: call.done() or len(running(cluster, folder, "train")) == 3, "three trainings")
            together = running(cluster, folder, "train")
            node = together[0]["NodeList"]
            lost = {job["JobId"]: job["Comment"].rpartition("_")[2] for job in together if job["NodeList"] == node}
            assert 0 < len(lost) < 3

            def continuable():
                return [seed for seed in lost.values() if [*folder.glob(f"{RUNS}/conv-small/{seed}/checkpoint-*")]]

            slurm.wait(lambda: call.done() or continuable(), "a checkpoint on the node")
            continued = continuable()
            slurm.fail(cluster, node)
        finally:
            call.result()
    found = jobs(cluster, folder)
    assert {job["JobState"] for job in found.values()} == {"COMPLETED"}
    # Slurm has started them again under their numbers; nothing was submitted twice.
    assert {number for number, job in found.items() if job["Restarts"] != "0"} == {*lost}
    assert sorted(job["Comment"].split("_")[1] for job in found.values()) == ["evaluate"] * 3 + ["train"] * 3
    assert not any(found[number]["NodeList"] == node for number in lost)
    for seed in continued:
        log = (folder / f"logs/tiny/train/toys/conv-small/{seed}.log").read_text()
        assert re.search(r"^conv-small on toys: continues after \d+ of 800 batches$", log, re.M)
    with (folder / "results/tiny/table.csv").open(newline="") as stream:
        assert [line["seed"] for line in csv.DictReader(stream) if line["error_pct"]] == ["0", "1", "2"]
    assert tiny.planned(folder) == {}
