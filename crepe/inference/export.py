"""Write a trained model as a folder to pass on, which describes itself.

    crepe export results/demo/runs/docstrings/conv-small/0 --to docstrings

The folder has the parameters (`model.safetensors`), the same as ONNX (`model.onnx`), `config.json`, the vocabulary if
there is one, the run's record and its metrics, and a model card, `README.md`. `crepe.load` takes it wherever it has
been copied to.

ONNX has no sequences of different lengths in a batch: the exported network reads padded texts and computes the padding,
too. For tf-idf it compares each symbol of a text with every other: memory grows with the square of their number.
"""

import argparse
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from torch import Tensor

from crepe.errors import CrepeError
from crepe.io.files import digest, write_json, write_text
from crepe.layout import METRICS, RECORD
from crepe.models import saved
from crepe.models.base import Network
from crepe.models.saved import FILE, Saved
from crepe.records.metrics import Metrics
from crepe.records.quality import LABELS
from crepe.records.run import RunRecord

ONNX = "model.onnx"
OPSET = 20

TEMPLATES = Path(__file__).parent / "templates"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.safetensors, or a folder that has one")
    parser.add_argument("--to", type=Path, metavar="DIR", required=True, help="a folder that is not there yet")


def main(options: argparse.Namespace) -> None:
    """Run the command."""
    export(options.model, options.to)


def export(model: Path, folder: Path) -> None:
    """Write a model to a folder, which appears when it is whole.

    Args:
        model: model.safetensors, or a folder that has one; the run's record and metrics are looked for beside it.
        folder: not there yet, or empty.

    Raises:
        CrepeError: the model, or what is beside it, is missing or damaged; the folder is in use or cannot be written;
            a network of this kind cannot be written as ONNX.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CrepeError(folder, "is there already", "give a folder that is not, or remove it")
    path = model / FILE if model.is_dir() else model
    content = saved.load(path, torch.device("cpu"))
    record, metrics = _records(path.parent, content)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as temporary:
            whole = Path(temporary) / folder.name
            whole.mkdir()
            shutil.copyfile(path, whole / FILE)
            write_onnx(content, whole / ONNX)
            write_json(whole / "config.json", _config(content))
            if content.vocabulary is not None:
                write_text(whole / "vocabulary.txt", "".join(f"{line}\n" for line in content.vocabulary))
            for part in (record, metrics):
                if part:
                    part.write(whole)
            write_text(whole / "README.md", _card(content, record, metrics, digest(path)))
            whole.rename(folder)
    except OSError as error:
        raise CrepeError(folder, f"cannot be written: {error.strerror or error}") from error


def write_onnx(model: Saved, path: Path) -> None:
    """Write a network as ONNX, from padded codes to probabilities, any number of rows at a time.

    Input `codes`, int64 [rows, columns]: the codes of texts, 0 behind their ends, in any number of columns.
    Output `probabilities`, float32 [rows, classes].

    Raises:
        CrepeError: networks of this kind have no padded form.
    """
    network = _Probabilities(model.network).eval()
    # The LSTM is traced column by column: a few columns are enough.
    codes = torch.ones(2, 3, dtype=torch.int64)
    network(codes)  # Raises a CrepeError where there is no padded form; the exporter would wrap it.
    shape = {0: torch.export.Dim("rows"), 1: torch.export.Dim("columns")}
    with _quiet():
        program = torch.onnx.export(
            network,
            (codes,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["codes"],
            output_names=["probabilities"],
            dynamic_shapes={"codes": shape},
            custom_translation_table={torch.ops.aten.lstm.input: _lstm},
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        node.metadata_props.clear()  # Paths and lines of source files on this machine.
    program.model.metadata_props["classes"] = json.dumps(model.classes, ensure_ascii=False)
    program.save(path, external_data=False)


class _Probabilities(torch.nn.Module):
    """A network from padded codes, int64 [rows, columns], to probabilities, float32 [rows, classes]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> Tensor:
        return F.softmax(self.network.padded(codes), dim=1)


def _lstm(x: Any, start: Any, weights: Any, *settings: Any) -> Any:
    """Translate torch's LSTM of one layer to ONNX's, which has the gates in another order.

    The exporter's own translation fixes the traced number of columns.
    """
    from onnxscript import opset20

    ops: Any = opset20

    def ordered(parameter: Any) -> Any:
        first, forget, cell, output = ops.Split(parameter, axis=0, num_outputs=4)
        return ops.Concat(first, output, forget, cell, axis=0)

    inputs, states, *biases = map(ordered, weights)
    both = ops.Unsqueeze(ops.Concat(*biases, axis=0), [0])
    size = weights[1].shape[1]
    y, h, c = ops.LSTM(x, ops.Unsqueeze(inputs, [0]), ops.Unsqueeze(states, [0]), both, hidden_size=size)
    return ops.Squeeze(y, [1]), h, c


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, which concern its own future and optional packages."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def _records(folder: Path, model: Saved) -> tuple[RunRecord | None, Metrics | None]:
    """Read the run's record and its metrics, either of them None if it is not there."""
    record = RunRecord.read(folder) if (folder / RECORD).exists() else None
    metrics = Metrics.read(folder, record) if record and (folder / METRICS).exists() else None
    if record and record.classes != model.classes:
        raise CrepeError(folder / RECORD, "is of another model, with other classes", "delete it or train again")
    return record, metrics


def _config(model: Saved) -> dict[str, Any]:
    return {
        "classes": model.classes,
        "feature": model.feature.as_dict(),
        "alphabet": model.feature.characters,
        "symbols": model.vocab_size,
        "network": model.settings.as_dict(),
        "onnx": {"opset": OPSET, "codes": ["rows", "columns"], "probabilities": ["rows", "classes"]},
    }


def _card(model: Saved, record: RunRecord | None, metrics: Metrics | None, sha256: str) -> str:
    """Render the model card: Markdown with the front matter that model hubs read."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"zip": zip, "plain": _plain}
    return environment.get_template("model_card.md").render(
        model=model,
        record=record,
        metrics=metrics,
        labels=LABELS,
        parameters=f"{sum(parameter.numel() for parameter in model.network.parameters()):,}",
        reading=model.feature.description,
        sha256=sha256,
    )


def _plain(text: str) -> str:
    """Escape the characters of a text that have a meaning in Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_[]<>|#" else letter for letter in text)
