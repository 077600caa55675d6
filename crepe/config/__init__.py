"""The configuration: `study` says what runs, `catalog` what can be chosen from."""

from crepe.config.study import LARGEST_SEED, Config, ModelSpec, load, merge, parse

__all__ = ["LARGEST_SEED", "Config", "ModelSpec", "load", "merge", "parse"]
