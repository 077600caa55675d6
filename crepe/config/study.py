"""The configuration: what a study runs, of what is in the catalog (`crepe.config.catalog`).

The files of `crepe.layout.CONFIG_FILES` make the default; an overlay is
merged into them key by key (lists are replaced whole), as Snakemake's `--configfile` does.
`config/README.md` explains every key to users, `crepe.config.schema` makes its JSON schema.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeVar

from crepe import layout
from crepe.config.catalog import (
    Catalog,
    Dataset,
    Key,
    Model,
    Thesaurus,
    Vectors,
)
from crepe.config.recipe import Recipe
from crepe.errors import CrepeError
from crepe.features import FeatureSettings
from crepe.io.section import Limits, Section
from crepe.models import NetworkSettings

Item = TypeVar("Item")

LARGEST_SEED = 2**32 - 1
"""Generators take 64 bits, of which the number of a batch has half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model of the catalog, with the entries that it names."""

    model: Model
    feature: FeatureSettings
    network: NetworkSettings
    recipe: Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(Section):
    """A study: its name, what it runs, and how."""

    name: Key
    """Name of the study; its results are under `results/NAME/`."""
    datasets: tuple[Key, ...]
    """Keys of `catalog.datasets`."""
    models: tuple[Key, ...]
    """Keys of `catalog.models`. Each is run on each dataset."""
    seeds: tuple[Annotated[int, Limits(minimum=0, maximum=LARGEST_SEED)], ...]
    """Seeds from 0. Each model is trained once with each, which decides on start values, draws and dropout."""
    training: dict[Key, Recipe]
    """Recipes, by name."""
    catalog: Catalog
    """Datasets, features, networks and models to choose from."""
    machine: str = "small GPU"
    """Machine of `config/speeds.csv` whose speeds give the time limits of jobs on a cluster; changes no result."""

    def __post_init__(self) -> None:
        for kind, keys, catalog in (
            ("datasets", self.datasets, list(self.catalog.datasets)),
            ("models", self.models, list(self.catalog.models)),
        ):
            for key in keys:
                if key not in catalog:
                    raise ValueError(f"{kind}: {key!r} is not in the catalog, which has {', '.join(catalog)}")
        for kind, chosen in (("datasets", self.datasets), ("models", self.models), ("seeds", self.seeds)):
            if not chosen:
                raise ValueError(f"{kind}: names none")
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"{kind}: one stands twice")
        for key, feature in self.catalog.features.items():
            if feature.thesaurus is not None and feature.thesaurus not in self.catalog.thesauri:
                raise ValueError(
                    f"catalog.features.{key}.thesaurus: {feature.thesaurus!r} is not defined; "
                    f"known: {', '.join(self.catalog.thesauri)}"
                )
        parts: dict[str, Iterable[str]] = {
            "feature": self.catalog.features,
            "network": self.catalog.networks,
            "training": self.training,
            "vectors": self.catalog.vectors,
        }
        for key, model in self.catalog.models.items():
            for part, known in parts.items():
                if getattr(model, part) not in (None, *known):
                    raise ValueError(
                        f"catalog.models.{key}.{part}: {getattr(model, part)!r} is not defined; "
                        f"known: {', '.join(known)}"
                    )

    def dataset(self, key: str) -> Dataset:
        """The dataset `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        dataset = _lookup(self.catalog.datasets, "dataset", key)
        return dataset if dataset.title else dataclasses.replace(dataset, title=key)

    def thesaurus(self, key: str) -> Thesaurus:
        """The thesaurus `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        return _lookup(self.catalog.thesauri, "thesaurus", key)

    def feature(self, key: str) -> FeatureSettings:
        """The feature `key` of the catalog.

        Raises:
            CrepeError: there is none of that name.
        """
        return _lookup(self.catalog.features, "feature", key)

    def vectors(self, key: str) -> Vectors:
        """The vectors `key` of the catalog.

        Raises:
            CrepeError: there are none of that name.
        """
        return _lookup(self.catalog.vectors, "vectors", key)

    def model(self, key: str) -> ModelSpec:
        """The model `key` of the catalog with the parts that its entry names.

        Raises:
            CrepeError: there is none of that name.
        """
        model = _lookup(self.catalog.models, "model", key)
        return ModelSpec(
            model=model,
            feature=self.catalog.features[model.feature],
            network=self.catalog.networks[model.network],
            recipe=self.training[model.training],
        )

    def chosen(self, dataset: str, model: str) -> bool:
        """Whether the study runs `model` on `dataset`: it names both, and the texts are English if it needs that."""
        if dataset not in self.datasets or model not in self.models:
            return False
        return self.model(model).feature.thesaurus is None or self.dataset(dataset).english

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Datasets and models that the study runs together."""
        return [cell for cell in product(self.datasets, self.models) if self.chosen(*cell)]

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """Dataset, model and seed of each run of the study."""
        return [(*cell, seed) for cell in self.cells for seed in self.seeds]


def load(overlay: str | None = None) -> Config:
    """The default configuration with `overlay` laid over it.

    Args:
        overlay: a YAML or JSON file, or JSON text (anything that starts with a brace).

    Raises:
        CrepeError: a file is missing or not valid, or a key or value is wrong; the text names it.
    """
    merged: dict[str, Any] = {}
    for name in layout.CONFIG_FILES:
        if (path := layout.installed(layout.CONFIG / name)).exists():
            merged = merge(merged, _read(path))
    if overlay is not None:
        merged = merge(merged, _read_text(overlay) if overlay.lstrip().startswith("{") else _read(Path(overlay)))
    if not merged:
        raise CrepeError(
            f"{layout.CONFIG}/", "no configuration here", "run this in the project's folder or give --config"
        )
    return parse(merged)


def parse(merged: Mapping[str, Any]) -> Config:
    """Check a merged configuration.

    Raises:
        CrepeError: a key or value is wrong; the text names it.
    """
    return Config.parse(merged)


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`overlay` laid over `base` key by key; anything but a mapping is replaced whole."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        try:
            # First, as Snakemake does: YAML takes JSON's 1e-05 for text.
            content = json.loads(text)
        except ValueError:
            content = yaml.safe_load(text)
    except OSError as error:
        raise CrepeError(path, f"cannot be read: {error.strerror or error}") from error
    except yaml.MarkedYAMLError as error:
        line = f": line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CrepeError(f"{path}{line}", f"is not valid YAML: {error.problem}") from error
    # ValueError: no UTF-8, a date that is none, a number of thousands of digits.
    except (yaml.YAMLError, ValueError) as error:
        raise CrepeError(path, f"is not valid YAML: {error}") from error
    except RecursionError:
        raise CrepeError(path, "is no configuration: there are too many levels of keys or lists") from None
    if not isinstance(content, dict):
        raise CrepeError(path, "expected keys and values at the top level, as `name: mine`")
    return content


def _read_text(text: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise CrepeError("--config", f"is not valid JSON: {error}") from error
    except RecursionError:
        raise CrepeError("--config", "is no configuration: there are too many levels of keys or lists") from None
    return content


def _lookup(items: Mapping[str, Item], kind: str, key: str) -> Item:
    if key not in items:
        raise CrepeError("configuration", f"{kind} {key!r} is not in the catalog, which has {', '.join(items)}")
    return items[key]
