"""Bad inputs, the cases of tests/faults/test_bad_inputs.py.

The messages that they get are in `tests/golden/messages.json`. After a deliberate change of messages write that file
again, and read its difference:

    python -m tests.support.bad_inputs
"""

import contextlib
import gzip
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crepe
from crepe.cli import main
from crepe.config import merge
from crepe.errors import CrepeError
from crepe.io.files import read_json, write_json
from tests.support import made, texts
from tests.support.made import CLEAN, CONFIG, FEATURE, MODEL, RUN, SHARDS, THESAURUS, VECTORS
from tests.support.misbehaving import tgz
from tests.support.paths import GOLDEN, inside
from tests.support.texts import binary

MESSAGES = GOLDEN / "messages.json"


@dataclass(frozen=True)
class Case:
    """A bad input, given to a copy of the project of tests/support/made.py."""

    what: str
    call: str | Callable[[], Any]
    """A command or its arguments, or Python."""
    prepare: Callable[[], Any] = lambda: None
    config: str | dict | None = None
    """Laid over that of the project; a text is passed as it is."""


def put(path: str, content: bytes | str) -> Callable[[], Any]:
    """Write a file."""
    return lambda: Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())


def archive(train: bytes, **others: bytes) -> Callable[[], Any]:
    """Put another archive in the place of the project's."""
    good = b'"1","a","b"\n"2","a","b"\n"3","a","b"\n'
    return lambda: texts.archive(Path("data/raw/toys.tgz"), train, good, **others)


def change(path: str, **changes: Any) -> Callable[[], Any]:
    """Rewrite a file of the project with other values."""
    return lambda: write_json(path, read_json(path, "") | changes)


def entry(section: str, key: str, **changes: Any) -> dict:
    """A changed entry of the catalog."""
    return {"catalog": {section: {key: changes}}}


TRAIN = f"train toys {MODEL} --device cpu --precision float32"
ENCODE, EVALUATE, TUNE = (
    f"encode toys {FEATURE}",
    f"evaluate {RUN} --shards {SHARDS}",
    f"tune toys {MODEL} --device cpu",
)
ROW = b'"1","a","b"\n'
OTHER_THESAURUS = {
    "catalog": {
        "thesauri": {"a": {"sources": [{"url": "data/raw/a.dat"}]}},
        "features": {FEATURE: {"thesaurus": "a"}},
    }
}
NONE = {"sources": [{"url": "data/raw/none"}]}

