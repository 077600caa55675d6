"""What the rules share: the checked configuration, and what a step depends on and needs of the machine."""

import ast
import contextlib
import fcntl
import json
import os
import platform
import shlex
import sys
from functools import cache
from itertools import product
from pathlib import Path

import jsonschema
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

import crepe.config.catalog
import crepe.config
import crepe.io.parent
from crepe.errors import CrepeError

schema = yaml.safe_load((Path(workflow.basedir) / "workflow/schemas/config.schema.yaml").read_text())
faults = [
    f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(config)
]
if faults:
    raise WorkflowError("The configuration is not valid ($ is its top level):", *faults)
try:
    study = crepe.config.parse(config)
except CrepeError as error:
    raise WorkflowError(str(error)) from None
for key in study.datasets:
    if not study.dataset(key).sources:
        raise WorkflowError(f"configuration: catalog.datasets.{key}.sources: names none; where is its archive?")

# For the plugin that shows it.
logger.info("", extra={"study": study})

STUDY = f"results/{study.name}"
RUN = f"{STUDY}/runs/{{dataset}}/{{model}}/{{seed}}"
DEMO = "data/demo/docstrings.tgz"
# The paper's figures, and the schedules that runs are compared with.
PAPER = [*sorted(map(str, Path("config/paper").glob("*.csv"))), "config/config.yaml", "config/models.yaml"]

os.environ |= {
    # The commands of the environment that Snakemake itself runs in, activated or not.
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    # Jobs do not outlive this process.
    crepe.io.parent.VARIABLE: str(os.getpid()),
}


# On a cluster these run where Snakemake does: downloads need the internet, and the others take seconds.
localrules:
    all,
    demo_data,
    download,
    thesaurus,
    published,
    table,
    report,


wildcard_constraints:
    dataset=crepe.config.catalog.KEY.pattern,
    thesaurus=crepe.config.catalog.KEY.pattern,
    feature=crepe.config.catalog.KEY.pattern,
    model=crepe.config.catalog.KEY.pattern,
    vectors=crepe.config.catalog.KEY.pattern,
    published=crepe.config.catalog.KEY.pattern,
    seed=r"\d+",


# --- Snakemake's own lock, which one that is killed leaves behind


