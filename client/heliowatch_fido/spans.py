"""Spans of time in every form that sunpy's users write them, as the server takes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import astropy.units as u
from astropy.time import Time
from sunpy.time import TimeRange, parse_time

_LEAST = 1 * u.us  # the server's clock ticks in microseconds
_SAID = "time={!r}: write START/END, such as 2026-06-01/2026-06-02; .. leaves a side open"


def moment(value: Any) -> str:
    """A time as ISO 8601 in UTC.

    Raises
    ------
    ValueError
        When it is none.
    """
    try:
        utc = Time(parse_time(_with_offset(value) or value).utc, format="isot", precision=6)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{value!r} is no time: write it in ISO 8601, such as 2026-06-01T08:00Z or 2026-06-01T10:00+02:00"
        ) from error
    return f"{utc.isot}Z"


def _with_offset(value: Any) -> datetime | None:
    """A text with an offset from UTC, which astropy does not read; None for anything else."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return None if found.tzinfo is None else found


def span(time: Any) -> str | None:
    """``START/END`` for the server, END not included.

    Parameters
    ----------
    time : str, TimeRange, pair, or None
        ``"2026-06-01/2026-06-02"`` (``..`` leaves a side open), a `sunpy.time.TimeRange`, something with
        ``start`` and ``end`` (such as ``a.Time``), or a pair of times of any kind, None for an open side.

    Raises
    ------
    ValueError
        When it is none of these, or a side is no time.
    """
    if time is None:
        return None
    if isinstance(time, str):
        first, slash, second = time.partition("/")
        if not slash:
            raise ValueError(_SAID.format(time))
        sides: tuple[Any, Any] = (first.strip(), second.strip())
    elif isinstance(time, TimeRange) or (hasattr(time, "start") and hasattr(time, "end")):
        sides = (time.start, time.end)
    else:
        try:
            first, second = time
        except (TypeError, ValueError) as error:
            raise ValueError(_SAID.format(time)) from error
        sides = (first, second)
    return "/".join(".." if _is_open(side) else moment(side) for side in sides)


def _is_open(side: Any) -> bool:
    return side is None or (isinstance(side, str) and side in ("", ".."))


def closed_span(start: Time, end: Time) -> str:
    """``START/END`` with END included, as sunpy means it."""
    return f"{moment(start)}/{moment(end + _LEAST)}"
