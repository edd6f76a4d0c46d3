"""Search attributes of Heliowatch; in sunpy they are ``a.heliowatch``."""

from __future__ import annotations

from sunpy.net.attr import Range, SimpleAttr

__all__ = ["Cause", "Product", "Quality", "Server", "Status"]


class Server(SimpleAttr):
    """Address of the server to ask, such as ``http://127.0.0.1:8000``."""


class Quality(Range):
    """Scores that are wanted.

    Parameters
    ----------
    min, max : float
        0 to 1, 1 is best; both included.
    """

    def __init__(self, min: float = 0.0, max: float = 1.0) -> None:
        if not 0 <= min <= max <= 1:
            raise ValueError(f"Quality({min}, {max}): scores lie between 0 and 1, min not above max")
        super().__init__(min, max)

    def collides(self, other: object) -> bool:
        """Whether both cannot hold at once."""
        return isinstance(other, Quality)


class Cause(SimpleAttr):
    """What spoils the frames that are wanted, such as ``cloud``."""


class Status(SimpleAttr):
    """Where the frames that are wanted stand; ``done`` when left out."""


class Product(SimpleAttr):
    """What is fetched of each frame; the ``original`` file when left out."""
