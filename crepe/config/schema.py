"""The JSON schema of the configuration and the key tables of config/README.md, made from the dataclasses.

    python -m crepe.config.schema           writes both
    python -m crepe.config.schema --check   exits with status 1 if one is stale

The docstring under a field describes its key.
"""

import argparse
import ast
import dataclasses
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from crepe import layout
from crepe.config.study import Config
from crepe.io.files import write_text
from crepe.io.section import Limits, Section, Variant, required

SCHEMA = Path("workflow/schemas/config.schema.json")
README = layout.CONFIG / "README.md"
BEGIN, END = "<!-- Keys: made by `python -m crepe.config.schema` -->", "<!-- End of the keys -->"

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
_LIMITS = {
    "minimum": "minimum",
    "above": "exclusiveMinimum",
    "maximum": "maximum",
    "below": "exclusiveMaximum",
}


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a whole configuration."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by `python -m crepe.config.schema` from the dataclasses of the package.",
        "title": "Configuration of a study",
        **_object(Config),
    }


def tables() -> str:
    """Return the key tables of config/README.md, in Markdown."""
    parts = []
    for place, section in _sections(Config, ""):
        title = f"## `{place}`" if place else "## Top level"
        if issubclass(section, Variant):
            parts.append(f"{title}\n\nThe `kind` decides on the other keys.\n")
            for kind in section.KINDS:
                settings = section.settings(kind)
                row = f"| `kind` | `{kind}` ({'default' if kind == section.DEFAULT else 'required'}) |"
                parts.append(f"### `{place}`, kind `{kind}`\n\n{_summary(settings)}\n\n{_table(settings, row)}")
        else:
            parts.append(f"{title}\n\n{_summary(section)}\n\n{_table(section)}")
    return "\n".join(parts)


def descriptions(section: type[Section]) -> dict[str, str]:
    """Return the docstring under each field of a section, inherited fields included, as one line each.

    Raises:
        ValueError: a field has no docstring.
    """
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if base is Section or not issubclass(base, Section):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(text.value.value).split())
    names = [field.name for field in dataclasses.fields(section)]  # type: ignore[arg-type]
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{section.__module__}.{section.__qualname__}: no docstring under {', '.join(missing)}")
    return {name: found[name] for name in names}


def _object(section: type[Section]) -> dict[str, Any]:
    """Return the schema of a section, with all kinds of one that comes in kinds."""
    if issubclass(section, Variant) and inspect.isabstract(section):
        return {
            "type": "object",
            "required": [] if section.DEFAULT else ["kind"],
            "properties": {
                "kind": {"enum": list(section.KINDS), "description": "Kind, which decides on the other keys."}
            },
            "allOf": [
                {
                    "if": {
                        "properties": {"kind": {"const": kind}},
                        "required": [] if kind == section.DEFAULT else ["kind"],
                    },
                    "then": _object(section.settings(kind)),
                }
                for kind in section.KINDS
            ],
        }
    fields = dataclasses.fields(section)  # type: ignore[arg-type]
    types, texts = get_type_hints(section, include_extras=True), descriptions(section)
    properties = {"kind": {"description": _summary(section)}} if issubclass(section, Variant) else {}
    needed = [name for name in properties if not (issubclass(section, Variant) and section.DEFAULT)]
    needed += [field.name for field in fields if required(field)]
    properties |= {field.name: {"description": texts[field.name], **_type(types[field.name])} for field in fields}
    return {"type": "object", "additionalProperties": False, "required": needed, "properties": properties}


def _type(type_: Any) -> dict[str, Any]:
    """Schema of a field's type."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin in (UnionType, Union):
        (inner,) = (part for part in arguments if part is not NoneType)
        return {"anyOf": [_type(inner), {"type": "null"}]}
    if origin is Annotated:
        found = _type(arguments[0])
        for limits in arguments[1:]:
            found |= _limits(limits)
        return found
    if origin is dict:
        return {"type": "object", "propertyNames": _type(arguments[0]), "additionalProperties": _type(arguments[1])}
    if origin is tuple:
        number = {} if arguments[-1] is Ellipsis else {"minItems": len(arguments), "maxItems": len(arguments)}
        return {"type": "array", "items": _type(arguments[0]), **number}
    return _object(type_) if issubclass(type_, Section) else {"type": _TYPES[type_]}


def _limits(limits: Limits) -> dict[str, Any]:
    found = {name: getattr(limits, field) for field, name in _LIMITS.items() if getattr(limits, field) is not None}
    if limits.choices:
        found["enum"] = list(limits.choices)
    if limits.pattern:
        found["pattern"] = f"^(?:{limits.pattern})$"
    return found


def _sections(section: type[Section], place: str) -> Iterator[tuple[str, type[Section]]]:
    """Yield all sections of the configuration with their places, each class once."""
    seen: set[type[Section]] = set()

    def walk(section: type[Section], place: str) -> Iterator[tuple[str, type[Section]]]:
        if section in seen:
            return
        seen.add(section)
        yield place, section
        for name, type_ in get_type_hints(section, include_extras=True).items():
            yield from below(type_, f"{place}.{name}" if place else name)

    def below(type_: Any, place: str) -> Iterator[tuple[str, type[Section]]]:
        origin, arguments = get_origin(type_), get_args(type_)
        if origin is dict:
            yield from below(arguments[1], f"{place}.KEY")
        elif arguments:
            for part in arguments:
                yield from below(part, place)
        elif isinstance(type_, type) and issubclass(type_, Section):
            yield from walk(type_, place)

    yield from walk(section, place)


def _table(section: type[Section], first: str = "") -> str:
    """Format the fields of a section as a Markdown table; `first` is a row before them."""
    texts = descriptions(section)
    lines = ["| key | |", "|---|---|", *([first] if first else [])]
    for field in dataclasses.fields(section):  # type: ignore[arg-type]
        note = ""
        if required(field):
            note = " (required)"
        elif isinstance(field.default, bool | int | float) or (isinstance(field.default, str) and field.default):
            note = f" Default: `{json.dumps(field.default)}`."
        lines.append(f"| `{field.name}` | {texts[field.name]}{note} |")
    return "\n".join([*lines, ""])


def _summary(section: type[Section]) -> str:
    """Describe a section in a sentence: the description of a kind, or the first paragraph of its docstring."""
    text = getattr(section, "description", None)
    return text if isinstance(text, str) else (inspect.getdoc(section) or "").partition("\n\n")[0].replace("\n", " ")


def contents() -> dict[Path, str]:
    """Return the content of each generated file."""
    page = README.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return {
        SCHEMA: json.dumps(schema(), indent=1) + "\n",
        README: f"{before}{BEGIN}\n\n{tables()}\n{END}{after}",
    }


def main() -> int:
    """Write the generated files, or check that they are current."""
    parser = argparse.ArgumentParser(
        prog="python -m crepe.config.schema", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit with status 1 if a file is stale")
    check = parser.parse_args().check
    stale = [path for path, text in contents().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path}: is stale; run `python -m crepe.config.schema`", file=sys.stderr)
        else:
            write_text(path, contents()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
