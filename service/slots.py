"""Places for what costs much: no more at once than there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.problems import ProblemError

_RETRY_AFTER_S = 5


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
