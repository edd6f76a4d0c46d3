"""How long a client would wait: the ``Prefer`` header of RFC 7240."""

from __future__ import annotations

import re
from dataclasses import dataclass

from observatory.settings import CutoutSettings

_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_ASYNC = re.compile(r"respond-async", re.IGNORECASE)


@dataclass(frozen=True)
class Patience:
    """How long to wait, and what of the client's wish that is.

    Attributes
    ----------
    applied : str or None
        What to say as ``Preference-Applied``.
    """

    seconds: float
    applied: str | None = None


def patience(prefer: str | None, usual_s: float, bounds: CutoutSettings) -> Patience:
    """Read the header; what is not understood in it is passed over, as the standard wants.

    Parameters
    ----------
    usual_s : float
        Without any wish.
    """
    words = [word.strip() for word in (prefer or "").split(",")]
    wait = next((found for word in words if (found := _WAIT.fullmatch(word))), None)
    if wait is not None:
        seconds = min(float(wait[1]), bounds.most_patience_s)
        return Patience(seconds, f"wait={seconds:g}")
    if any(_ASYNC.fullmatch(word) for word in words):
        return Patience(0.0, "respond-async")
    return Patience(min(usual_s, bounds.most_patience_s))
