"""UTC days in addresses and drawings."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime, time, timedelta

_FIRST_YEAR, _LAST_YEAR = 1601, 9997


def parse(word: str) -> dt.date | None:
    """The day that an address names; None where that makes no sense."""
    try:
        found = dt.date.fromisoformat(word)
    except ValueError:
        return None
    return found if _FIRST_YEAR <= found.year <= _LAST_YEAR else None


def start_of(day: dt.date) -> datetime:
    """First moment of a day."""
    return datetime.combine(day, time(), UTC)


def end_of(day: dt.date) -> datetime:
    """First moment of the next day."""
    return start_of(day) + timedelta(days=1)


def ticks(start: datetime, days: int) -> list[tuple[float, str]]:
    """Labels of a time axis with their places in percent of its width."""
    if days == 1:
        return [(100 * hour / 24, f"{hour:02d}") for hour in range(0, 24, 3)]
    step = 1 if days <= 7 else 5
    moments = [(place, start + timedelta(days=place)) for place in range(0, days, step)]
    return [(100 * (place + 0.5) / days, f"{moment.day} {moment:%b}") for place, moment in moments]
