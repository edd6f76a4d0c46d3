"""Spans of time in every form that sunpy's users write them, as the server takes them."""

from __future__ import annotations

from typing import Any

import astropy.units as u
from astropy.time import Time
from sunpy.time import TimeRange, parse_time

_LEAST = 1 * u.us  # the server's clock ticks in microseconds


def moment(value: Any) -> str:
    """A time as ISO 8601 in UTC."""
    utc = Time(parse_time(value).utc, format="isot", precision=6)
    return f"{utc.isot}Z"


def span(time: Any) -> str | None:
    """``START/END`` for the server, END not included.

    Parameters
    ----------
    time : str, TimeRange, pair, or None
        ``"2026-06-01/2026-06-02"`` (``..`` leaves a side open), a `sunpy.time.TimeRange`, something with
        ``start`` and ``end`` (such as ``a.Time``), or a pair of times of any kind, None for an open side.
    """
    if time is None:
        return None
    if isinstance(time, str):
        first, slash, second = time.partition("/")
        if not slash:
            raise ValueError(
                f"time={time!r}: write START/END, such as 2026-06-01/2026-06-02; .. leaves a side open"
            )
        sides: tuple[Any, Any] = (first.strip(), second.strip())
    elif isinstance(time, TimeRange) or (hasattr(time, "start") and hasattr(time, "end")):
        sides = (time.start, time.end)
    else:
        first, second = time
        sides = (first, second)
    return "/".join(".." if _is_open(side) else moment(side) for side in sides)


def _is_open(side: Any) -> bool:
    return side is None or (isinstance(side, str) and side in ("", ".."))


def closed_span(start: Time, end: Time) -> str:
    """``START/END`` with END included, as sunpy means it."""
    return f"{moment(start)}/{moment(end + _LEAST)}"
