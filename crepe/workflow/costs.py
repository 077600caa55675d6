"""Compute the needs of a study's jobs before anything runs: seconds, memory and bytes on disk.

Seconds come from measured speeds (`crepe.records.speeds`), sizes from the datasets' rows and archives, as the catalog
has them. The constants here were measured; docs/performance.md has the measurements. The rules ask a scheduler for
these figures with a margin (`crepe.workflow.steps`); `crepe plan` adds them up as they are.
"""

import math
from dataclasses import dataclass

from crepe.config import Config, cg
from crepe.config.jobs import Job
from crepe.models import convnet, linear, lstm
from crepe.records.speeds import Cost, Speeds

UNPACKED = 2.7
"""Bytes of text in a byte of an archive: 2.5 to 2.9 for the paper's datasets, 3.6 for Sogou's."""
ROW_BYTES = 1_014
"""Bytes of a text, of archives whose size is not known."""
CODES = {"characters": 1.0, "words": 0.18, "ngrams": 0.4, "means": 0.17}
"""Codes in a byte of text, by kind of feature; 1 for other kinds."""
ENCODE_BYTES = {
    "characters": (0.18e9, 10, 0),
    "characters with synonyms": (0.4e9, 30, 0),
    "words": (0.28e9, 30, 0),
    "words with synonyms": (0.35e9, 30, 0),
    "ngrams": (0.35e9, 0, 1.5),
    "means": (0.4e9, 12, 0),
}
"""Memory of encoding, by kind of feature: at least, for each byte of a batch's texts, and for each of all texts."""
ENCODE_ROWS = 10_000
"""Rows in a batch of encoding."""
SORT_BYTES, SORT_MOST, FULL_TEXT = 90, 0.25e9, 25e6
"""Memory of sorting n-grams for each byte of text, and at most where the texts are longer than `FULL_TEXT` bytes: the
vocabulary is full then, and rarer n-grams are left out before they are counted."""
VOCABULARY_WORDS, LEARNT_TABLES = 10, 6
"""Words that word2vec learns, by the square root of all words of the texts, and its tables of vectors of them."""
CLEAN_BYTES, CLEAN_ROWS = 0.2e9, 90_000
"""Memory of cleaning: at least, and the number of rows whose bytes of text it has in addition."""
SYNONYMS_SECONDS, SYNONYMS_BYTES = 4.0, 9e6
"""Time to read a thesaurus of 80,000 words, and the bytes of its synonyms in shards of any number of rows."""
VOCABULARY_BYTES = 6
"""Bytes of an n-gram in the vocabulary that lies beside the shards."""
PROCESS_BYTES = 0.35e9
"""Memory of a process that has imported torch."""
TRANSPOSE_BYTES = 0.9e9
"""Most memory that a block of rows of a linear model takes while it is transposed."""
TRAIN_BYTES = {"convnet": 32, "lstm": 30}
"""Memory of a batch in training, for each code and channel, by kind of network."""
TEST_BYTES, TEST_ROWS = 8, 256
"""Memory of a batch in a test, for each code and channel, and its largest number of rows."""
LONGEST = 5
"""Codes of the longest texts of a test, in average ones."""
PASSES = 15
"""Passes over the train rows that conjugate gradients take; 6 to 19 were counted. Limits have more: `cg.PASSES`."""
START = 1.5
"""Seconds to start the process of a step."""
REPORT_SECONDS = 0.25
"""Seconds that a run takes in the report, which reads its weights."""
REPORT_BYTES = (0.45e9, 2e6)
"""Memory of the report: at least, and for each run."""
BANDWIDTH = 10.0
"""Megabytes a second of a download."""


@dataclass(frozen=True, slots=True)
class Need:
    """The needs of a job."""

    seconds: float = 0.0
    basis: str = "measured"
    """See `crepe.records.speeds.Cost`."""
    memory: float = 0.1e9
    """Bytes at most. A download takes 55 to 120 MB, a table 70 MB."""
    disk: float = 0.0
    """Bytes of what it leaves."""


