"""The parts of the rules that depend on the configuration: parameters, input files, and needs of each job.

`workflow/rules/common.smk` makes one `Steps`; the rules name its methods as input functions, parameters and resources.
Snakemake calls these with the job's wildcards. A parameter that changes makes its job run again, but for parameters
whose function asks for `output`: Snakemake takes no notice of changes in those.
"""

import hashlib
import json
import math
import os
import platform
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from crepe import layout
from crepe.config import Config, cg, load, merge
from crepe.config.catalog import Dataset, Thesaurus, Vectors
from crepe.config.jobs import jobs
from crepe.data import store
from crepe.io.files import digest
from crepe.records.speeds import Speeds
from crepe.text import word2vec
from crepe.workflow import lock
from crepe.workflow.code import code, solvers
from crepe.workflow.costs import Costs, Need

Wildcards = Any
"""Snakemake's wildcards: attributes by name, and a mapping by `dict`."""

SECTIONS = {"dataset": "datasets", "thesaurus": "thesauri", "published": "vectors"}
"""Wildcard of a download and its section of the catalog."""

PLACES = {"dataset": layout.archive, "thesaurus": layout.thesaurus, "published": layout.published_vectors}
"""Wildcard of a download and its output."""

MARGIN = 1.5
"""Requests of time and memory are so many times what is expected."""

SNAKEMAKE_MB = 300
"""Memory of a job on a cluster beside its step, in megabytes: two processes of Snakemake, which took 120 each."""

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")
"""Devices of NVIDIA's and AMD's drivers."""


