"""Digests of the code that a step runs, by meaning: a step runs again when one that it depends on changes.

A module counts by its syntax tree, less what cannot change a result: comments, docstrings, annotations of functions,
the wording of errors and messages, help texts of the command line. `LEFT_OUT` names the modules that do not count.

    python -m crepe.workflow.code > config/code.json

writes the digests of all steps, for DVC, which decides from that file whether Snakemake has to be asked at all.
"""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from crepe.config.recipe import Recipe

LEFT_OUT = {
    "crepe": "offers names to users",
    "crepe.config": "reads settings; those that a step uses are parameters of it",
    "crepe.errors": "words errors",
    "crepe.io.files": "brings files to the disk whole, whatever is in them",
    "crepe.io.locks": "has processes wait for each other",
    "crepe.io.processes": "ends jobs whose Snakemake has died",
    "crepe.io.progress": "shows progress",
    "crepe.io.section": "reads settings, as crepe.config does",
    "crepe.layout": "says where files lie; the rules say so, too",
    "crepe.options": "declares options of the command line",
    "crepe.records": "words records; their readers understand older ones",
    "crepe.training.heartbeat": "shows progress",
}
"""Modules, and packages with all that is in them, that change no step's result, each with the reason.

A step that names one of them in `STEPS` depends on it all the same, and on what is in it.
"""

STEPS = {
    "clean": ("crepe.data.clean",),
    "encode": ("crepe.data.encode",),
    "vectors": ("crepe.data.vectors",),
    "train": ("crepe.training.train", "crepe.config.recipe"),
    "evaluate": ("crepe.evaluation.evaluate",),
    "table": ("crepe.results.table", "crepe.records"),
    "report": ("crepe.results.report", "crepe.records"),
    "demo_data": ("crepe.data.demo_data",),
}
"""Modules that a step's code begins with. Downloads have none: what is fetched is right if its checksum is."""

KINDS = {
    "encode": ("crepe.features", "FeatureSettings"),
    "train": ("crepe.models", "NetworkSettings"),
    "evaluate": ("crepe.models", "NetworkSettings"),
}
"""Module and class of the settings that come in kinds; a step runs the module of the kind, too."""


@cache
def code(step: str, *kinds: str) -> str:
    """Digest of a step's code, 16 hexadecimal digits: the same on every machine, in Python 3.11 to 3.13.

    Args:
        step: a key of `STEPS`.
        *kinds: modules of the kind of feature (encode), of network (train, evaluate), and of recipe and solver (train).
    """
    return _digest([(name, _module(name).digest) for name in modules([*STEPS[step], *kinds])])


def modules(roots: Iterable[str]) -> list[str]:
    """The modules of the package that `roots` are made of: these and, step by step, those that they import."""
    found: set[str] = set()
    wanted = list(roots)
    named = tuple(f"{name}." for name in wanted)
    while wanted:
        name = wanted.pop()
        if name in found or (is_left_out(name) and not f"{name}.".startswith(named)):
            continue
        if (module := _module(name)).digest:
            found.add(name)
            wanted += module.imports
    return sorted(found)


def every() -> dict[str, Any]:
    """The digests of all steps, by kind where a step has kinds, and of the rules."""
    digests: dict[str, Any] = {}
    for step in STEPS:
        others = solvers() if step == "train" else []
        found = {kind: code(step, module, *others) for kind, module in sorted(kinds(step).items())}
        digests[step] = found or code(step)
    return digests | {"rules": rules()}


def rules() -> str:
    """Digest of the Snakefile and its rules, less comments; "" where only the package is installed."""
    folder = Path(__file__).parents[2] / "workflow"
    files = sorted([*folder.glob("Snakefile"), *folder.glob("rules/*.smk")])
    return _digest([(file.name, _tokens(file)) for file in files]) if files else ""


def tree(source: str | bytes) -> Any:
    """A module's syntax as nested lists of text, without what cannot change a result."""
    return _plain(ast.parse(source), None)


