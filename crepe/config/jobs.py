"""The jobs of a study, in the order of the workflow, as its configuration alone tells them.

The board and DVC's records need them where Snakemake is not installed, or where its seconds of reading the rules are
too long. A test compares this list with Snakemake's plan.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crepe import layout
from crepe.config.study import Config


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a study's workflow."""

    rule: str
    """Name of the rule in `workflow/rules`."""
    keys: tuple[str, ...]
    """Values of the rule's wildcards."""
    output: Path
    """The file that it writes last."""
    log: Path
    kept: tuple[Path, ...] = ()
    """Its files and folders that DVC keeps; the others are small text, which git keeps."""


def jobs(config: Config) -> Iterator[Job]:
    """Yield each job of a study once."""
    sources = {dataset: config.dataset(dataset).sources for dataset in config.datasets}
    if any(source.local == layout.DEMO_ARCHIVE for found in sources.values() for source in found):
        yield _shared("demo_data", (), layout.DEMO_ARCHIVE, layout.DEMO_ARCHIVE)
    for dataset in config.datasets:
        archive, local = layout.archive(dataset), [source.local for source in sources[dataset] if not source.checksum]
        # A file of the project without a checksum is kept, too: nothing else says which one it was.
        kept = [path for path in local if path and path.parts[:1] == ("data",)]
        yield _shared("download", (dataset,), archive, archive, *kept)
    models = dict.fromkeys(config.catalog.models[model] for _, model in config.cells)
    for thesaurus in dict.fromkeys(config.feature(model.feature).thesaurus for model in models):
        if thesaurus is not None:
            yield _shared("thesaurus", (thesaurus,), layout.thesaurus(thesaurus), layout.thesaurus(thesaurus))
    for vectors in dict.fromkeys(model.vectors for model in models):
        if vectors is not None and config.vectors(vectors).sources:
            path = layout.published_vectors(vectors)
            yield _shared("published", (vectors,), path, path)
    for dataset in config.datasets:
        folder = layout.clean(dataset)
        yield _shared("clean", (dataset,), folder / layout.CLEAN_RECORD, folder)
    encoded = [(config.catalog.models[model], dataset) for dataset, model in config.cells]
    for feature, dataset in dict.fromkeys((model.feature, dataset) for model, dataset in encoded):
        folder = layout.shards(feature, dataset)
        yield _shared("encode", (feature, dataset), folder / layout.MANIFEST, folder)
    for vectors, feature, dataset in dict.fromkeys(
        (model.vectors, model.feature, dataset) for model, dataset in encoded
    ):
        if vectors is not None:
            path = layout.vectors(vectors, feature, dataset)
            yield _shared("vectors", (vectors, feature, dataset), path, path)
    for dataset, model, seed in config.runs:
        keys, run = (dataset, model, str(seed)), layout.run(config.name, dataset, model, seed)
        yield _own(config, "train", keys, run / layout.RECORD, run / layout.MODEL)
        yield _own(config, "evaluate", keys, run / layout.METRICS, run / layout.PREDICTIONS)
    yield _own(config, "table", (), layout.table(config.name))
    yield _own(config, "report", (), layout.report(config.name), layout.report(config.name))


def _shared(rule: str, keys: tuple[str, ...], output: Path, *kept: Path) -> Job:
    """A job whose outputs all studies share."""
    return Job(rule, keys, output, layout.log(rule, *keys), kept)


def _own(config: Config, rule: str, keys: tuple[str, ...], output: Path, *kept: Path) -> Job:
    """A job whose outputs belong to the study."""
    return Job(rule, keys, output, layout.log(config.name, rule, *keys), kept)
