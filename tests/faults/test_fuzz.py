"""Any bytes: every reader ends with what it reads or with a CrepeError, in bounded memory, and runs nothing."""

import ast
import gzip
import re
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe import config, layout
from crepe.data import clean, shards
from crepe.errors import CrepeError
from crepe.io.files import digest, read_json, write_json
from crepe.io.progress import Meter
from crepe.models import saved
from crepe.text import thesaurus, word2vec
from crepe.training import checkpoints
from tests.support import texts
from tests.support.made import FEATURE, RUN, SHARDS, THESAURUS
from tests.support.paths import ROOT
from tests.support.texts import binary

pytestmark = pytest.mark.slow

FUZZ = settings(max_examples=60)
CSV = b'"1","a ""b""","c"\n"2","d","e\\n"\n'
YAML = b"name: x\ndatasets: [ag_news]\ntraining:\n  convnet: &a {rate: 1.0e-2}\n  lstm: *a\n"
VECTORS = binary([(f"w{number}", [number, -1.5, 0.25]) for number in range(50)])


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes near `content`, and any others."""
    place = st.integers(0, len(content))
    piece = st.one_of(
        st.binary(max_size=8), st.sampled_from([b"9" * 30, b"[" * 2000, b"&a *a", b"\0", b"\xff", b"!!python/name:os"])
    )

    def put(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for start, length, new in changes:
            changed = changed[:start] + new + changed[start + length :]
        return changed

    return st.one_of(
        st.lists(st.tuples(place, st.integers(0, 8), piece), min_size=1, max_size=3).map(put), st.binary(max_size=300)
    )


def fault_of(read: Callable[[], object]) -> str:
    """What a CrepeError says; nothing if there is none. It takes little memory, either way."""
    tracemalloc.start()
    try:
        read()
    except CrepeError as error:
        return str(error)
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 100_000_000
    return ""


def ends(read: Callable[[Path], object], path: Path, content: bytes) -> None:
    """Reading a file with this content ends well, or with a message that names the file or the key."""
    path.write_bytes(content)
    fault = fault_of(lambda: read(path))
    assert not fault or str(path) in fault or fault.startswith("configuration: ")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


@FUZZ
@given(damaged(CSV))
def test_csv(path, content):
    def read(csv: Path) -> None:
        output = path.parent / "clean"
        clean.convert(str(csv), csv, output, texts.dataset(2), Meter("", None, "B", 0, None))

    ends(read, path, content)


@FUZZ
@given(damaged(YAML))
def test_configuration(path, content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CONFIG", path.parent / "none")
        ends(lambda file: config.load(str(file)), path, content)


@FUZZ
@given(damaged(THESAURUS))
def test_thesaurus(path, content):
    ends(thesaurus.read, path, content)


@FUZZ
@given(damaged(VECTORS), st.booleans())
def test_word_vectors(path, content, packed):
    ends(word2vec.check, path, gzip.compress(content) if packed else content)


@pytest.mark.parametrize(
    "header", [f"{2**60} {2**60}", f"{2**60} 3", f"1 {2**60}", f"-1 {2**20}", "1 -4", "0 0", "1 0", f"{2**63} 99999"]
)
def test_word_vectors_that_claim_anything(path, header):
    path.write_bytes(f"{header}\n".encode() + b"word " + bytes(1000))
    with pytest.raises(CrepeError):
        word2vec.check(path)


def test_a_bomb_of_word_vectors_takes_no_memory(path):
    """200 MB without a space in them, packed to 200 kB."""
    with gzip.open(path, "wb") as stream:
        stream.write(b"9 3\n")
        for _ in range(40):
            stream.write(b"x" * 5_000_000)
    ends(word2vec.check, path, path.read_bytes())


@FUZZ
@given(damaged(b'{"a": [1, 2], "b": "text"}'))
def test_json(path, content):
    ends(lambda file: read_json(file, "again"), path, content)


@pytest.fixture(scope="module")
def folder(whole, tmp_path_factory):
    """Shards to be damaged."""
    return shutil.copytree(whole / SHARDS, tmp_path_factory.mktemp("shards") / FEATURE)


@FUZZ
@given(st.data())
def test_shards_that_the_manifest_agrees_with(whole, folder, data):
    """Files made up to deceive: their digests are right."""
    name = "train-00000-of-00001.arrow"
    content = (whole / SHARDS / name).read_bytes()
    changed = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        changed[place] = data.draw(st.integers(0, 255))
    manifest = read_json(whole / SHARDS / "manifest.json", "")

    def read(path: Path) -> None:
        manifest["shards"]["train"][0]["sha256"] = digest(path)
        write_json(folder / "manifest.json", manifest)
        try:
            rows = shards.read(folder, "train")
        except CrepeError as error:
            raise CrepeError(path, str(error)) from error
        assert rows.offsets[-1] == len(rows.values)
        assert 0 <= rows.labels.min() <= rows.labels.max() < 3
        assert 0 <= rows.values.min() <= rows.values.max() <= 40

    ends(read, folder / name, bytes(changed))


JUNK = st.recursive(
    st.none() | st.booleans() | st.sampled_from([-1, 0, 2**60, 10**40]) | st.text(max_size=3),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=3),
    max_leaves=5,
)


@FUZZ
@given(st.data())
def test_manifests_of_any_values(whole, folder, data):
    manifest = read_json(whole / SHARDS / "manifest.json", "")
    key = data.draw(
        st.sampled_from([*manifest, "shards.train.0.rows", "shards.train.0.values", "rows.train", "shards.train"])
    )
    *above, last = key.split(".")
    place = manifest
    for part in above:
        place = place[int(part) if isinstance(place, list) else part]
    place[last] = data.draw(JUNK)
    write_json(folder / "manifest.json", manifest)
    shutil.copy(whole / SHARDS / "train-00000-of-00001.arrow", folder)
    fault = fault_of(lambda: shards.read(folder, "train"))
    assert not fault or str(folder) in fault


@FUZZ
@given(st.data())
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors is a no-op")
def test_models_of_any_values(whole, path, data):
    """A model with a checksum that fits, whose facts are made up: it may ask for any number of symbols."""
    from crepe.io import tensors

    about, held = tensors.read(whole / RUN / "model.safetensors", "")
    part = data.draw(st.sampled_from([about, about["feature"], about["network"]]))
    part[data.draw(st.sampled_from(list(part)))] = data.draw(JUNK)
    tensors.write(path, about, held)
    fault = fault_of(lambda: saved.load(path, torch.device("cpu")))
    assert not fault or fault.startswith(f"{path}: is no model that this version can use (")


@FUZZ
@given(damaged(b"x" * 300))
def test_checkpoints(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("checkpoints")
    like = {"a": torch.zeros(3, 2)}
    checkpoints.save(folder, 1, "run", {"done": 1}, like)
    path = folder / "checkpoint-0000000002.safetensors"
    path.write_bytes(content)
    found = checkpoints.load(folder, "run", like)
    assert found is not None
    assert found[0] == {"done": 1}


def test_the_readers_under_atheris(path):
    """Bytes that libFuzzer makes; its own process, as it ends the one that it runs in."""
    pytest.importorskip("atheris")
    import subprocess

    program = f"""
