"""Places for what costs much: no more at once than there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.problems import ProblemError

_RETRY_AFTER_S = 5
_WRITES_AT_ONCE = 8  # of the forty threads that all answers share, and of fifteen connections to SQLite
_TURN_PATIENCE_S = 3.0


class Slots:
    """Counts what is under way; for one event loop."""

    def __init__(self, what: str, setting: str) -> None:
        self._what, self._setting = what, setting
        self.taken = 0

    @contextmanager
    def slot(self, most: int) -> Iterator[None]:
        """Take a place while inside.

        Raises
        ------
        ProblemError
            503 when all are taken.
        """
        if self.taken >= most:
            raise ProblemError(
                503,
                "busy",
                f"{most} {self._what} are under way already; come again in a moment, or raise {self._setting}",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Turns:
    """Places for writes: they get a part of the threads, so that reading goes on while they wait."""

    def __init__(self, at_once: int = _WRITES_AT_ONCE, *, patience_s: float = _TURN_PATIENCE_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    async def take(self) -> None:
        """Wait for a place, and take it.

        Raises
        ------
        ProblemError
            503 when none becomes free soon.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            raise ProblemError(
                503,
                "busy",
                "other writes wait for the database; come again in a moment",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            ) from None

    def give_back(self) -> None:
        """Let the next one have the place."""
        self._free.release()
