"""Turn clean text into shards of codes: a feature's manifest, Arrow files and, if it has one, the vocabulary.

A feature with a thesaurus gets two more splits: `spots`, the words of the train rows that can be replaced, and
`synonyms`, their synonyms.

Rows are read, encoded and written some thousands at a time, so that memory does not grow with their number. The
manifest is removed first and written last: a folder that has one is whole.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from crepe import config, layout
from crepe.data import shards
from crepe.data.clean_record import CleanRecord
from crepe.data.published import check_published
from crepe.data.shards import Manifest
from crepe.errors import CrepeError
from crepe.features import Encoder, FeatureSettings
from crepe.io.files import alone, check, replacing
from crepe.io.progress import Meter, meter
from crepe.options import add_config
from crepe.ragged import Ragged
from crepe.text.batches import batches

BATCH = 10_000
"""Rows encoded at a time; few enough that they stay in the processor's cache."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dataset", help="key of the dataset")
    parser.add_argument("feature", help="key of the feature")
    parser.add_argument("--clean", type=Path, metavar="DIR", help="clean text (default: data/clean/DATASET)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the shards (default: data/shards/FEATURE/DATASET)"
    )
    add_config(parser)


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    key, name = options.dataset, options.feature
    settings = config.load(options.config)
    feature = settings.feature(name)
    if feature.thesaurus is not None:
        check_published(layout.thesaurus(feature.thesaurus), settings.thesaurus(feature.thesaurus).sources)
    encode(
        key,
        name,
        feature,
        options.clean or layout.clean(key),
        options.output or layout.shards(name, key),
    )


def encode(
    key: str, name: str, feature: FeatureSettings, clean: Path, output: Path, thesaurus: Path | None = None
) -> Manifest:
    """Write a feature's shards of a dataset.

    Args:
        key: the dataset's key.
        name: the feature's key.
        feature: the feature's settings.
        clean: the folder that `crepe clean` wrote.
        output: folder to write to. Shards in it that the new manifest does not name are removed.
        thesaurus: file of the feature's thesaurus, if it has one; None for `layout.thesaurus`.

    Returns:
        The manifest, as written.

    Raises:
        CrepeError: the clean files or the thesaurus are missing, damaged or another dataset's, or the folder cannot be
            written.
    """
    record = _record(key, clean)
    thesaurus = (thesaurus or layout.thesaurus(feature.thesaurus)) if feature.thesaurus else None
    coder = feature.coder(clean / "train.parquet", thesaurus)
    manifest = Manifest(
        dataset=key,
        feature=name,
        dtype=coder.dtype,
        symbols=coder.vocab_size,
        length=feature.max_length,
        source=coder.digest,
        classes=record.classes,
        rows=record.rows,
        archive=record.archive,
        clean=record.sha256,
        thesaurus=coder.replaceable.digest if coder.replaceable else None,
    )
    splits = {split: (split, coder.column, coder.encode) for split in shards.SPLITS}
    if coder.replaceable:
        splits["train"] = ("train", coder.column, coder.replaceable.encode)
        splits[shards.SPOTS] = ("train", coder.replaceable.column, coder.replaceable.spots)
    with alone(output):
        _remove(output / shards.MANIFEST)
        if coder.vocabulary:
            with replacing(output / shards.VOCABULARY) as path:
                path.write_bytes(coder.vocabulary)
        for split, (source, column, encoder) in splits.items():
            rows = pl.scan_parquet(clean / f"{source}.parquet", glob=False)
            with meter(f"{key}: {split} {name}", manifest.rows[source], "rows") as done:
                for index, file in enumerate(shards.names(split, manifest.rows[source])):
                    parts = _parts(rows.slice(index * shards.ROWS, shards.ROWS), column, encoder, done)
                    manifest.shards.setdefault(split, []).append(shards.write(output / file, parts))
        if coder.replaceable:
            (file,) = shards.names(shards.SYNONYMS, 1)
            manifest.shards[shards.SYNONYMS] = [shards.write(output / file, coder.replaceable.synonyms)]
        manifest.write(output)
        named = {shard.file for parts in manifest.shards.values() for shard in parts}
        for path in output.glob("[st]*-[0-9]*-of-[0-9]*.arrow"):
            if path.name not in named:
                _remove(path)
    return manifest


def _parts(rows: pl.LazyFrame, column: pl.Expr, encode: Encoder, done: Meter) -> Iterator[Ragged]:
    texts = rows.select("label", codes=column)
    for batch in batches(texts, BATCH):
        yield Ragged(*encode(batch["codes"]), batch["label"].to_numpy())
        done.advance(len(batch))


def _record(key: str, clean: Path) -> CleanRecord:
    """Read clean.json and verify the checksums of the Parquet files."""
    record = CleanRecord.read(clean, key)
    path = clean / layout.CLEAN_RECORD
    if record.dataset != key:
        raise CrepeError(path, f"is of {record.dataset}, not of {key}", "give the right folder with --clean")
    for split, sha256 in record.sha256.items():
        check(clean / f"{split}.parquet", sha256, layout.CLEAN_RECORD, f"run `crepe clean {key}` again")
    return record


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CrepeError(path, f"cannot be removed: {error.strerror or error}") from error
