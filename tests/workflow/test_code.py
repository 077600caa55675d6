"""Which edits of the code change the digest of a step, and which do not."""

import ast
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from crepe.workflow import code
from tests.support import tiny
from tests.support.paths import ROOT

BASE = '''
def half(number: int, help: str = "") -> float:
    """A docstring."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    parser.add_argument("--number", help="a number", default=1)
    print("halving", file=sys.stderr)
    return number / 2
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A docstring."""', '"""Another one."""'),
        ('    """A docstring."""\n', ""),
        ("    return", "    # A comment.\n    return"),
        ("number: int, help: str", "number, help"),
        (" -> float", ""),
        ("is negative", "is below 0"),
        ('help="a number"', 'help="any number"'),
        ('    print("halving", file=sys.stderr)\n', ""),
        ("number / 2", "(number / 2)"),
        ("\ndef", "\nfrom typing import Any\n\ndef"),
        ("\ndef", "\nif TYPE_CHECKING:\n    import polars\n\ndef"),
        ("\ndef", "\n__all__ = ['half']\n\ndef"),
    ],
)
def test_what_changes_no_result_does_not_count(old, new):
    assert old in BASE
    assert code.tree(BASE.replace(old, new)) == code.tree(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("number / 2", "number // 2"),
        ("number < 0", "number <= 0"),
        ("default=1", "default=2"),
        ("ValueError", "TypeError"),
        ('help: str = ""', 'help: str = "x"'),
        ("def half", "def third"),
    ],
)
def test_what_may_change_a_result_counts(old, new):
    assert old in BASE
    assert code.tree(BASE.replace(old, new)) != code.tree(BASE)


def test_fields_of_dataclasses_count_with_their_types():
    before = code.tree("@dataclass\nclass A:\n    x: int = 1\n")
    assert code.tree('@dataclass\nclass A:\n    x: int = 1\n    """Documented."""\n') == before
    assert code.tree("@dataclass\nclass A:\n    x: float = 1\n") != before


def test_the_digests_are_the_same_in_every_python():
    """Pinned by value: a change here makes every finished run of every clone run again."""
    assert code.tree(BASE) == json.loads((Path(__file__).parent / "tree.json").read_text())


def test_a_step_depends_on_the_modules_that_it_loads(monkeypatch):
    monkeypatch.setattr(code, "LEFT_OUT", {"crepe": ""})
    for step, roots in code.STEPS.items():
        loading = f"import sys, {roots[0]}; print(*(name for name in sys.modules if name.startswith('crepe.')))"
        done = subprocess.run([sys.executable, "-c", loading], cwd=ROOT, capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) <= set(code.modules(roots)), step


def test_what_is_left_out_is_there():
    for name in code.LEFT_OUT:
        assert name == "crepe" or list((ROOT / name.replace(".", "/")).parent.glob(f"{name.rpartition('.')[-1]}*")), (
            name
        )


# --- In a project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the package and the rules, with the digests of its steps."""
    folder = tmp_path_factory.mktemp("code")
    shutil.copytree(ROOT / "crepe", folder / "crepe", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    return folder, digests(folder)


def digests(folder):
    return json.loads(tiny.run(folder, sys.executable, "-m", "crepe.workflow.code"))


def changed(before, after):
    """The steps, with their kinds, whose digests differ."""
    flat = [
        {f"{step} {kind}".strip(): digest for step, value in found.items() for kind, digest in _pairs(value)}
        for found in (before, after)
    ]
    return {step for step in flat[0] if flat[0][step] != flat[1][step]}


def _pairs(value):
    return value.items() if isinstance(value, dict) else [("", value)]


def test_comments_and_docstrings_in_every_module_change_nothing(project):
    folder, before = project
    files = sorted((folder / "crepe").rglob("*.py"))
    texts = {path: path.read_text() for path in files}
    for path, text in texts.items():
        body = ast.parse(text).body
        documented = body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        path.write_text(
            f'"""Another docstring."""\n{text if not documented else _without_docstring(text, body[0])}\n# A comment.\n'
        )
    try:
        assert digests(folder) == before
    finally:
        for path, text in texts.items():
            path.write_text(text)


def _without_docstring(text, node):
    lines = text.splitlines(keepends=True)
    return "".join(lines[node.end_lineno :])


NETWORKS = {"train convnet", "train linear", "train lstm", "evaluate convnet", "evaluate linear", "evaluate lstm"}
EXPECTED = {
    "data.clean": {"clean"},
    "data.download": set(),
    "data.encode": {"encode characters", "encode means", "encode ngrams", "encode words"},
    "features.means": {"encode means"},
    "models.convnet.__init__": {"train convnet", "evaluate convnet"},
    "models.convnet.network": {"train convnet", "evaluate convnet"},
    "training.train": {"train convnet", "train linear", "train lstm"},
    "training.cg": {"train convnet", "train linear", "train lstm"},
    "evaluation.evaluate": {"evaluate convnet", "evaluate linear", "evaluate lstm"},
    "results.table": {"table"},
    "records.run": {"table", "report"},
    **{key: set() for key in ("cli", "errors", "layout", "options", "io.files", "io.progress", "training.heartbeat")},
    **{key: set() for key in ("monitor.board", "own_data.init_dataset", "inference.serve", "workflow.steps")},
}


@pytest.mark.parametrize("module", EXPECTED)
def test_a_real_line_changes_the_steps_that_run_it(project, module):
    folder, before = project
    path = folder / "crepe" / f"{module.replace('.', '/')}.py"
    text = path.read_text()
    path.write_text(f"{text}\nCHANGED = 1\n")
    try:
        assert changed(before, digests(folder)) == EXPECTED[module]
    finally:
        path.write_text(text)


def test_a_training_depends_on_the_solver_of_its_recipe_alone():
    sgd, cg = (import_module(f"crepe.config.{kind}").Settings for kind in ("sgd", "cg"))
    by = {kind: set(code.modules([*code.STEPS["train"], *code.solvers(kind)])) for kind in (sgd, cg)}
    assert {"crepe.training.cg", "crepe.config.cg"} <= by[cg] - by[sgd]
    assert "crepe.config.sgd" in by[sgd] - by[cg]


def test_a_real_line_in_any_module_changes_a_step_or_is_left_out(project):
    """By the package's own list: each module of the package is one of a step's, left out, or run by no step."""
    kinds = [*code.solvers(), *(module for step in code.STEPS for module in code.kinds(step).values())]
    counted = set(code.modules([*(root for roots in code.STEPS.values() for root in roots), *kinds]))
    rooms = {"crepe.inference", "crepe.monitor", "crepe.own_data", "crepe.workflow"}
    tools = {"crepe.cli", "crepe.__main__", "crepe.training.tune", "crepe.training.bench", "crepe.evaluation.compare"}
    tools |= {"crepe.data.download", "crepe.data.store", "crepe.data.web", "crepe.io.dialect", "crepe.io.lines"}
    tools |= {"crepe.io.tables", "crepe.training.estimate", "crepe.training.peers", "crepe.evaluation.scores"}
    others = set()
    for path in sorted((ROOT / "crepe").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name not in counted and not code.is_left_out(name) and ".".join(name.split(".")[:2]) not in rooms:
            others.add(name)
    assert others == tools
