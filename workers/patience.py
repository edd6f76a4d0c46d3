"""Short writes that must not be given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from observatory.errors import TransientError

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_AWAIT_DATABASE_S = 1.0


def insist(write: Callable[[], _T]) -> _T:
    """Repeat a short write until the database takes it.

    A claim that could not be ended would be taken back by nobody: this worker lives. Whoever
    stops the worker meanwhile makes it silent, and the sweeper takes the claim back then.
    """
    while True:
        try:
            return write()
        except TransientError as error:
            log.warning("database_awaited", error=str(error))
            time.sleep(_AWAIT_DATABASE_S)