def unlock_if_stale():
    """Remove Snakemake's lock if it is of one on this machine that is no more.

    A Snakemake holds this file, with a lock of the kernel's that ends with the process, as long as it lives. Who finds
    it free is alone. On some network file systems that says nothing of other machines: locks of theirs are left to
    `snakemake --unlock`.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    alive = open(folder / "alive", "a+")
    with contextlib.suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alive.seek(0)
        locks, owner = list(folder.glob("locks/*.lock")), alive.read()
        if not locks or owner == platform.node():
            alive.truncate(0)
            alive.write(platform.node())
            alive.flush()
            for lock in locks:
                lock.unlink()
            if locks:
                print("Removed the lock of a Snakemake that was killed.", file=sys.stderr)
    with contextlib.suppress(OSError):
        fcntl.flock(alive, fcntl.LOCK_SH)
    return alive


alive = unlock_if_stale()


# --- The code that a step runs


@cache
def sources(module):
    """The files of the package that `module` is made of: its own and, step by step, those that it imports.

    `crepe/__init__.py` is left out: it only offers names to users.
    """
    found, todo = set(), [f"crepe.{module}"]
    while todo:
        name = todo.pop()
        path = Path(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name == "crepe" or file in found or not file.exists():
            continue
        found.add(file)
        todo.append(name.rpartition(".")[0])
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                todo += [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
    return sorted(map(str, found))


def encode_code(wildcards):
    return sorted({*sources("data.encode"), *sources(f"features.{study.feature(wildcards.feature).kind}")})


def model_code(command):
    """For a command that runs the network of a model."""

    def files(wildcards):
        _, _, network, _ = study.model(wildcards.model)
        return sorted({*sources(command), *sources(f"models.{network.kind}")})

    return files


# --- The part of the configuration that a step depends on, as JSON: a change in it makes the step run again


def as_json(part):
    return json.dumps(part, separators=(",", ":"), sort_keys=True)


def dataset_part(key, *fields):
    """What the archive of a dataset must hold, and some more fields of its entry."""
    entry = config["catalog"]["datasets"][key]
    fields = ("fields", "classes", "train_rows", "test_rows", *fields)
    return {"catalog": {"datasets": {key: {field: entry[field] for field in fields if field in entry}}}}


def model_part(key):
    """The entry of a model and those that it names."""
    catalog = config["catalog"]
    entry = catalog["models"][key]
    feature, network, training = entry["feature"], entry["network"], entry["training"]
    return {
        "catalog": {
            "features": {feature: catalog["features"][feature]},
            "networks": {network: catalog["networks"][network]},
            # How fast it is says nothing of what it is.
            "models": {key: {name: value for name, value in entry.items() if name != "speed"}},
            "vectors": {name: value for name, value in catalog["vectors"].items() if name == entry.get("weights")},
        },
        "training": {training: config["training"][training]},
    }


def fetched(wildcards):
    """The entry of what is downloaded."""
    ((kind, key),) = dict(wildcards).items()
    return {"dataset": study.dataset, "thesaurus": study.thesaurus, "published": study.vectors}[kind](key)


def checksums(wildcards):
    """The files that will do for what is downloaded. Where they come from is no matter, so long as they have a checksum."""
    return sorted({source.sha256 or source.md5 or source.url for source in fetched(wildcards).sources})


def download_config(wildcards, output):
    """The entry whole. Snakemake takes no notice of changes in a parameter that asks for `output`."""
    ((kind, key),) = dict(wildcards).items()
    section = {"dataset": "datasets", "thesaurus": "thesauri", "published": "vectors"}[kind]
    return as_json({"catalog": {section: {key: config["catalog"][section][key]}}})


def clean_config(wildcards):
    return as_json(dataset_part(wildcards.dataset, "csv_md5"))


def encode_config(wildcards):
    """The feature, and the entry of its thesaurus, which has a checksum."""
    catalog = config["catalog"]
    feature = catalog["features"][wildcards.feature]
    key = Path(feature.get("thesaurus") or "").stem
    thesauri = {name: value for name, value in catalog.get("thesauri", {}).items() if name == key}
    return as_json({"catalog": {"features": {wildcards.feature: feature}, "thesauri": thesauri}})


def vectors_config(wildcards):
    return as_json({"catalog": {"vectors": {wildcards.vectors: config["catalog"]["vectors"][wildcards.vectors]}}})


def train_config(wildcards):
    part = dataset_part(wildcards.dataset, "title", "paper", "batches_per_epoch")
    return as_json(crepe.config.merge(part, model_part(wildcards.model)))


def study_config():
    part = {key: config[key] for key in ("name", "datasets", "models", "seeds")}
    for key in study.datasets:
        part = crepe.config.merge(part, dataset_part(key, "title", "paper", "batches_per_epoch", "english"))
    for key in study.models:
        part = crepe.config.merge(part, model_part(key))
    return as_json(part)


# --- Files that depend on more than wildcards


def local_file(wildcards):
    """The file of what can only come from a file on this machine."""
    locals_ = [source.local for source in fetched(wildcards).sources]
    return [str(locals_[0])] if len(locals_) == 1 and locals_[0] else []


def vectors(wildcards):
    """The vectors that a model starts from, if it does."""
    model, *_ = study.model(wildcards.model)
    if model.weights in crepe.config.catalog.WEIGHTS:
        return []
    return [f"data/vectors/{model.weights}/{model.feature}/{wildcards.dataset}.safetensors"]


def published(wildcards):
    """The file that vectors come from, if they are not learnt."""
    return [f"data/raw/{wildcards.vectors}.bin.gz"] if study.vectors(wildcards.vectors).sources else []


def vectors_option(wildcards, input):
    return f"--vectors {shlex.quote(input.vectors[0])}" if input.vectors else ""


def synonyms(wildcards):
    """The thesaurus of a feature, if it has one."""
    return study.feature(wildcards.feature).thesaurus or []


def manifest(wildcards):
    """The manifest of the shards that a run is trained on."""
    model, *_ = study.model(wildcards.model)
    return f"data/shards/{model.feature}/{wildcards.dataset}/manifest.json"


def runs(file):
    """A file of every run of the study."""
    return [
        f"{STUDY}/runs/{dataset}/{model}/{seed}/{file}"
        for dataset, model, seed in product(study.datasets, study.models, study.seeds)
        if study.chosen(dataset, model)
    ]


# --- What a step needs of the machine, for a scheduler: minutes and megabytes, generous estimates


def rows(wildcards):
    entry = study.dataset(wildcards.dataset)
    return entry.train_rows + entry.test_rows


def download_minutes(wildcards):
    """At a megabyte a second."""
    sizes = [source.bytes or 0 for source in fetched(wildcards).sources]
    return 30 + max(sizes) // 60_000_000


def text_minutes(wildcards):
    """At 2,000 rows a second."""
    return 10 + rows(wildcards) // 120_000


def word_minutes(wildcards):
    """At 200 rows a second: word2vec and k-means take their time."""
    return 10 + rows(wildcards) // 12_000


def text_mb(wildcards):
    """Of a dataset's texts: an archive holds some three times its own size of them; or else 1,014 bytes a row."""
    packed = max(source.bytes or 0 for source in study.dataset(wildcards.dataset).sources)
    return (3 * packed or 1_014 * rows(wildcards)) // 1_000_000


def model_mb(wildcards):
    """The encoded data, twice; and the model with its checkpoint.

    A byte of AG's News' text is 1.0 of characters, 0.7 of words, 0.8 of places for synonyms, 1.6 of n-grams; of n-grams
    it is more where words are shorter and fewer, as in Sogou's Pinyin.
    """
    model, *_ = study.model(wildcards.model)
    feature = study.feature(model.feature)
    bytes_each = 3 if feature.kind == "ngrams" else 2 if feature.thesaurus else 1
    return 6_000 + 2 * bytes_each * text_mb(wildcards)


def train_minutes(wildcards):
    model, _, _, recipe = study.model(wildcards.model)
    batches = recipe.batches_per_epoch or study.dataset(wildcards.dataset).batches_per_epoch
    tests = study.dataset(wildcards.dataset).test_rows
    return 30 + recipe.epochs * (batches * recipe.batch_size + tests) // (60 * model.speed)


def evaluate_minutes(wildcards):
    model, *_ = study.model(wildcards.model)
    return 10 + study.dataset(wildcards.dataset).test_rows // (60 * model.speed)