class _Module:
    """Digest and imports of a module; the digest of one that does not exist, as an imported function, is empty."""

    def __init__(self, name: str) -> None:
        self.digest, self.imports = "", list[str]()
        file = _file(name)
        if file is None:
            return
        syntax = ast.parse(file.read_bytes())
        self.digest = _digest(_plain(syntax, None))
        self.imports = [name.rpartition(".")[0], *_imports(syntax)]
        if file.name == "__init__.py":
            for other in sorted(file.parent.iterdir()):
                if other.suffix in (".html", ".css", ".js"):
                    self.digest = _digest([self.digest, other.name, hashlib.sha256(other.read_bytes()).hexdigest()])


@cache
def _module(name: str) -> _Module:
    return _Module(name)


def _file(name: str) -> Path | None:
    """The file of a module of the package, None for anything else."""
    first, *parts = name.split(".")
    if first != "crepe":
        return None
    path = Path(__file__).parents[1].joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file if file.is_file() else None


def is_left_out(name: str) -> bool:
    """Whether a module is in `LEFT_OUT`, by itself or with its package."""
    return name == "crepe" or any(f"{name}.".startswith(f"{part}.") for part in LEFT_OUT if part != "crepe")


def kinds(step: str) -> Mapping[str, str]:
    """The kinds that a step has, each with its module; none for most steps."""
    if step not in KINDS:
        return {}
    package, settings = KINDS[step]
    found: Mapping[str, str] = getattr(import_module(package), settings).KINDS
    return found


def solvers(recipe: type[Recipe] | None = None) -> list[str]:
    """The modules of a kind of recipe: its settings, and the solver that follows them; of all kinds if None."""
    found = [recipe] if recipe else [import_module(module).Settings for module in Recipe.KINDS.values()]
    return [module for kind in found for module in (kind.__module__, kind.SOLVER)]


def _imports(node: ast.AST) -> Iterator[str]:
    """Names that a module imports, also inside functions, but not those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield str(child.module)
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not isinstance(child, ast.expr) and not _is_for_type_checkers(child):
            yield from _imports(child)


# --- Syntax

_SKIPPED = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "type_ignores"}
_TYPES = {"__future__", "typing", "collections.abc", "types"}
_NAMES = {"KINDS", "__all__"}
"""Lists of modules and names: a kind that is added changes no other kind."""
_TALK = {"print", "_print", "_tell", "tell"}
"""Functions that only say something."""
_HELP = {"help", "metavar", "description", "epilog"}


def _plain(node: Any, inside: type | None) -> Any:
    """`node` as lists and text that are the same in all versions of Python; None for what does not count."""
    if isinstance(node, list):
        return [part for item in node if (part := _plain(item, inside)) is not None]
    if not isinstance(node, ast.AST):
        return ascii(node)  # `repr` depends on Python's version of Unicode.
    if _is_talk(node):
        return None
    if isinstance(node, ast.AnnAssign) and inside is not ast.ClassDef:  # A field's type may matter to its dataclass.
        if node.value is None:
            return None
        node = ast.Assign(targets=[node.target], value=node.value)
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        node = ast.Raise(exc=node.exc.func, cause=None)
    if isinstance(node, ast.Call):
        node = ast.Call(node.func, node.args, [word for word in node.keywords if word.arg not in _HELP])
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = type(node)
    skipped = _SKIPPED - ({"annotation"} if isinstance(node, ast.AnnAssign) else set())
    fields = [
        [name, part]
        for name, value in ast.iter_fields(node)
        if name not in skipped
        and value is not None
        and value != []
        and (part := _plain(value, inside)) not in (None, [])
    ]
    return [type(node).__name__, *fields]


def _is_talk(node: ast.AST) -> bool:
    """Whether a statement cannot change a result."""
    if isinstance(node, ast.Expr):
        value = node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _TALK:
            return True
        return isinstance(value, ast.Constant)
    if isinstance(node, ast.ImportFrom) and node.module in _TYPES:
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(target, ast.Name) and target.id in _NAMES for target in targets)
    return _is_for_type_checkers(node)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _tokens(file: Path) -> list[str]:
    skipped = (tokenize.COMMENT, tokenize.NL)
    tokens = tokenize.tokenize(io.BytesIO(file.read_bytes()).readline)
    return [token.string for token in tokens if token.type not in skipped]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps(every(), indent=2))
