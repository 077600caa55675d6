"""The configuration: `study` has what runs and loads it, `catalog` the entries to choose from, `recipe` trainings."""

from crepe.config.study import LARGEST_SEED, Config, ModelSpec, load, merge, parse

__all__ = ["LARGEST_SEED", "Config", "ModelSpec", "load", "merge", "parse"]
