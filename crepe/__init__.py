"""Crepe: the whole table of "Character-level Convolutional Networks for Text Classification" (Zhang et al., 2015)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crepe.alphabet import quantize
    from crepe.classifier import load

__version__ = "0.1.0"
__all__ = ["load", "quantize"]

_MODULES = {"load": "crepe.classifier", "quantize": "crepe.alphabet"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `crepe --help` needs none of it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