CASES: dict[str, list[Case]] = {
    "Configuration": [
        Case("A file that is not there", "table", config="none.yaml"),
        Case("A folder", "table", config="config"),
        Case("No YAML", "table", put("bad.yaml", "name: [a\n"), "bad.yaml"),
        Case("No UTF-8", "table", put("bad.yaml", b"name: \xff\n"), "bad.yaml"),
        Case("A list", "table", put("bad.yaml", "- name\n"), "bad.yaml"),
        Case("A single word", "table", put("bad.yaml", "name\n"), "bad.yaml"),
        Case("No JSON", "table", config='{"name": '),
        Case(
            "A Python object", "table", put("bad.yaml", 'name: !!python/object/apply:os.system ["true"]\n'), "bad.yaml"
        ),
        Case(
            "Aliases of aliases, a hundred million items",
            "table",
            put(
                "bad.yaml",
                "a0: &a0 [x]\n"
                + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]\n" for n in range(1, 9))
                + "name: *a8\n",
            ),
            "bad.yaml",
        ),
        Case(
            "A thousand lists in one another", "table", put("bad.yaml", "name: " + "[" * 1000 + "]" * 1000), "bad.yaml"
        ),
        Case("An unknown key", "table", config={"model": ["bow"]}),
        Case("An unknown key further in", "table", config={"training": {"brief": {"momentun": 0.9}}}),
        Case("A missing key", "table", config={"catalog": {"datasets": {"pets": {"fields": 1}}}}),
        Case("A value of another type", "table", config=entry("datasets", "toys", train_rows="many")),
        Case("True in the place of a number", "table", config=entry("datasets", "toys", train_rows=True)),
        Case("A mapping in the place of a list", "table", config={"models": {"bow": 1}}),
        Case("A section that is empty", "table", config={"catalog": {"datasets": {"toys": None}}}),
        Case(
            "A number in quotation marks",
            "table",
            put("bad.yaml", "training: {convnet: {weight_decay: '0.5'}}"),
            "bad.yaml",
        ),
        Case(
            "A number without end", "table", put("bad.yaml", "training: {convnet: {learning_rate: .inf}}"), "bad.yaml"
        ),
        Case("No epochs", "table", config={"training": {"brief": {"epochs": 0}}}),
        Case("A momentum that grows", "table", config={"training": {"brief": {"momentum": 1.0}}}),
        Case("A dataset that is not in the catalog", "table", config={"datasets": ["agnews"]}),
        Case("A model that is not in the catalog", "table", config={"models": ["bowl"]}),
        Case("No models", "table", config={"models": []}),
        Case("A seed twice", "table", config={"seeds": [1, 1]}),
        Case("A seed below 0", "table", config={"seeds": [-1]}),
        Case("A name that leads elsewhere", "table", config={"name": "../elsewhere"}),
        Case("A key that leads elsewhere", "table", config=entry("vectors", "a/b", vector_size=3)),
        Case(
            "A file from the network without a checksum",
            "table",
            config=entry("datasets", "toys", sources=[{"url": "https://example.org/a.tgz"}]),
        ),
        Case(
            "A checksum that is none",
            "table",
            config=entry("datasets", "toys", sources=[{"url": "a.tgz", "md5": "0x12"}]),
        ),
        Case("Four fields", "table", config=entry("datasets", "toys", fields=4)),
        Case("One class", "table", config=entry("datasets", "toys", classes=1)),
        Case("An unknown kind of feature", "table", config=entry("features", FEATURE, kind="letters")),
        Case("A kind that is a path", "table", config=entry("features", FEATURE, kind="../../evil")),
        Case("A feature that lacks what its kind needs", "table", config=entry("features", "mine", kind="words")),
        Case("An unknown kind of network", "table", config=entry("networks", "lstm-tiny", kind="transformer")),
        Case("Convolutions that are no pairs", "table", config=entry("networks", "convnet-small", convolutions=[[7]])),
        Case("A model of a feature that is not defined", "table", config=entry("models", MODEL, feature="nouns")),
        Case(
            "A comparison with a dataset that the paper has not",
            "table",
            config=entry("datasets", "toys", paper="imdb"),
        ),
    ],
    "Command line": [
        Case("An argument is missing", "train toys"),
        Case("A seed that is no number", f"{TRAIN} --seed one"),
        Case("A seed below 0", f"{TRAIN} --seed -1"),
        Case("No steps", f"{TRAIN} --steps 0"),
        Case("An unknown dataset", f"train toy {MODEL}"),
        Case("An unknown model", "train toys conv-tiny"),
        Case("A device that no machine has", f"train toys {MODEL} --device abacus"),
        Case("An unknown precision", f"train toys {MODEL} --device cpu --precision float8"),
        Case("A trial that is no setting", f"{TUNE} --try learning_rate"),
        Case("A trial of an unknown setting", f"{TUNE} --try speed=3"),
        Case("A trial that is no YAML", f"{TUNE} --try learning_rate=[1"),
        Case("All rows held out", f"{TUNE} --try learning_rate=0.1 --held-out 1.5"),
        Case("A seed of trials below 0", f"{TUNE} --try learning_rate=0.1 --seed -1"),
    ],
    "Downloads": [
        Case("A key that nothing has", "download toyz"),
        Case("No sources", "download toys", config=entry("datasets", "toys", sources=[])),
        Case("A file that is not there", "download toys --output new.tgz", config=entry("datasets", "toys", **NONE)),
        Case(
            "A file of another checksum",
            "download synonyms --output new.dat",
            config=entry("thesauri", "synonyms", sources=[{"url": "data/raw/synonyms.dat", "md5": "0" * 32}]),
        ),
        Case("A folder in the place of the file", "download toys --output data"),
    ],
    "Archives": [
        Case("None", "clean toys", lambda: Path("data/raw/toys.tgz").unlink()),
        Case("An empty file", "clean toys", put("data/raw/toys.tgz", b"")),
        Case("A page of HTML", "clean toys", put("data/raw/toys.tgz", "<!DOCTYPE html><title>Quota exceeded</title>")),
        Case("A ZIP archive", "clean toys", put("data/raw/toys.tgz", b"PK\x03\x04...")),
        Case("gzip without a tar in it", "clean toys", put("data/raw/toys.tgz", gzip.compress(b"text", mtime=0))),
        Case(
            "Half of one",
            "clean toys",
            lambda: Path("data/raw/toys.tgz").write_bytes(Path("data/raw/toys.tgz").read_bytes()[:2000]),
        ),
        Case("One of other files", "clean toys", put("data/raw/toys.tgz", tgz({"a/data.csv": ROW}))),
        Case("A file twice", "clean toys", put("data/raw/toys.tgz", tgz({"a/train.csv": ROW, "b/train.csv": ROW}))),
        Case("Names of too few classes", "clean toys", archive(ROW, **{"classes.txt": b"one\ntwo\n"})),
        Case("Names of classes that are no UTF-8", "clean toys", archive(ROW, **{"classes.txt": b"\xff\n"})),
        Case(
            "Another archive than the published one",
            "clean toys",
            config=entry("datasets", "toys", csv={"train": {"md5": "0" * 32}, "test": {"md5": "1" * 32}}),
        ),
    ],
    "CSV": [
        Case("A header row", "clean toys", archive(b'"class","title","text"\n' + ROW)),
        Case("A blank line", "clean toys", archive(ROW + b"\n" + ROW)),
        Case("Too few fields", "clean toys", archive(ROW + b'"1","a"\n')),
        Case("Too many fields", "clean toys", archive(ROW + b'"1","a","b","c"\n')),
        Case("Class 0", "clean toys", archive(b'"0","a","b"\n')),
        Case("A class too many", "clean toys", archive(ROW + b'"4","a","b"\n')),
        Case("A class that is no number", "clean toys", archive(ROW + b'"sport","a","b"\n')),
        Case("A quote that is not closed", "clean toys", archive(b'"1","a","b\n' + ROW)),
        Case("Text behind a closing quote", "clean toys", archive(b'"1","a" is,"b"\n')),
        Case("A NUL byte", "clean toys", archive(b'"1","a","\0"\n')),
        Case("Bytes that are no UTF-8", "clean toys", archive(ROW + b'"1","caf\xe9","b"\n')),
        Case("Too few rows", "clean toys", archive(ROW)),
        Case(
            "A class without rows",
            "clean toys",
            archive(ROW + b'"2","a","b"\n'),
            entry("datasets", "toys", train_rows=2),
        ),
        Case("Nothing", "clean toys", archive(b"")),
    ],
    "Clean text, thesauri, features": [
        Case("Not cleaned yet", ENCODE, lambda: shutil.rmtree(CLEAN)),
        Case("Clean text of another dataset", f"encode ag_news {FEATURE} --clean {CLEAN}"),
        Case("A record that lacks something", ENCODE, lambda: write_json(f"{CLEAN}/clean.json", {"dataset": "toys"})),
        Case("A thesaurus that is not there", ENCODE, lambda: Path("data/raw/synonyms.dat").unlink()),
        Case("A thesaurus of another checksum", ENCODE, put("data/raw/synonyms.dat", THESAURUS + b"\n")),
        Case(
            "A thesaurus of no known encoding",
            ENCODE,
            put("data/raw/a.dat", "UTF-9\ncat|0\n"),
            OTHER_THESAURUS,
        ),
        Case(
            "A thesaurus that is no text of its encoding",
            ENCODE,
            put("data/raw/a.dat", b"UTF-8\ncat|1\n-|\xff\n"),
            OTHER_THESAURUS,
        ),
        Case(
            "An entry of a thesaurus that is none",
            ENCODE,
            put("data/raw/a.dat", "UTF-8\ncat\n"),
            OTHER_THESAURUS,
        ),
        Case(
            "A thesaurus that ends within an entry",
            ENCODE,
            put("data/raw/a.dat", "UTF-8\ncat|2\n-|pet\n"),
            OTHER_THESAURUS,
        ),
        Case(
            "A thesaurus that claims more meanings than memory has",
            ENCODE,
            put("data/raw/a.dat", f"UTF-8\ncat|{2**60}\n-|pet\n"),
            OTHER_THESAURUS,
        ),
        Case(
            "A thesaurus without synonyms",
            ENCODE,
            put("data/raw/a.dat", "UTF-8\n"),
            OTHER_THESAURUS,
        ),
        Case(
            "A thesaurus where none can be",
            "encode toys ngrams",
            config=entry("features", "ngrams", thesaurus="synonyms"),
        ),
        Case("An unknown alphabet", "encode toys chars", config=entry("features", "chars", alphabet="runes")),
        Case(
            "Words that are too rare for means", "encode toys means", config=entry("features", "means", min_count=999)
        ),
    ],
    "Word vectors": [
        Case("No such file", f"vectors toys {FEATURE} pub --file none.bin"),
        Case(
            "A file of another checksum",
            f"vectors toys {FEATURE} pub",
            put("data/raw/pub.bin.gz", binary([("a", [1, 2, 3])])),
        ),
        Case(
            "No file of vectors",
            f"vectors toys {FEATURE} mine --file a.bin",
            put("a.bin", "goal 1.0 2.0"),
            entry("vectors", "mine", vector_size=3, **NONE),
        ),
        Case(
            "A file that claims more than memory has",
            f"vectors toys {FEATURE} mine --file a.bin",
            put("a.bin", f"{2**60} {2**60}\ngoal ...".encode()),
            entry("vectors", "mine", vector_size=3, **NONE),
        ),
        Case(
            "A file that ends early",
            f"vectors toys {FEATURE} mine --file a.bin",
            put("a.bin", binary([("goal", [1, 2, 3])])[:-1]),
            entry("vectors", "mine", vector_size=3, **NONE),
        ),
        Case(
            "Vectors of another size",
            f"vectors toys {FEATURE} mine --file a.bin",
            put("a.bin", binary([("goal", [1, 2])])),
            entry("vectors", "mine", vector_size=3, **NONE),
        ),
        Case(
            "None of the words",
            f"vectors toys {FEATURE} mine --file a.bin",
            put("a.bin", binary([("zebra", [1, 2, 3])])),
            entry("vectors", "mine", vector_size=3, **NONE),
        ),
        Case("Of vectors that the configuration lacks", f"vectors toys {FEATURE} theirs"),
        Case("Not made yet", TRAIN, lambda: Path(VECTORS).unlink()),
        Case("Of another vocabulary", TRAIN, change(f"{SHARDS}/manifest.json", source="0" * 64)),
    ],
    "Training and testing": [
        Case("Not encoded yet", TRAIN, lambda: shutil.rmtree(SHARDS)),
        Case("Shards of another feature", f"train toys bow --device cpu --shards {SHARDS}"),
        Case(
            "A manifest that lacks something", TRAIN, lambda: write_json(f"{SHARDS}/manifest.json", {"dataset": "toys"})
        ),
        Case(
            "A manifest of more rows than there are",
            TRAIN,
            change(f"{SHARDS}/manifest.json", rows={"train": 2**60, "test": 60}),
        ),
        Case("A step size that leads astray", TRAIN, config={"training": {"brief": {"learning_rate": 1e30}}}),
        Case(
            "A ConvNet for texts that are not cut",
            TRAIN,
            change(f"{SHARDS}/manifest.json"),
            merge(
                entry("models", MODEL, network="convnet-small", vectors=None),
                entry("features", FEATURE, max_length=None),
            ),
        ),
        Case(
            "Texts that are too short for a ConvNet",
            TRAIN,
            config=entry("models", MODEL, network="convnet-small", vectors=None),
        ),
        Case("Vectors for a network that takes none", TRAIN, config=entry("models", MODEL, network="linear-counts")),
        Case("Not trained yet", EVALUATE, lambda: shutil.rmtree(RUN)),
        Case(
            "Other shards than those of the training",
            EVALUATE,
            change(f"{SHARDS}/manifest.json", classes=["a", "b", "c"]),
        ),
        Case("No model", "predict none text"),
        Case("A file that is no model", "predict config/config.yaml text"),
    ],
    "Tables and reports": [
        Case("A run in the place of another", "table", change(f"{RUN}/run.json", seed=7)),
        Case("A record that lacks something", "table", lambda: write_json(f"{RUN}/run.json", {"dataset": "toys"})),
        Case("Figures that contradict one another", "table", change(f"{RUN}/metrics.json", errors=61)),
        Case(
            "Figures edited by hand",
            "table",
            lambda: Path(RUN, "metrics.json").write_text(
                Path(RUN, "metrics.json").read_text().replace('"errors": ', '"errors": 1')
            ),
        ),
        Case("A learning curve that is not there", "report", lambda: Path(RUN, "history.csv").unlink()),
        Case("The paper's table has lost its columns", "table", put("config/paper/table3.csv", "a,b\n1,2\n")),
        Case(
            "The paper's table has a word for a number",
            "table",
            lambda: Path("config/paper/table3.csv").write_text(
                Path("config/paper/table3.csv").read_text().replace("120000", "many")
            ),
        ),
    ],
    "Python": [
        Case("`crepe.load` of nothing", lambda: crepe.load("none")),
        Case("`crepe.load` on no device", lambda: crepe.load(RUN, device="abacus")),
        Case("`predict` of one text that stands alone", lambda: crepe.load(RUN, device="cpu").predict("goal")),
        Case("`predict` of what is no text", lambda: crepe.load(RUN, device="cpu").predict(["goal", 5])),  # type: ignore[list-item]
        Case("`crepe.quantize` by an unknown alphabet", lambda: crepe.quantize("goal", alphabet="runes")),
        Case("`crepe.quantize` to no columns", lambda: crepe.quantize("goal", length=-1)),
        Case("`crepe.quantize` of what is no text", lambda: crepe.quantize(5)),  # type: ignore[arg-type]
    ],
}


def answer(case: Case) -> tuple[int, str]:
    """Give a case to the project in the working folder; returns the exit status and the message."""
    if not isinstance(case.call, str):
        try:
            case.call()
        except CrepeError as fault:
            return 1, f"{fault}"
        return 0, ""
    words = case.call.split()
    if words[0] not in ("evaluate", "predict"):
        given = case.config
        config = given if isinstance(given, str) else json.dumps(merge(json.loads(CONFIG), given or {}))
        words += ["--config", config]
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(words)
        except SystemExit as end:  # Of argparse, which says how to use the command, too.
            return int(end.code or 0), error.getvalue().splitlines()[-1]
    return status, error.getvalue().removesuffix("\n")


def write() -> None:
    """Rewrite the fixture."""
    messages: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        whole, copy = made.project(Path(name) / "whole"), Path(name) / "copy"
        for section, cases in CASES.items():
            messages[section] = {}
            for case in cases:
                with inside(shutil.copytree(whole, copy)):
                    case.prepare()
                    messages[section][case.what] = answer(case)[1]
                shutil.rmtree(copy)
    MESSAGES.write_text(json.dumps(messages, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
