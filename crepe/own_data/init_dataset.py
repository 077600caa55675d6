r"""Make a dataset and a study from your own table of texts: CSV, JSON lines, Parquet or Arrow.

    crepe init-dataset reviews.csv
    crepe init-dataset train.csv --test test.csv --name tickets --label topic --text title --text body

It tells by itself how the file is written and which columns are the label and the texts, and says what it found odd. It
writes `data/own/NAME.tgz`, an archive in the format of the paper's datasets, and `config/NAME.yaml`, a study of a model
that trains in seconds. It times a few batches of larger models, and prints the command that runs the study. Without a
test file a tenth of the rows becomes the test set. A hash of the text decides which rows these are: the split is the
same every time, and equal texts fall on the same side.
"""

import argparse
import hashlib
import random
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import polars as pl
import yaml

from crepe import layout
from crepe.config import load
from crepe.config.catalog import KEY
from crepe.config.sgd import SAMPLING
from crepe.data.archive import pack
from crepe.errors import CrepeError
from crepe.io.files import alone, digest, write_text, writing
from crepe.own_data import tabular
from crepe.own_data.inspection import FEW, LABEL, Columns, alike, balance, choose, classes, oddities, shared, shown
from crepe.own_data.tabular import Rows, column
from crepe.records.metrics import UNEVEN

SHARE = 0.1
"""Share of the rows that become the test set when there is no test file."""
SEED = "0"
"""Prefix of a text when it is hashed."""

