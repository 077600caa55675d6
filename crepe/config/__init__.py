"""The configuration: `study` says what runs, `catalog` what can be chosen from."""

from crepe.config.study import FOLDER, LARGEST_SEED, Config, load, merge, parse

__all__ = ["FOLDER", "LARGEST_SEED", "Config", "load", "merge", "parse"]