class Costs:
    """The needs of a study's jobs on a machine.

    Args:
        config: the study.
        speeds: measured speeds.
        machine: name of the machine in these.
        bandwidth: megabytes a second of downloads.
    """

    def __init__(self, config: Config, speeds: Speeds, machine: str, bandwidth: float = BANDWIDTH) -> None:
        self.config, self.speeds, self.machine, self.bandwidth = config, speeds, machine, bandwidth

    def need(self, job: Job) -> Need:
        """Compute the needs of a job of any kind."""
        match job.rule:
            case "download" | "thesaurus" | "published":
                size = self.download_bytes(job.rule, job.keys[0])
                return Need(START + size / 1e6 / self.bandwidth, disk=size)
            case "clean":
                return self.clean(*job.keys)
            case "encode":
                return self.encode(*job.keys)
            case "vectors":
                return self.vectors(*job.keys)
            case "train":
                return self.train(job.keys[0], job.keys[1])
            case "evaluate":
                return self.evaluate(job.keys[0], job.keys[1])
            case "report":
                return self.report()
        return Need(START)

    # --- Sizes

    def download_bytes(self, rule: str, key: str) -> int:
        """Bytes of a download; 0 if it is a file of this machine, or no source says."""
        catalog = self.config.catalog
        sources = {
            "download": lambda: catalog.datasets[key].sources,
            "thesaurus": lambda: catalog.thesauri[key].sources,
            "published": lambda: catalog.vectors[key].sources,
        }[rule]()
        return max((source.bytes or 0 for source in sources if source.local is None), default=0)

    def rows(self, dataset: str) -> int:
        """Train and test rows of a dataset."""
        entry = self.config.dataset(dataset)
        return entry.train_rows + entry.test_rows

    def text_bytes(self, dataset: str) -> float:
        """Bytes of text of a row, on average: by the published sizes of its CSV files, or by that of its archive."""
        entry = self.config.dataset(dataset)
        sizes = [file and file.bytes for file in (entry.csv.train, entry.csv.test)] if entry.csv else [None]
        if all(sizes):
            return sum(size or 0 for size in sizes) / self.rows(dataset)
        packed = 0 if entry.subset else max((source.bytes or 0 for source in entry.sources), default=0)
        return UNPACKED * packed / self.rows(dataset) or ROW_BYTES

    def codes(self, feature: str, dataset: str) -> float:
        """Codes of a row that a network reads, on average, if texts' lengths are distributed exponentially."""
        settings = self.config.feature(feature)
        mean = CODES.get(settings.kind, 1.0) * self.text_bytes(dataset)
        return mean * -math.expm1(-settings.max_length / mean) if settings.max_length else mean

    def encoded_bytes(self, feature: str, dataset: str) -> float:
        """Bytes of the shards; train rows with synonyms are whole, and have the places of their words."""
        settings, rows = self.config.feature(feature), self.rows(dataset)
        width = 1 if settings.kind == "characters" else 4
        if settings.thesaurus is None:
            vocabulary = VOCABULARY_BYTES * getattr(settings, "vocab_size", 0) if settings.kind == "ngrams" else 0
            return rows * (width * self.codes(feature, dataset) + 12) + vocabulary
        text = self.text_bytes(dataset)
        return rows * (CODES.get(settings.kind, 1.0) * width + 0.8) * text + 24 * rows + SYNONYMS_BYTES

    # --- Jobs

    def clean(self, dataset: str) -> Need:
        """Compute the needs of cleaning a dataset; the CSV files lie beside the clean text while it runs."""
        text = self.text_bytes(dataset)
        cost = self._cost("clean", "", text)
        rows = self.rows(dataset)
        memory = CLEAN_BYTES + text * min(rows, CLEAN_ROWS)
        return Need(START + rows * cost.seconds, cost.basis, memory, 0.45 * rows * text)

    def encode(self, feature: str, dataset: str) -> Need:
        """Compute the needs of encoding a dataset."""
        settings, text, rows = self.config.feature(feature), self.text_bytes(dataset), self.rows(dataset)
        kind = settings.kind if settings.thesaurus is None else f"{settings.kind} with synonyms"
        cost = self._cost("encode", kind, text)
        least, batch, growth = ENCODE_BYTES.get(kind, (1e9, 0, 0))
        seconds = START + rows * cost.seconds + (0 if settings.thesaurus is None else SYNONYMS_SECONDS)
        memory = least + text * (batch * min(rows, ENCODE_ROWS) + growth * rows)
        if kind == "ngrams":
            memory += SORT_BYTES * text * rows if text * rows < FULL_TEXT else SORT_MOST
        elif kind == "means":
            words = VOCABULARY_WORDS * math.sqrt(CODES["words"] * text * rows)
            memory += LEARNT_TABLES * 4.0 * getattr(settings, "vector_size", 0) * words
        return Need(seconds, cost.basis, memory, self.encoded_bytes(feature, dataset))

    def vectors(self, key: str, feature: str, dataset: str) -> Need:
        """Compute the needs of finding a vocabulary's vectors: in a published file, or by learning them."""
        settings, vocabulary = self.config.vectors(key), 50_000
        size = 4.0 * vocabulary * settings.vector_size
        encoded = self.encoded_bytes(feature, dataset)
        if settings.sources:
            # By the file, whatever the rows.
            packed = max(source.bytes or 0 for source in settings.sources)
            return Need(START + packed / 60e6, "measured", 0.25e9 + 2 * size, size)
        cost = self._cost("encode", "means", self.text_bytes(dataset))
        return Need(START + self.rows(dataset) * cost.seconds, cost.basis, 0.8e9 + 6 * size + encoded, size)

    def train(self, dataset: str, model: str, passes: int = PASSES) -> Need:
        """Compute the needs of a training, tests after each epoch included.

        Args:
            dataset: key of the dataset.
            model: key of the model.
            passes: passes over the train rows, if conjugate gradients train it.
        """
        entry, recipe = self.config.dataset(dataset), self.config.model(model).recipe
        work = recipe.work(entry.batches_per_epoch, entry.train_rows, entry.test_rows)
        drawn = recipe.schedule(entry.batches_per_epoch)
        # Weights, momentum, gradients, copies in bfloat16, and a checkpoint on its way to the disk.
        tables = 20
        if isinstance(recipe, cg.Settings):
            drawn = work = min(work, passes * entry.train_rows)
            # Nine tables like the weights, and a checkpoint of four of them.
            tables = 52
        train, test = (self._network(step, dataset, model) for step in ("train", "evaluate"))
        seconds = START + drawn * train.seconds + (work - drawn) * test.seconds
        parameters = self.parameters(dataset, model)
        return Need(seconds, train.basis, self.model_memory(dataset, model) + tables * parameters, 4 * parameters)

    def evaluate(self, dataset: str, model: str) -> Need:
        """Compute the needs of testing a model."""
        rows, cost = self.config.dataset(dataset).test_rows, self._network("evaluate", dataset, model)
        memory = self.model_memory(dataset, model, rows / self.rows(dataset)) + 8 * self.parameters(dataset, model)
        return Need(START + rows * cost.seconds, cost.basis, memory, PREDICTION_BYTES * rows)

    def report(self) -> Need:
        """Compute the needs of the report, which has the weights of one run at a time."""
        runs = self.config.runs
        weights = 4.0 * max((self.parameters(dataset, model) for dataset, model, _ in runs), default=0)
        least, each = REPORT_BYTES
        return Need(START + REPORT_SECONDS * len(runs), memory=least + each * len(runs) + weights)

    def model_memory(self, dataset: str, model: str, share: float = 1.0) -> float:
        """Bytes that a training or test on a CPU holds beside its parameters: torch, batches, and the encoded rows.

        A training of a linear network has the rows as sparse matrices.

        Args:
            dataset: key of the dataset.
            model: key of the model.
            share: share of the rows that are read.
        """
        entry = self.config.model(model).model
        encoded = share * self.encoded_bytes(entry.feature, dataset)
        if isinstance(self.config.model(model).network, linear.Settings):
            if share < 1.0:
                return PROCESS_BYTES + 1.5 * encoded
            # Their blocks are transposed one at a time, which takes memory up to a limit.
            return PROCESS_BYTES + 2 * encoded + min(TRANSPOSE_BYTES, 14 * encoded)
        return PROCESS_BYTES + encoded + self.batch_memory(dataset, model, training=share == 1.0)

    def batch_memory(self, dataset: str, model: str, training: bool) -> float:
        """Bytes of a batch of the longest texts in a test; in training, of a random one besides.

        A kind of network that is not the paper's is taken for a ConvNet.
        """
        spec = self.config.model(model)
        network, codes = spec.network, self.codes(spec.model.feature, dataset)
        width = getattr(network, "channels", getattr(network, "hidden_size", 0)) + getattr(network, "embedding_dim", 0)
        # Texts that are cut off are no longer than that.
        longest = min(LONGEST * codes, spec.feature.max_length or math.inf)
        rows = min(TEST_ROWS, self.config.dataset(dataset).test_rows)
        tested = TEST_BYTES * rows * longest * width
        if not training:
            return tested
        held = TRAIN_BYTES.get(network.kind, max(TRAIN_BYTES.values()))
        # The memory of a test after an epoch is not that of the batches before it: allocators keep pieces of both.
        return tested + held * getattr(spec.recipe, "batch_size", 0) * codes * width

    def parameters(self, dataset: str, model: str) -> int:
        """Number of a network's parameters, if the vocabulary is as large as the feature allows; 0 of other kinds.

        Computed from the settings: building the network takes torch, which planning does without.
        """
        spec, classes = self.config.model(model), self.config.dataset(dataset).classes
        feature, network = spec.feature, spec.network
        symbols = len(feature.characters or "") or getattr(feature, "vocab_size", getattr(feature, "clusters", 0))
        if isinstance(network, linear.Settings):
            return classes * (symbols + 1)
        if isinstance(network, lstm.Settings):
            size, hidden = network.embedding_dim, network.hidden_size
            return (symbols + 1) * size + 4 * hidden * (size + hidden + 2) + classes * (hidden + 1)
        if not isinstance(network, convnet.Settings):
            return 0
        found, frames = (symbols + 1) * network.embedding_dim, feature.max_length or 0
        inputs = network.embedding_dim or symbols
        for kernel, pool in network.convolutions:
            found += network.channels * (inputs * kernel + 1)
            inputs, frames = network.channels, (frames - kernel + 1) // pool
        inputs *= frames
        for units in (*network.fc, classes):
            found += units * (inputs + 1)
            inputs = units
        return found

    def _network(self, step: str, dataset: str, model: str) -> Cost:
        entry = self.config.model(model).model
        return self._cost(step, entry.network, self.codes(entry.feature, dataset))

    def _cost(self, step: str, kind: str, codes: float) -> Cost:
        return self.speeds.cost(self.machine, step, kind, codes)


PREDICTION_BYTES = 16
"""Bytes of a row of predictions."""
