"""Crepe: the whole table of "Character-level Convolutional Networks for Text Classification" (Zhang et al., 2015)."""

__version__ = "0.1.0"
