"""Answers that cost much are kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Remembered(Generic[_Answer]):
    """The last answer of a question, kept twenty times as long as it took to find.

    A small database is so asked every time, and one of ten million frames that needs a second to
    count them is asked every twenty seconds.

    Parameters
    ----------
    share : float
        Of the time that may go into asking.
    """

    def __init__(self, ask: Callable[[], _Answer], share: float = 0.05) -> None:
        self._ask = ask
        self._share = share
        self._lock = threading.Lock()
        self._answer: _Answer | None = None
        self._good_until = 0.0

    def get(self) -> _Answer:
        """Return the answer, asked now or a moment ago."""
        with self._lock:
            started = time.monotonic()
            if self._answer is None or started >= self._good_until:
                self._answer = self._ask()
                ended = time.monotonic()
                self._good_until = ended + (ended - started) / self._share
            return self._answer