MODEL = "bow-tfidf-l2"
"""The study's model: its training takes seconds on a CPU."""
LARGER = ("conv-small", "conv-large")
"""Models whose training is timed, for you to choose from."""
SAMPLE = 512
"""Number of train rows that they are timed on."""
BATCHES = "tfidf"
"""The recipe that trains it in batches, which can be drawn by classes."""
BY_CLASS = "-classes"
"""Ending of the model that is trained on batches drawn by classes, and of its recipe."""
MINIBATCH = 128
PASSES, LEAST, MOST = 5, 20, 5000
"""An epoch goes through the train rows five times, as the paper's does with AG's News, in 20 to 5,000 batches."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a table: a label and one to three texts a row")
    parser.add_argument("--test", type=Path, metavar="FILE", help="rows to test on, with the same columns")
    parser.add_argument("--name", metavar="KEY", help="key of the dataset and the study (default: the file's name)")
    parser.add_argument("--label", metavar="COLUMN", help="the label's column, when it cannot be told")
    parser.add_argument("--text", metavar="COLUMN", action="append", help="a text's column; up to three times")
    parser.add_argument(
        "--sampling",
        choices=SAMPLING,
        help="draw batches by classes, as the paper does, or by rows (default: by rows, and where classes are uneven "
        f"another model, {MODEL}{BY_CLASS}, by classes)",
    )


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    init(options.file, options.test, options.name, options.label, options.text or [], _tell, options.sampling)


def _tell(line: str) -> None:
    try:
        # Names of columns and classes may hold what a terminal obeys.
        print(shown(line))
    except BrokenPipeError:
        pass  # Whoever reads may have seen enough, as `head` has; the files are to be written all the same.
    except OSError as error:
        # The dataset's folder, in which it happens, is not to blame.
        raise CrepeError("standard output", f"cannot be written: {error.strerror}", "direct it elsewhere") from error


def init(
    file: Path,
    test: Path | None,
    name: str | None,
    label: str | None,
    texts: list[str],
    tell: Callable[[str], None],
    sampling: str | None = None,
) -> None:
    """Write the archive and the study of a table.

    Args:
        file: all rows, or those to train on.
        test: rows to test on; some of `file` if None.
        name: of dataset and study; made of the file's name if None.
        label: column; found if None.
        texts: columns; found if empty.
        tell: takes each line of the output.
        sampling: draw of batches in the study, see `crepe.config.recipe.Recipe`; by rows if None, and by classes, too,
            where these are uneven.

    Raises:
        CrepeError: a file is not well-formed, a column cannot be told or is not there, or the name is taken.
    """
    key = _key(name, file)
    # Alone in the folder, so that what a killed process left there is removed.
    with (
        alone(layout.OWN_DATA),
        writing(layout.OWN_DATA),
        TemporaryDirectory(prefix=f".{key}.", suffix=".part", dir=layout.OWN_DATA) as temporary,
        ExitStack() as opened,
    ):
        folder = Path(temporary)

        def new(name: str) -> IO[bytes]:
            return opened.enter_context((folder / name).open("w+b"))

        tables = {"train": tabular.read(file, folder / "train.parquet")}
        left_out: list[str] = []
        columns = choose(tables["train"], label, texts, left_out.append)
        if test is not None:
            tables["test"] = tabular.read(test, folder / "test.parquet")
            _same(tables["test"], columns, file)
        for table in tables.values():
            tell(f"{table.path}: {table.table.about}")
        tell(f"label: {columns.label}; texts: {', '.join(columns.texts)}")
        counts = {split: classes(table, columns) for split, table in tables.items()}
        _check(counts, file, test)
        for odd in [*left_out, *alike(counts["train"])]:
            tell(f"odd: {odd}")
        rows = {split: dict.fromkeys(counts["train"], 0) for split in ("train", "test")}
        files = {f"{split}.csv": new(f"{split}.csv") for split in rows}
        sample = _Sample()
        few = {name for name, count in counts["train"].items() if count < FEW}
        for split, table in tables.items():

            def side(name: str, text: str, split: str = split) -> str:
                chosen = split if test is not None or name in few else _side(text)
                if chosen == "train":
                    sample.add(text)
                return chosen

            _write(table, columns, {name: files[f"{name}.csv"] for name in rows}, rows, side)
        for table in tables.values():
            for odd in oddities(table, columns):
                tell(f"odd: {odd}")
        between = shared(tables["train"], tables["test"], columns) if test else ()
        for odd in [*between, *balance(rows["train"], rows["test"])]:
            tell(f"odd: {odd}")
        if not any(rows["test"].values()):
            raise CrepeError(file, "has too few rows to keep some for tests", "name a test file by --test")
        for name, count in rows["train"].items():
            tell(f"class {shown(name)}: {count:,} train rows, {rows['test'][name]:,} test rows")
        totals = {split: sum(count.values()) for split, count in rows.items()}
        how = "" if test else f" (some {SHARE:.0%}, by a hash of the text with seed {SEED})"
        tell(f"in all: {totals['train']:,} train rows, {totals['test']:,} test rows{how}")
        archive = layout.OWN_DATA / f"{key}.tgz"
        names = new("classes.txt")
        names.write("".join(f"{name}\n" for name in rows["train"]).encode())
        pack(archive, f"{key}_csv", {"classes.txt": names, **files})
    study = layout.overlay(key)
    command = f"snakemake --cores all --resources gpu=1 all --configfile {study}"
    dataset = _dataset(key, archive, columns, list(rows["train"]), totals)
    chosen = _models(rows["train"], sampling)
    tell(f"times a few batches of {' and '.join(LARGER)}")
    measured = [
        f"{model} would take about {_about(seconds)} on this machine"
        for model, seconds in timed(
            sample.texts, len(rows["train"]), dataset["batches_per_epoch"], totals["test"]
        ).items()
    ]
    more = f"{command} --config 'models=[{', '.join([*chosen['models'], LARGER[0]])}]'"
    made = _made(key, file, test, columns)
    write_text(study, _text(key, made, list(rows["train"]), command, measured, more, chosen, dataset))
    tell(f"written: {archive}, {study}")
    for line in measured:
        tell(line)
    tell(f"to train one of these, too: {more}")
    tell(f"to run it: {command}")
    tell(f"to run and record it with DVC: crepe pipeline --config {study} && dvc repro {layout.pipeline(key)}")


class _Sample:
    """Up to `SAMPLE` texts, each of those that are added with the same chance (Vitter's algorithm R, 1985)."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._chance, self._seen = random.Random(0), 0

    def add(self, text: str) -> None:
        """Take a text, perhaps."""
        self._seen += 1
        place = len(self.texts) if len(self.texts) < SAMPLE else self._chance.randrange(self._seen)
        if place < SAMPLE:
            self.texts[place : place + 1] = [text]


def timed(texts: list[str], classes: int, batches_per_epoch: int, test_rows: int) -> dict[str, float]:
    """Seconds that the training of each of `LARGER` would take on this machine; see `crepe.training.estimate`.

    Raises:
        CrepeError: there is not enough memory.
    """
    from crepe.models.device import own_device
    from crepe.training.estimate import estimate

    config = load()
    with own_device("auto") as device:
        return {
            model: estimate(config.model(model), texts, classes, batches_per_epoch, test_rows, device)
            for model in LARGER
        }


def _about(seconds: float) -> str:
    """A duration in a rough number: `40 s`, `12 min`, `3 h`, `5 days`."""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 72)):
        if seconds < most * size:
            return f"{max(1, round(seconds / size))} {unit}"
    return f"{round(seconds / 86_400)} days"