import sys, atheris
from pathlib import Path
with atheris.instrument_imports(include=["crepe.text.thesaurus", "crepe.text.word2vec", "crepe.io.section"]):
    from crepe.text import thesaurus, word2vec
from crepe import config, layout
from crepe.errors import CrepeError
layout.CONFIG = Path("none")
path = Path({str(path)!r})
def one(content):
    path.write_bytes(content[1:])
    read = [thesaurus.read, word2vec.check, lambda file: config.load(str(file))][content[0] % 3 if content else 0]
    try:
        read(path)
    except CrepeError:
        pass
atheris.Setup([sys.argv[0], "-runs=1000", "-seed=1", "-max_len=400", "-rss_limit_mb=1000"], one)
atheris.Fuzz()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 1000 runs" in done.stderr


# --- Nothing that is read is run

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
SOURCES = sorted(
    path for folder in ("crepe", "workflow") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk")
)


def _name(node: ast.AST) -> str:
    return f"{_name(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@pytest.mark.parametrize("source", [*SOURCES, ROOT / "Snakefile"], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(source):
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {
                    (getattr(node, "module", "") or "").split(".")[0]
                }
                assert not names & MODULES
            elif isinstance(node, ast.Call):
                name, given = _name(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert name.removeprefix("builtins.") not in CALLS, name
                assert not name.startswith("yaml.") or name in ("yaml.safe_load", "yaml.safe_dump"), name
                assert name != "torch.load" or given.get("weights_only") == "True"
                assert "allow_pickle" not in given
                assert given.get("shell") != "True"
    else:
        assert not re.search(r"\b(pickle|eval|exec|yaml\.load|torch\.load|os\.system)\b", text)


@pytest.mark.parametrize(
    "line",
    ["import pickle", "eval('1')", "yaml.load(x)", "torch.load(x)", "np.load(x, allow_pickle=True)", "os.system(x)"],
)
def test_the_search_finds_what_it_forbids(tmp_path, line):
    path = tmp_path / "bad.py"
    path.write_text(line)
    with pytest.raises(AssertionError):
        test_nothing_is_unpickled_or_evaluated(path)
