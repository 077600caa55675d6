"""Crepe: the whole table of "Character-level Convolutional Networks for Text Classification" (Zhang et al., 2015)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crepe.inference.classifier import load
    from crepe.text.alphabet import quantize

__version__ = "0.1.0"
__all__ = ["load", "quantize"]

_MODULES = {"load": "crepe.inference.classifier", "quantize": "crepe.text.alphabet"}


def __getattr__(name: str) -> Any:
    """Import a name's module when the name is first used: `crepe --help` needs none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