def _models(counts: Mapping[str, int], sampling: str | None) -> dict[str, Any]:
    """The study's keys `models` and `training`, and a model that is drawn by classes where these are uneven.

    Conjugate gradients, which train `MODEL`, go through all rows: as many of each class as there are.
    """
    default = load()
    recipes = {name: recipe for name, recipe in default.training.items() if recipe.kind == "sgd"}
    training: dict[str, Any] = {name: {"sampling": sampling or "rows"} for name in recipes}
    study: dict[str, Any] = {"models": [MODEL], "training": training, "catalog": {}}
    if sampling == "classes":
        study["catalog"] = {"models": {MODEL: {"training": BATCHES}}}
    elif sampling is None and max(counts.values()) >= UNEVEN * min(counts.values()):
        model, recipe = MODEL + BY_CLASS, BATCHES + BY_CLASS
        training[recipe] = _set(recipes[BATCHES].as_dict()) | {"sampling": "classes"}
        study["models"].append(model)
        row = _set(default.model(MODEL).model.as_dict()) | {"training": recipe}
        study["catalog"] = {"models": {model: row}}
    return study


def _set(section: dict[str, Any]) -> dict[str, Any]:
    """Keys of a section that have a value."""
    return {key: value for key, value in section.items() if value is not None}


def _key(name: str | None, file: Path) -> str:
    key = name or re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")
    remedy = "give another name by --name"
    if not KEY.fullmatch(key):
        raise CrepeError(repr(key), "cannot be a folder's name", "give one of letters, digits, '.', '_', '-' by --name")
    path = layout.overlay(key)
    if path.exists():
        raise CrepeError(path, "is there already", f"delete it, or {remedy}")
    default = load()
    if key in default.catalog.datasets:
        raise CrepeError(repr(key), f"is a dataset of {layout.CONFIG}/datasets.yaml", remedy)
    if key == default.name or layout.study(key).exists():
        raise CrepeError(repr(key), f"is a study with results of its own, {layout.study(key)}", remedy)
    return key


def _same(table: Rows, columns: Columns, train: Path) -> None:
    for name in (columns.label, *columns.texts):
        if name not in table.table.names:
            known = ", ".join(table.table.names)
            raise CrepeError(table.path, f"has no column {name!r}, as {train} has", f"it has {known}")
        table.table.check(name)


