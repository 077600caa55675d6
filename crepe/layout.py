"""Paths of the project, relative to its folder; every path and file name that two modules share stands here.

The functions take keys of the configuration. They take Snakemake's wildcards, as `"{dataset}"`, as well.
"""

from pathlib import Path

# --- Configuration

CONFIG = Path("config")
CONFIG_FILES = ("config.yaml", "datasets.yaml", "models.yaml")
"""Files of `CONFIG` that make the default configuration, in the order in which they are merged."""
PAPER = CONFIG / "paper"
"""The paper's figures, as CSV."""
SPEEDS = CONFIG / "speeds.csv"
"""Measured speeds of machines: see `crepe.records.speeds`."""


def installed(path: Path) -> Path:
    """A file of the project, or the one that comes with the package if the working directory has none."""
    package = Path(__file__).parent
    places = (path, package.parent / path, package / "installed" / path)
    return next((place for place in places if place.exists()), path)


CODE = CONFIG / "code.json"
"""Digests of the code of each step: see `crepe.workflow.code`."""


def overlay(study: str) -> Path:
    """Configuration file of a study, merged into the default one."""
    return CONFIG / f"{study}.yaml"


# --- Data, shared by all studies

DEMO_ARCHIVE = Path("data/demo/docstrings.tgz")
"""The archive that `crepe demo-data` writes."""
OWN_DATA = Path("data/own")
"""Folder of the archives that `crepe init-dataset` writes."""
SPLITS = ("train", "test")


def archive(dataset: str) -> Path:
    """A dataset's archive, as downloaded."""
    return Path("data/raw", f"{dataset}.tgz")


def thesaurus(key: str) -> Path:
    """A thesaurus in mytheas format, as downloaded."""
    return Path("data/raw", f"{key}.dat")


def published_vectors(key: str) -> Path:
    """Published word vectors in word2vec's binary format, as downloaded."""
    return Path("data/raw", f"{key}.bin.gz")


def clean(dataset: str) -> Path:
    """Folder of a dataset's clean text: `train.parquet`, `test.parquet` and `CLEAN_RECORD`."""
    return Path("data/clean", dataset)


CLEAN_RECORD = "clean.json"
"""Checksums and counts of the clean text, the last file of its folder to appear."""


def shards(feature: str, dataset: str) -> Path:
    """Folder of a dataset's shards: Arrow files, `VOCABULARY` where there is one, and `MANIFEST`."""
    return Path("data/shards", feature, dataset)


MANIFEST = "manifest.json"
"""Checksums and counts of the shards, the last file of their folder to appear."""
VOCABULARY = "vocabulary.parquet"


def store(checksum: str) -> Path:
    """A downloaded file under its checksum, which no rule makes or deletes; "" for the folder of them all."""
    return Path("data/store", checksum)


def done(step: str, *keys: str) -> Path:
    """Empty file that appears when a step has made its data, for Snakemake and git."""
    return Path("data/done", step, *keys)


def vectors(key: str, feature: str, dataset: str) -> Path:
    """Word vectors of a dataset's vocabulary."""
    return Path("data/vectors", key, feature, f"{dataset}.safetensors")


# --- Results, by study


def study(name: str) -> Path:
    """Folder of a study's results."""
    return Path("results", name)


def table(name: str, suffix: str = "csv") -> Path:
    """A study's table, as `csv` or `md`."""
    return study(name) / f"table.{suffix}"


def partial_results(name: str, suffix: str = "csv") -> Path:
    """A table (`csv`, `md`) or report (`html`) of an unfinished study."""
    return study(name) / f"partial.{suffix}"


def dvc_metrics(name: str, dataset: str) -> Path:
    """Test errors of a study on a dataset, by model, for `dvc metrics`."""
    return study(name) / DVC_METRICS / f"{dataset}.json"


DVC_METRICS = "metrics"
"""Folder of the files of `dvc_metrics`."""


def pipeline(name: str) -> Path:
    """A study's DVC pipeline."""
    return study(name) / "dvc.yaml"


def report(name: str) -> Path:
    """A study's report."""
    return study(name) / "report.html"


def run(name: str, dataset: str, model: str, seed: int | str) -> Path:
    """Folder of a run, which has the files named below."""
    return study(name) / "runs" / dataset / model / str(seed)


MODEL = "model.safetensors"
HISTORY = "history.csv"
RECORD = "run.json"
"""Provenance of a training, the last file that it writes."""
PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"
"""Results on the test set, the last file that the evaluation writes."""
PROGRESS = "progress.json"
"""Heartbeat of a running training, removed at its end."""
FIRST_LAYER = "weights"
"""Folder of the first layer's weights after each epoch."""


def tuning(name: str, dataset: str, model: str) -> Path:
    """Trials of `crepe tune`."""
    return study(name) / "tuning" / dataset / f"{model}.json"


# --- Records of Snakemake and DVC

SNAKEMAKE_RECORDS = Path(".snakemake/metadata")
"""Snakemake's records of the job that made each file."""
DVC_RECORDS = Path("records.dvc")
"""DVC's file for `SNAKEMAKE_RECORDS`."""


# --- Logs


def log(rule: str, *keys: str, suffix: str = "log") -> Path:
    """Log (`log`) or benchmark (`tsv`) of a job."""
    return Path("logs", rule, *keys[:-1], f"{keys[-1]}.{suffix}") if keys else Path("logs", f"{rule}.{suffix}")
