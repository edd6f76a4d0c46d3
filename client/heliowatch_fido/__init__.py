"""Frames, quality and regions of a Heliowatch server for sunpy's Fido and for notebooks.

Importing this registers a client with Fido and the attributes ``a.heliowatch``.
"""

from heliowatch_fido import attrs
from heliowatch_fido.errors import HeliowatchError, NoServerError, RefusedError, UnreachableError
from heliowatch_fido.fido import HeliowatchClient
from heliowatch_fido.notebook import Client
from heliowatch_fido.server import configure
from heliowatch_fido.stream import Event

__all__ = [
    "Client",
    "Event",
    "HeliowatchClient",
    "HeliowatchError",
    "NoServerError",
    "RefusedError",
    "UnreachableError",
    "attrs",
    "configure",
]
__version__ = "0.1.0"
