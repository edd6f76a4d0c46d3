"""Spans of time as the command line takes them: START/END."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from observatory.errors import SettingsError


@dataclass(frozen=True)
class Span:
    """From ``start`` on, before ``end``; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def parse(cls, word: str) -> Span:
        """Read ``START/END`` in ISO 8601; ``..`` leaves a side open.

        Raises
        ------
        SettingsError
            When it is not that, or ends before it starts.
        """
        first, slash, second = word.partition("/")
        if not slash:
            raise SettingsError(_SAID.format(word))
        span = cls(_moment(first, word), _moment(second, word))
        if span.start is not None and span.end is not None and span.end <= span.start:
            raise SettingsError(f"--time {word}: the end is not after the start")
        return span

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)

    def __str__(self) -> str:
        return "/".join(
            ".." if side is None else f"{to_the_second(side, 'T')}Z" for side in (self.start, self.end)
        )


_SAID = "--time {!r}: write START/END, such as 2026-11-20T10:00Z/2026-11-20T12:00Z; .. leaves a side open"


def _moment(side: str, word: str) -> datetime | None:
    side = side.strip()
    if side in ("", ".."):
        return None
    try:
        moment = datetime.fromisoformat(side)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # beyond the calendar in UTC
        raise SettingsError(_SAID.format(word)) from error


def to_the_minute(moment: datetime) -> str:
    """Date and time, UTC; `strftime` would write the year 1 without its zeros."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "minutes")


def to_the_second(moment: datetime, between: str = " ") -> str:
    """Date and time, UTC, without fractions of a second."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(between, "seconds")