def _check(counts: dict[str, dict[str, int]], file: Path, test: Path | None) -> None:
    for path, found in zip((file, test), counts.values(), strict=False):
        if not found:
            raise CrepeError(str(path), "has no row with a label", "name the column of the labels by --label")
    if len(counts["train"]) < 2:
        raise CrepeError(file, "has 1 class", "two or more can be told apart")
    for name in counts.get("test", {}):
        if name not in counts["train"]:
            raise CrepeError(str(test), f"class {shown(name)!r} is not in {file}, which can teach nothing of it")


def _write(
    table: Rows,
    columns: Columns,
    files: Mapping[str, IO[bytes]],
    rows: dict[str, dict[str, int]],
    side: Callable[[str, str], str],
) -> None:
    r"""Append a table's rows to the archive's CSV files: every field in quotes, a line end as `\n`.

    Args:
        table: its rows.
        columns: those that are used.
        files: by split.
        rows: of each class, in order, by split; counted up.
        side: gives the split of a row, of its class and text.
    """
    numbers = {name: str(number) for number, name in enumerate(rows["train"], 1)}
    fields = [
        column(name).fill_null("").str.replace_all(r"\r\n|\r|\n", r"\n").str.replace_all('"', '""')
        for name in columns.texts
    ]
    quoted = ",".join(['"{}"'] * (1 + len(fields))) + "\n"
    line = pl.format(quoted, columns.name.replace(numbers), *fields).alias("line")
    for batch in table.batches([columns.label, *columns.texts]):
        for name, text, content in batch.select(columns.name, columns.text, line).drop_nulls(LABEL).iter_rows():
            split = side(name, text)
            files[split].write(content.encode())
            rows[split][name] += 1


def _side(text: str) -> str:
    """The split of a text, by its hash."""
    found = hashlib.sha256(f"{SEED}{text}".encode()).digest()
    return "test" if int.from_bytes(found[:8], "big") < SHARE * 2**64 else "train"


def _made(key: str, file: Path, test: Path | None, columns: Columns) -> str:
    """The command that makes the study."""
    words = ["crepe", "init-dataset", str(file), *(["--test", str(test)] if test else []), "--name", key]
    words += ["--label", columns.label, *(word for name in columns.texts for word in ("--text", name))]
    return shlex.join(words)


def _dataset(key: str, archive: Path, columns: Columns, classes: list[str], rows: dict[str, int]) -> dict[str, Any]:
    """The dataset's entry in the catalog."""
    return {
        "title": key,
        "fields": len(columns.texts),
        "classes": len(classes),
        "train_rows": rows["train"],
        "test_rows": rows["test"],
        "batches_per_epoch": min(MOST, max(LEAST, -(-PASSES * rows["train"] // MINIBATCH))),
        "sources": [{"url": str(archive), "bytes": archive.stat().st_size, "sha256": digest(archive)}],
    }


def _text(
    key: str,
    made: str,
    classes: list[str],
    command: str,
    measured: list[str],
    more: str,
    chosen: dict[str, Any],
    dataset: dict[str, Any],
) -> str:
    """The text of the study's file."""
    names = "".join(f"#   {number}: {shown(name)}\n" for number, name in enumerate(classes, 1))
    larger = "".join(f"# {line}.\n" for line in measured)
    about = {"name": key, "datasets": [key], "models": chosen["models"], "seeds": [0]}
    catalog = {"catalog": {"datasets": {key: dataset}, **chosen["catalog"]}}
    return (
        f"# Made by: {shown(made)}\n#\n# Its classes:\n{names}#\n#   {command}\n#\n{larger}"
        f"# To train one of these, too:\n#   {more}\n"
        f"{yaml.safe_dump(about, sort_keys=False, default_flow_style=None)}\n"
        "# Batches are drawn by `rows`, so that classes keep their shares, or by `classes`, all alike.\n"
        f"{yaml.safe_dump({'training': chosen['training']}, sort_keys=False, default_flow_style=None, width=1000)}\n"
        f"{yaml.safe_dump(catalog, sort_keys=False, allow_unicode=True)}"
    )