class Steps:
    """The jobs of a study, as its configuration has them.

    Args:
        config: the study.
        workflow: Snakemake's object of that name.
    """

    def __init__(self, config: Config, workflow: Any) -> None:
        self.config, self._workflow = config, workflow
        self._costs = Costs(config, Speeds.read(), config.machine)
        self._alive: TextIO | None = None

    # --- Parameters: the settings that a step depends on, as JSON. All values are there, defaults too, so that a
    # default that changes is noticed.

    def download_config(self, wildcards: Wildcards, output: object) -> str:
        """The whole entry of what is downloaded; changes in it go unnoticed, see `checksums`."""
        ((kind, key),) = dict(wildcards).items()
        return _json({"catalog": {SECTIONS[kind]: {key: self._entry(wildcards).as_dict()}}})

    def checksums(self, wildcards: Wildcards) -> list[str]:
        """Checksums of the files that will do, or the address of a source without one."""
        return _files(self._entry(wildcards).as_dict()["sources"])

    def clean_config(self, wildcards: Wildcards) -> str:
        """The fields of the dataset's entry that its archive must match."""
        return _json(self._dataset(wildcards.dataset, "csv", "subset"))

    def subset(self, wildcards: Wildcards) -> str:
        """Digest of the file that names a dataset's rows, if it has one and the file is there."""
        name = self.config.dataset(wildcards.dataset).subset
        path = layout.installed(Path(name)) if name else None
        return digest(path) if path and path.is_file() else ""

    def encode_config(self, wildcards: Wildcards, output: object) -> str:
        """The feature, and the entry of its thesaurus; changes go unnoticed, see `encode_settings`."""
        return _json(self._feature(wildcards.feature))

    def encode_settings(self, wildcards: Wildcards) -> str:
        """The part of `encode_config` that changes the shards: without addresses."""
        return _json(_without_addresses(self._feature(wildcards.feature)))

    def vectors_config(self, wildcards: Wildcards, output: object) -> str:
        """The entry of the vectors; changes go unnoticed, see `vectors_settings`."""
        return _json(self._vectors(wildcards.vectors))

    def vectors_settings(self, wildcards: Wildcards) -> str:
        """The part of `vectors_config` that changes the vectors: without addresses."""
        return _json(_without_addresses(self._vectors(wildcards.vectors)))

    def train_config(self, wildcards: Wildcards, output: object) -> str:
        """The dataset, and the model with all that its entry names; changes go unnoticed, see `train_settings`."""
        part = self._dataset(wildcards.dataset, "title", "paper", "batches_per_epoch")
        return _json(merge(part, self._model(wildcards.model)))

    def train_settings(self, wildcards: Wildcards) -> str:
        """The part of `train_config` that changes a training: no titles, addresses, nor the dataset compared with."""
        part = self._dataset(wildcards.dataset, "batches_per_epoch")
        return _json(_without_addresses(merge(part, self._model(wildcards.model))))

    def study_config(self) -> str:
        """The study, with its datasets and models."""
        part: dict[str, Any] = {key: getattr(self.config, key) for key in ("name", "datasets", "models", "seeds")}
        for key in self.config.datasets:
            part = merge(part, self._dataset(key, "title", "paper", "batches_per_epoch", "english"))
        for key in self.config.models:
            title = self.config.catalog.models[key].title
            part = merge(part, merge(self._model(key), {"catalog": {"models": {key: {"title": title}}}}))
        return _json(part)

    def paper(self) -> str:
        """Digest of the paper's figures, and of the schedules that runs are compared with."""
        tables = [path.read_text(encoding="utf-8") for path in sorted(layout.installed(layout.PAPER).glob("*.csv"))]
        reference = load()
        schedules = {key: recipe.as_dict() for key, recipe in reference.training.items()}
        models = {key: model.training for key, model in reference.catalog.models.items()}
        return hashlib.sha256(_json({"tables": tables, "training": schedules, "models": models}).encode()).hexdigest()

    def _dataset(self, key: str, *fields: str) -> dict[str, Any]:
        """The fields of a dataset's entry that its archive must match, and some more."""
        entry = self.config.catalog.datasets[key].as_dict()
        fields = ("fields", "classes", "train_rows", "test_rows", *fields)
        return {"catalog": {"datasets": {key: {field: entry[field] for field in fields}}}}

    def _feature(self, key: str) -> dict[str, Any]:
        """The entry of a feature, and that of its thesaurus."""
        feature = self.config.feature(key)
        name = feature.thesaurus
        part = {} if name is None else {name: self.config.thesaurus(name).as_dict()}
        return {"catalog": {"features": {key: feature.as_dict()}, "thesauri": part}}

    def _vectors(self, key: str) -> dict[str, Any]:
        """The entry of vectors."""
        return {"catalog": {"vectors": {key: self.config.vectors(key).as_dict()}}}

    def _model(self, key: str) -> dict[str, Any]:
        """The entry of a model, without its title, and those that it names."""
        catalog, spec = self.config.catalog, self.config.model(key)
        model, feature = spec.model, spec.feature
        entry = {name: value for name, value in model.as_dict().items() if name != "title"}
        return {
            "catalog": {
                "features": {model.feature: feature.as_dict()},
                # Its name alone: the shards hold the synonyms.
                "thesauri": {} if feature.thesaurus is None else {feature.thesaurus: {"sources": []}},
                "networks": {model.network: spec.network.as_dict()},
                "models": {key: entry},
                "vectors": {name: value.as_dict() for name, value in catalog.vectors.items() if name == model.vectors},
            },
            "training": {model.training: spec.recipe.as_dict()},
        }

    # --- Code: see `crepe.workflow.code`

    def encode_code(self, wildcards: Wildcards) -> str:
        """The code that makes a feature."""
        return code("encode", type(self.config.feature(wildcards.feature)).__module__)

    def train_code(self, wildcards: Wildcards) -> str:
        """The code that trains a model."""
        recipe = type(self.config.model(wildcards.model).recipe)
        return code("train", self._network(wildcards), *solvers(recipe))

    def evaluate_code(self, wildcards: Wildcards) -> str:
        """The code that tests a model."""
        return code("evaluate", self._network(wildcards))

    def _network(self, wildcards: Wildcards) -> str:
        return type(self.config.model(wildcards.model).network).__module__

    # --- Input files that depend on more than wildcards

    def before_download(self, wildcards: Wildcards) -> list[str]:
        """The file on this machine that a download copies, if that is its only source and has no checksum.

        Snakemake calls this for every study while it plans, before it takes its lock. If jobs are to run, a lock of a
        Snakemake that was killed is removed first, and files that stand at the outputs of downloads are kept.
        """
        sources = self._entry(wildcards).sources
        if self._runs_jobs():
            self._alive = self._alive or lock.remove_if_stale()
            ((kind, key),) = dict(wildcards).items()
            store.adopt(PLACES[kind](key), layout.store(""), sources)
        if len(sources) == 1 and sources[0].local and not sources[0].checksum:
            return [str(sources[0].local)]
        return []

    def _runs_jobs(self) -> bool:
        """Whether Snakemake plans jobs that it will run, in place of showing them (`-n`, `--summary`, `--dag`, ...)."""
        workflow = self._workflow
        return workflow.is_main_process and workflow.executor_plugin is not None and not workflow.dryrun

    def thesaurus(self, wildcards: Wildcards) -> list[str]:
        """The thesaurus of a feature, if it has one."""
        key = self.config.feature(wildcards.feature).thesaurus
        return [] if key is None else [str(layout.thesaurus(key))]

    def published_vectors(self, wildcards: Wildcards) -> list[str]:
        """The file that vectors come from, unless they are learnt."""
        key = wildcards.vectors
        return [str(layout.published_vectors(key))] if self.config.vectors(key).sources else []

    def manifest(self, wildcards: Wildcards) -> str:
        """The manifest of the shards that a run is trained and tested on."""
        model = self.config.model(wildcards.model).model
        return str(layout.shards(model.feature, wildcards.dataset) / layout.MANIFEST)

    def vectors(self, wildcards: Wildcards) -> list[str]:
        """The vectors that a model starts from, if it does."""
        model = self.config.model(wildcards.model).model
        if model.vectors is None:
            return []
        return [str(layout.vectors(model.vectors, model.feature, wildcards.dataset))]

    def vectors_option(self, wildcards: Wildcards, input: Any) -> str:
        """`crepe train`'s option for `vectors`."""
        return f"--vectors {shlex.quote(input.vectors[0])}" if input.vectors else ""

    def runs(self, file: str) -> list[str]:
        """A file of every run of the study."""
        return [str(layout.run(self.config.name, *run) / file) for run in self.config.runs]

    def records(self) -> list[str]:
        """A small file of every job of the study, which appears when the job has ended well."""
        own = {"train", "evaluate", "table", "report"}
        flags = [str(layout.done(job.rule, *job.keys)) for job in jobs(self.config) if job.rule not in own]
        return [*flags, *self.runs(layout.RECORD), *self.runs(layout.METRICS)]

    # --- Order and threads

    def train_priority(self, wildcards: Wildcards) -> float:
        """Priority of a training: short ones first."""
        return 10_000 / self.train_minutes(wildcards)

    def data_priority(self, wildcards: Wildcards) -> float:
        """Priority of a step that makes data: a little less than that of the shortest training that needs it.

        So no long training begins before the data of short ones is there, and of two that are ready, one that makes
        data and one that trains, the training begins.
        """
        needed = dict(wildcards)
        return 0.9 * max(
            (
                self.train_priority(run)
                for run, keys in self._training_needs
                if all(keys.get(name, key) == key for name, key in needed.items())
            ),
            default=0.0,
        )

    @cached_property
    def _training_needs(self) -> list[tuple[Wildcards, dict[str, str | None]]]:
        """The trainings of the study, each with the keys of its data."""
        found = []
        for dataset, model, _ in self.config.runs:
            entry = self.config.model(model).model
            run = SimpleNamespace(dataset=dataset, model=model)
            found.append((run, {"dataset": dataset, "feature": entry.feature, "vectors": entry.vectors}))
        return found

    def model_threads(self, wildcards: Wildcards) -> int:
        """Threads of a training or a test: 1 on a GPU; on a CPU, the cores that each of the jobs at a time has."""
        cores = self._workflow.global_resources["_cores"].value
        if cores is None or not self._workflow.local_exec or has_gpu():
            return 1
        resources = self._workflow.global_resources
        slots = resources["gpu"].value if "gpu" in resources else cores
        return max(1, int(cores) // max(1, int(slots)))

    def encode_threads(self, wildcards: Wildcards) -> int:
        """Threads of encoding: 2 where word2vec learns vectors."""
        return word2vec.PARTS if self.config.feature(wildcards.feature).kind == "means" else 1

    def vectors_threads(self, wildcards: Wildcards) -> int:
        """Threads of `crepe vectors`: 2 where word2vec learns vectors."""
        return 1 if self.config.vectors(wildcards.vectors).sources else word2vec.PARTS

    # --- Needs of a job, for a scheduler: what `crepe plan` says, with a margin for slower machines and longer texts

    def download_minutes(self, wildcards: Wildcards) -> int:
        """Time limit at a megabyte a second."""
        return 30 + max(source.bytes or 0 for source in self._entry(wildcards).sources) // 60_000_000

    def least_mb(self, wildcards: Wildcards) -> int:
        """Memory for a step that handles little at a time: a download, a table."""
        return _megabytes(Need())

    def report_mb(self, wildcards: Wildcards) -> int:
        """Memory for the report."""
        return _megabytes(self._costs.report())

    def clean_minutes(self, wildcards: Wildcards) -> int:
        """Time limit of cleaning."""
        return _minutes(self._costs.clean(wildcards.dataset))

    def clean_mb(self, wildcards: Wildcards) -> int:
        """Memory for cleaning."""
        return _megabytes(self._costs.clean(wildcards.dataset))

    def encode_minutes(self, wildcards: Wildcards) -> int:
        """Time limit of encoding."""
        return _minutes(self._costs.encode(wildcards.feature, wildcards.dataset))

    def encode_mb(self, wildcards: Wildcards) -> int:
        """Memory for encoding."""
        return _megabytes(self._costs.encode(wildcards.feature, wildcards.dataset))

    def vectors_minutes(self, wildcards: Wildcards) -> int:
        """Time limit of finding or learning word vectors."""
        return _minutes(self._costs.vectors(wildcards.vectors, wildcards.feature, wildcards.dataset))

    def vectors_mb(self, wildcards: Wildcards) -> int:
        """Memory for word vectors."""
        return _megabytes(self._costs.vectors(wildcards.vectors, wildcards.feature, wildcards.dataset))

    def train_minutes(self, wildcards: Wildcards) -> int:
        """Time limit of a training, tests after each epoch included."""
        return 20 + _minutes(self._costs.train(wildcards.dataset, wildcards.model, cg.PASSES))

    def train_mb(self, wildcards: Wildcards) -> int:
        """Memory for a training."""
        return _megabytes(self._costs.train(wildcards.dataset, wildcards.model))

    def evaluate_minutes(self, wildcards: Wildcards) -> int:
        """Time limit of a test."""
        return _minutes(self._costs.evaluate(wildcards.dataset, wildcards.model))

    def evaluate_mb(self, wildcards: Wildcards) -> int:
        """Memory for a test."""
        return _megabytes(self._costs.evaluate(wildcards.dataset, wildcards.model))

    # --- Downloads

    def _entry(self, wildcards: Wildcards) -> Dataset | Thesaurus | Vectors:
        """The entry of what is downloaded."""
        ((kind, key),) = dict(wildcards).items()
        if kind == "dataset":
            return self.config.dataset(key)
        return self.config.thesaurus(key) if kind == "thesaurus" else self.config.vectors(key)


def _files(sources: list[dict[str, Any]]) -> list[str]:
    """The files that sources have: their checksums, or the address of one without."""
    return sorted({source["sha256"] or source["md5"] or source["url"] for source in sources})


def _without_addresses(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a configuration with the files of its sources in their place: it is the same from another mirror."""
    return {
        key: _files(value) if key == "sources" else _without_addresses(value) if isinstance(value, dict) else value
        for key, value in part.items()
    }


def _minutes(need: Need) -> int:
    return 10 + math.ceil(MARGIN * need.seconds / 60)


def _megabytes(need: Need) -> int:
    return SNAKEMAKE_MB + math.ceil(MARGIN * need.memory / 1e6)


def has_gpu() -> bool:
    """Whether this machine has a GPU that torch knows, told without importing torch."""
    return any(map(os.path.exists, GPU_DEVICES)) or (platform.system(), platform.machine()) == ("Darwin", "arm64")


def _json(part: Mapping[str, Any]) -> str:
    return json.dumps(part, separators=(",", ":"), sort_keys=True)
