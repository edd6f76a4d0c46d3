"""Times and spans as HAPI writes them: a small part of ISO 8601, always UTC.

HAPI data access specification 3.3, section 3.7.6: year, month and day or year and day of the year, any
part left out from the end, with or without the Z.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

LENGTH = 27
"""Of every time that we give: to the microsecond."""

LAST = datetime.max.replace(tzinfo=UTC)

_DATE = r"(?P<year>\d{4})(?:-(?:(?P<day_of_year>\d{3})|(?P<month>\d{2})(?:-(?P<day>\d{2}))?))?"
_CLOCK = r"(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{0,18}))?)?)?"
_TIME = re.compile(rf"{_DATE}(?:T{_CLOCK})?Z?", re.ASCII)


def parse_time(word: str) -> datetime:
    """Read a time, rounded up to the microsecond; what lies beyond the year 9999 becomes its end.

    Rounding up keeps both ends of a half-open range right, since our times are whole microseconds.

    Raises
    ------
    ValueError
        When it is none.
    """
    found = _TIME.fullmatch(word)
    if found is None or (found["hour"] is not None and not (found["day"] or found["day_of_year"])):
        raise ValueError("is no restricted ISO 8601 time")
    try:
        day = datetime(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1), tzinfo=UTC)
        offset = timedelta(days=_days(found["day_of_year"], day.year)) + _clock(found)
        return day + offset
    except OverflowError:
        return LAST


def _days(word: str | None, year: int) -> int:
    number = 1 if word is None else int(word)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= number <= 365 + is_leap:
        raise ValueError("is no day of that year")
    return number - 1


def _clock(found: re.Match[str]) -> timedelta:
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    digits = found["fraction"] or ""
    is_last = hour == 24 and minute == second == 0 and not digits.strip("0")
    is_leap = second == 60 and (hour, minute) == (23, 59)
    if not (is_last or (hour < 24 and minute < 60 and (second < 60 or is_leap))):
        raise ValueError("is no time of day")
    microseconds = -(-Fraction(int(digits or 0), 10 ** len(digits)) * 1_000_000 // 1)
    if is_leap:  # there is no such second here: all of it is the midnight that follows
        microseconds = 0
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(microseconds))


def write_time(moment: datetime) -> str:
    """Write a time, of one length always."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def write_span(seconds: float) -> str:
    """Write a span of time as an ISO 8601 duration in seconds."""
    return f"PT{round(seconds, 3):.3f}".rstrip("0").rstrip(".") + "S"
