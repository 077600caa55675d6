"""Damaged files, full disks and folders that nobody may write: a clear word, and nothing else changes."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crepe.cli import main
from crepe.errors import CrepeError
from crepe.records.metrics import Metrics
from crepe.records.run import RunRecord
from crepe.training import checkpoints
from crepe.training.train import RESULTS
from tests.support import made
from tests.support.made import CLEAN, MODEL, RUN, SHARDS, VECTORS, run
from tests.support.paths import contents, inside

pytestmark = pytest.mark.slow


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to be damaged; the test works in it."""
    folder = shutil.copytree(whole, tmp_path / "project")
    with inside(folder):
        yield folder


# --- Every file that a step reads, by every damage

DATA = f"{SHARDS}/{{}}-00000-of-00001.arrow"
TRAIN = f"crepe train toys {MODEL} --seed 0"
READ = [
    # The file, the step that reads it, what makes it again.
    ("data/raw/toys.tgz", "clean", "crepe download"),
    (f"{CLEAN}/clean.json", "encode", "crepe clean toys"),
    (f"{CLEAN}/train.parquet", "encode", "crepe clean toys"),
    (f"{CLEAN}/test.parquet", "encode", "crepe clean toys"),
    ("data/raw/synonyms.dat", "encode", "crepe download"),
    ("data/raw/pub.bin.gz", "vectors", "crepe download"),
    (f"{SHARDS}/manifest.json", "vectors", "crepe encode"),
    (f"{SHARDS}/vocabulary.parquet", "vectors", "crepe encode"),
    (f"{SHARDS}/manifest.json", "train", "crepe encode"),
    (f"{SHARDS}/vocabulary.parquet", "train", "crepe encode"),
    (DATA.format("train"), "train", "crepe encode"),
    (DATA.format("test"), "train", "crepe encode"),
    (DATA.format("spots"), "train", "crepe encode"),
    (DATA.format("synonyms"), "train", "crepe encode"),
    (VECTORS, "train", "crepe vectors"),
    (f"{SHARDS}/manifest.json", "evaluate", ""),
    (DATA.format("test"), "evaluate", "crepe encode"),
    (f"{RUN}/run.json", "evaluate", "crepe train"),
    (f"{RUN}/model.safetensors", "evaluate", "crepe train"),
    (f"{RUN}/model.safetensors", "predict", "crepe train"),
    (f"{RUN}/run.json", "table", TRAIN),
    (f"{RUN}/metrics.json", "table", f"crepe evaluate {RUN}"),
    (f"{RUN}/run.json", "report", TRAIN),
    (f"{RUN}/metrics.json", "report", f"crepe evaluate {RUN}"),
    (f"{RUN}/history.csv", "report", TRAIN),
    (f"{RUN}/predictions.parquet", "report", f"crepe evaluate {RUN}"),
    (f"{CLEAN}/clean.json", "report", "crepe clean toys"),
]
OPTIONAL = {"table": ("metrics.json",), "report": ("metrics.json", "predictions.parquet", "clean.json")}
"""What a step does without: a run may not be tested yet, or its data be elsewhere."""


def flip(content: bytes, share: float) -> bytes:
    place = min(int(len(content) * share), len(content) - 1)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {
    "first byte flipped": lambda content: flip(content, 0),
    "byte flipped a third in": lambda content: flip(content, 1 / 3),
    "byte flipped two thirds in": lambda content: flip(content, 2 / 3),
    "last byte flipped": lambda content: flip(content, 1),
    "cut by a byte": lambda content: content[:-1],
    "cut in half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "a byte more": lambda content: content + b"\n",
    "gone": lambda content: None,
}


