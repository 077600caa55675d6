"""Classify texts with a trained model.

    crepe predict MODEL "A tensor of zeros." "Draw a histogram."
    crepe predict MODEL < texts.txt
    crepe predict MODEL --input texts.csv --output classes.parquet

Texts are the arguments, else a file's rows, else the lines of standard input. Each gives a line with its class, the
probability and the text, or a JSON object, or a row of a file, which appears when it is whole. The order is that of the
texts. Memory does not grow with their number.

Files are those that `crepe init-dataset` takes: CSV in its many forms, JSON lines, Parquet and Arrow. A row's text is
its column `text`, else its columns `field_1`, `field_2` and so on as in the files of `crepe clean`, else the columns
that --fields names, as a line of CSV: a name with a comma stands in quotes. The output has all columns of the input,
then `class`, `probability` and `p_NAME` for each class, and `explanation` as JSON if you ask for it.

--explain shows which parts of a text decided. Parts are blanked, some neighbours at a time; the weight of a part is the
amount by which the class's log-odds, log p / (1 - p), fall when it is blanked. On a terminal, parts for the class have
a blue background and parts against it an orange one; elsewhere they are marked {+so+} and [-so-].
"""

import argparse
import csv
import json
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from rich.console import Console
from rich.text import Text as Styled

from crepe.errors import CrepeError
from crepe.features import Text
from crepe.inference import streams
from crepe.inference.classifier import Classifier, load
from crepe.inference.explain import Piece, strong
from crepe.io.progress import meter
from crepe.io.tables import Table, as_text, open_table
from crepe.options import add_device

BYTES = 4 << 20
"""Most bytes of standard input that are read at a time."""

