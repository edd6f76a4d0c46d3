"""What can go wrong between us and a server, in words that say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class HeliowatchError(Exception):
    """Root of all errors of this package."""


class NoServerError(HeliowatchError):
    """Nobody said which server to ask."""

    def __init__(self) -> None:
        super().__init__(
            "which Heliowatch server? add heliowatch_fido.attrs.Server('http://…') to the search, call "
            "heliowatch_fido.configure('http://…'), or set the environment variable HELIOWATCH_SERVER"
        )


class UnreachableError(HeliowatchError):
    """The server does not answer, or not as a Heliowatch server does."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} does not answer as it should: {why}")


class RefusedError(HeliowatchError):
    """The server said no, and why.

    Attributes
    ----------
    status : int
        HTTP status.
    kind : str
        Last part of the problem's type, such as ``invalid-parameter``.
    detail : str
        The server's words.
    errors : list of dict
        Which parameters are wrong (``parameter``, ``detail``, ``allowed``).
    """

    def __init__(self, status: int, kind: str, detail: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        allowed = [f"{one['parameter']} may be: {one['allowed']}" for one in errors if one.get("allowed")]
        super().__init__("; ".join([f"{detail} ({status})", *allowed]))
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