HARMLESS_TO_JSON = ("cut by a byte", "a byte more")
"""Damage to the line end after a JSON file's last brace, which changes nothing that it says."""
INSIDE = ("byte flipped a third in", "byte flipped two thirds in")
"""Damage that may leave valid JSON: see `test_no_result_changes_unnoticed`."""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("file", "step", "again"), READ, ids=[f"{Path(f).name}-{step}" for f, step, _ in READ])
def test_damaged_files_are_named_and_nothing_changes(project, file, step, again, damage):
    if file.endswith(".json") and again and damage in (*HARMLESS_TO_JSON, *INSIDE):
        pytest.skip("a JSON file has no checksum")
    content = DAMAGES[damage](Path(file).read_bytes())
    if content is None:
        if file.endswith(OPTIONAL.get(step, ())):
            pytest.skip("the step does without it")
        Path(file).unlink()
    else:
        Path(file).write_bytes(content)
    before = contents(project)
    status, text = run(step)
    assert status == 1
    assert text.startswith(f"crepe {step}: ")
    named = f"{SHARDS}: is not the data that {RUN} was trained on" if not again else file
    assert named in text or (damage == "gone" and file in text)
    assert again in text
    assert "Traceback" not in text
    assert contents(project) == before


def flips(path: Path) -> Iterator[int]:
    """Flip a bit of each byte of a file in turn; yields the places."""
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (1, 4):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            yield place
    path.write_bytes(content)


def test_no_result_changes_unnoticed(project):
    """A JSON file has no checksum, and what a table shows of metrics.json is checked against the confusion matrix.

    Only the ends of intervals and what probabilities decide (loss, Brier score, calibration) stand alone: of them a
    flipped digit goes unnoticed, as would a wrong one that had been written in the first place. Damaged digests fit no
    file.
    """
    record = RunRecord.read(Path(RUN))
    right = Metrics.read(Path(RUN), record)
    unnoticed = set()
    for _ in flips(Path(RUN, "metrics.json")):
        try:
            found = Metrics.read(Path(RUN), record)
        except CrepeError as error:
            assert str(error).startswith(f"{RUN}/metrics.json")  # noqa: PT017
            continue
        assert abs(found.error_pct - right.error_pct) <= 1e-4
        unnoticed |= {key for key, value in found.as_dict().items() if value != right.as_dict()[key]}
        for name in ("macro_f1", "balanced_accuracy", "matthews"):
            assert found.value(name) == pytest.approx(right.value(name), abs=1e-9)
    alone = {"ci_low", "ci_high", "loss", "brier", "calibration_error", "log_loss", "reliability"}
    ends = {"macro_f1", "balanced_accuracy", "matthews", "by_class"}
    assert unnoticed <= {"error_pct", "sha256"} | alone | ends


def test_a_damaged_record_of_a_run_names_no_other_files(project):
    """In run.json what files are compared with and what a table shows of a run is typed; texts may change unnoticed.

    A digest that changes fits no file, and a key that changes is unknown or missing.
    """
    right = RunRecord.read(Path(RUN)).as_dict()
    unnoticed = set()
    for _ in flips(Path(RUN, "run.json")):
        try:
            found = RunRecord.read(Path(RUN)).as_dict()
        except CrepeError as error:
            assert str(error).startswith(f"{RUN}/run.json")  # noqa: PT017
            continue
        assert found.keys() == right.keys()
        unnoticed |= {key for key, value in found.items() if value != right[key]}
    assert "precision" not in unnoticed
    assert "complete" not in unnoticed


def test_every_file_of_the_project_is_among_them(whole):
    kept = {"results/made/table.csv", "results/made/table.md", "results/made/report.html"}
    kept.add("results/made/metrics/toys.json")  # A copy of the table, for DVC alone.
    files = {file for file in contents(whole) if file.startswith(("data/", "results/"))}
    assert files - kept == {file for file, _, _ in READ}


def test_a_model_of_another_training_is_not_tested(project):
    """Whole files that do not belong together."""
    record = Path(RUN, "run.json")
    config = made.CONFIG.replace('"learning_rate": 0.05', '"learning_rate": 0.5')
    old = record.read_bytes()
    assert main(["train", *made.STEPS["train"], "--config", config]) == 0
    record.write_bytes(old)
    status, text = run("evaluate")
    assert status == 1
    assert f"{RUN}/model.safetensors: is damaged, or not the file that run.json speaks of" in text