MARKS = {1.0: "{+%s+}", -1.0: "[-%s-]", 0.0: "%s"}
"""Marks around parts that speak for the class, against it, or neither."""
FOR, AGAINST = (90, 165, 255), (255, 160, 60)
"""Colours (red, green, blue) behind the parts in a terminal."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors, or a folder that has one")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="a text to classify; texts come before options")
    parser.add_argument(
        "--input", type=Path, metavar="FILE", help="a table of texts: CSV, JSON lines, Parquet or Arrow"
    )
    parser.add_argument("--fields", metavar="NAME,NAME", help="columns of --input that make a text, in order")
    parser.add_argument("--output", type=Path, metavar="FILE", help="a .csv or .parquet file, instead of lines")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, with every class's probability")
    parser.add_argument(
        "--explain", action="store_true", help="show which parts of a text decided; about a hundred times the work"
    )
    add_device(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    if options.texts and options.input:
        raise CrepeError("--input", "texts are given, too", "leave one of them out")
    if options.fields and not options.input:
        raise CrepeError("--fields", "names columns of --input, which is not given")
    if options.json and options.output:
        raise CrepeError("--json", "is for lines", "leave it or --output out")
    if options.output and not options.output.parent.is_dir():
        raise CrepeError(f"--output {options.output}", f"there is no folder {options.output.parent}", "make it first")
    source: Iterable[pa.RecordBatch]
    schema, fields = pa.schema({"text": pa.string()}), ["text"]
    if options.input:
        table = open_table(options.input, least=1)
        schema, fields = table.schema, _fields(table, options.fields)
        print(f"{table.path}: {table.about}; texts: {', '.join(fields)}", file=sys.stderr)
        source = (batch for batch, _ in table.read())
    else:
        lines = [options.texts] if options.texts else _lines(sys.stdin.buffer)
        source = (pa.record_batch({"text": pa.array(texts, pa.string())}) for texts in lines)
    classifier = load(options.model, options.device)
    if options.output:
        _write(classifier, source, schema, fields, options.output, options.explain)
        return
    show = _as_json if options.json else _as_line
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    for batch in source:
        texts = _texts(batch, fields)
        for text, answer in zip(texts, classifier.answers(texts, options.explain), strict=True):
            show(console, classifier.classes, text, answer)
        sys.stdout.flush()


def _lines(stream: BinaryIO) -> Iterator[list[str]]:
    """Yield the lines of a stream as they arrive, so that a terminal or a slow program gets its answers at once."""
    number, rest = 0, b""
    while piece := stream.read1(BYTES):  # type: ignore[attr-defined]
        *lines, rest = (rest + piece).split(b"\n")
        yield _decoded(lines, number)
        number += len(lines)
    if rest:
        yield _decoded([rest], number)


def _decoded(lines: Sequence[bytes], number: int) -> list[str]:
    texts = []
    for line in lines:
        if not number:
            line = line.removeprefix(BOM_UTF8)
        number += 1
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise CrepeError(
                "standard input", f"line {number}: is not UTF-8 from byte {error.start + 1} on", "convert it to UTF-8"
            ) from None
    return texts


def _fields(table: Table, asked: str | None) -> list[str]:
    """Choose the columns that make a text, and return their names."""
    names = table.names
    if asked:
        try:
            fields = [asked] if asked in names else next(csv.reader([asked], skipinitialspace=True, strict=True))
        except csv.Error as error:
            raise CrepeError(
                "--fields", f"is no line of CSV ({error})", f"{table.path} has {', '.join(names)}"
            ) from error
    elif "text" in names or len(names) == 1:
        fields = ["text"] if "text" in names else names
    else:
        fields = sorted(name for name in names if re.fullmatch("field_[0-9]", name))
    known = f"there are {', '.join(names)}"
    if not fields:
        raise CrepeError(table.path, "which columns are the text cannot be told", f"--fields names them; {known}")
    for field in fields:
        if field not in names:
            raise CrepeError(table.path, f"has no column {field!r}", known)
        table.check(field)
        kind = table.schema.field(field).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            raise CrepeError(table.path, f"column {field!r} is {kind}, not text", "name others with --fields")
    return fields


def _texts(batch: pa.RecordBatch, fields: list[str]) -> list[Text]:
    """Return the rows' texts; a missing field is empty."""
    columns = [[value or "" for value in as_text(batch.column(field)).to_pylist()] for field in fields]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _write(
    classifier: Classifier,
    source: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    fields: list[str],
    output: Path,
    explained: bool,
) -> None:
    added = [("class", pa.string()), ("probability", pa.float32())]
    added += [(f"p_{name}", pa.float32()) for name in classifier.classes]
    added += [("explanation", pa.string())] if explained else []
    names = [*schema.names, *(name for name, _ in added)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise CrepeError(output, f"would have two columns named {twice[0]!r}", "rename that of the input")
    whole = pa.schema([*schema, *(pa.field(*column) for column in added)])
    with streams.writing(output, whole) as file, meter("predict", None, "texts") as done:
        for batch in source:
            answers = classifier.answers(_texts(batch, fields), explained)
            columns = [[answer["class"] for answer in answers], [answer["probability"] for answer in answers]]
            columns += [
                [answer["probabilities"][index] for answer in answers] for index in range(len(classifier.classes))
            ]
            columns += [[_dumps(answer["explanation"]) for answer in answers]] if explained else []
            arrays = [pa.array(values, kind) for values, (_, kind) in zip(columns, added, strict=True)]
            file.write_batch(pa.record_batch([*batch.columns, *arrays], schema=whole))
            done.advance(len(answers))


def _as_json(console: Console, classes: list[str], text: Text, answer: dict[str, Any]) -> None:
    by_name = dict(zip(classes, answer["probabilities"], strict=True))
    print(_dumps({"text": text, **answer, "probabilities": by_name}))


def _as_line(console: Console, classes: list[str], text: Text, answer: dict[str, Any]) -> None:
    begin = f"{answer['class']}\t{answer['probability']:.3f}\t"
    pieces: Sequence[Piece] = answer.get("explanation", [(text if isinstance(text, str) else " ".join(text), 0.0)])
    # Line ends inside a text become spaces.
    pieces = [(re.sub(r"[\n\r\t\v\f]", " ", piece), weight) for piece, weight in pieces]
    if "explanation" in answer and console.is_terminal and not console.no_color:
        console.print(begin, end="")
        console.print(_coloured(pieces))
    else:
        print(begin + "".join(MARKS[sign] % run for run, sign in strong(pieces)))


def _coloured(pieces: Sequence[Piece]) -> Styled:
    """Colour the background of pieces: blue for the class, orange against it, paler for smaller weights."""
    most = max((abs(weight) for _, weight in pieces), default=0.0) or 1.0
    styled = Styled()
    for piece, weight in pieces:
        deep = FOR if weight > 0 else AGAINST
        behind = ",".join(str(round(255 - (255 - part) * abs(weight) / most)) for part in deep)
        styled.append(piece, f"black on rgb({behind})" if abs(weight) > most / 10 else "")
    return styled


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
