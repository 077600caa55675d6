"""The networks of table 4. Each kind is a module here, named in the configuration by its `kind`.

Such a module has `build(network, inputs)`, which makes a `crepe.models.base.Network`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crepe.config.catalog import Network as NetworkSettings
    from crepe.models.base import Inputs, Network


def build(settings: "NetworkSettings", inputs: "Inputs") -> "Network":
    """Make a network as its entry in the configuration says; its parameters are not set yet.

    Raises:
        CrepeError: the entry does not go with the inputs.
    """
    network: Network = import_module(f"{__name__}.{settings.kind}").build(settings, inputs)
    return network