def test_figures_of_another_training_are_not_shown(project):
    metrics = Path(RUN, "metrics.json")
    config = made.CONFIG.replace('"learning_rate": 0.05', '"learning_rate": 0.5')
    old = metrics.read_bytes()
    assert main(["train", *made.STEPS["train"], "--config", config]) == 0
    metrics.write_bytes(old)
    before = contents(project)
    status, text = run("table")
    assert status == 1
    assert f"{RUN}/metrics.json: sha256: is of weights of another training; delete it and run `crepe evaluate" in text
    assert contents(project) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoints_are_passed_over_and_the_same_bytes_come_out(project, damage, monkeypatch):
    written = contents(Path(RUN))

    def kept(folder: Path) -> None:
        """What a run leaves that breaks off at its end."""

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "remove", kept)
        assert run("train")[0] == 0
    _, last = sorted(Path(RUN).glob("checkpoint-*"))
    content = DAMAGES[damage](last.read_bytes())
    last.unlink() if content is None else last.write_bytes(content)
    status, text = run("train")
    assert status == 0
    assert damage == "gone" or re.match(f"{last}: is damaged.*; not used\n", text)
    assert not list(Path(RUN).glob("checkpoint-*"))
    for name in ("model.safetensors", "history.csv"):
        assert Path(RUN, name).read_bytes() == written[name], name


# --- Disks

FIRST = {
    "encode": {f"{SHARDS}/manifest.json"},
    "train": {f"{RUN}/{name}" for name in RESULTS},
    "evaluate": {f"{RUN}/metrics.json"},
}
"""What a step of several files takes away first and writes last: no record stands beside files of another one."""
WRITERS = [step for step in made.STEPS if step != "predict"]


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, as small as can be."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder.mkdir()
    options = f"size={megabytes}m,nr_inodes=1000"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path, left: int) -> None:
    """Use up a disk but for `left` bytes."""
    with path.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    os.truncate(path, path.stat().st_size - left)


@pytest.mark.parametrize("left", [0, 4096])
@pytest.mark.parametrize("step", WRITERS)
def test_full_disk(whole, tmp_path, step, left):
    """Steps that want to write what they wrote before once more, without any place, then with too little for most."""
    with mounted(tmp_path / "disk", 3) as disk:
        project = shutil.copytree(whole, disk / "project")
        fill(disk / "filler", left)
        before = contents(project)
        with inside(project):
            status, text = run(step)
        after = contents(project)
    if status == 0:
        assert left or step == "evaluate", "what an evaluation takes away first may be all the place that it needs"
        return
    assert status == 1
    assert re.search(rf"^crepe {step}: \S+: cannot be written: .*No space left on device", text, re.M), text
    assert "Traceback" not in text
    assert all(after[file] == content for file, content in before.items() if file in after)
    assert before.keys() - after.keys() <= FIRST.get(step, set())
    # A training that fails leaves where it has come to, and why it went no further.
    new = after.keys() - before.keys()
    assert all(re.search(r"/(checkpoint-\d+\.safetensors|progress\.json)$", file) for file in new)


def test_a_disk_that_becomes_free_again(whole, tmp_path):
    """What a full disk stopped goes on when there is place, and comes to the same bytes."""
    with mounted(tmp_path / "disk", 3) as disk:
        shutil.copytree(whole, disk / "project")
        shutil.rmtree(disk / "project" / SHARDS)
        fill(disk / "filler", 0)
        with inside(disk / "project"):
            assert run("encode")[0] == 1
            (disk / "filler").unlink()
            assert run("encode") == (0, "")
        assert contents(disk / "project" / SHARDS) == contents(whole / SHARDS)


@pytest.mark.parametrize("step", WRITERS)
def test_read_only_disk(whole, tmp_path, step):
    with mounted(tmp_path / "disk", 3) as disk:
        shutil.copytree(whole, disk / "project")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with inside(disk / "project"):
            before = contents(disk / "project")
            status, text = run(step)
            assert status == 1
            assert re.search(
                rf"^crepe {step}: \S+: cannot be (written|removed|locked): Read-only file system$", text, re.M
            ), text
            assert contents(disk / "project") == before
