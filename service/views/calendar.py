"""The page *Calendar*: a cell a day, with the share of the expected frames that can be used."""

from __future__ import annotations

import calendar
import datetime as dt
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from observatory import completeness
from observatory.ledger import Count
from observatory.storage import catalogue
from observatory.words import counted
from service import coverage
from service.context import Context, Here
from service.coverage import Span
from service.metrics import utc_now
from service.paging import base_of
from service.problems import ParameterError
from service.views import days
from service.views.assets import templates

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_MONTHS = 12
_DAY_S = 86_400.0
_FRAMES = 2_000_000
"""Frames that are read for one page; what lies before is shown when its months are asked for."""
_KEPT = 400
_GOOD_S = 600.0  # a month that has ended changes only where an archive is taken in
_GOOD_OPEN_S = 15.0
_STEPS = 5  # colours between nothing usable and all of it


@dataclass(frozen=True)
class Cell:
    """One day of one instrument.

    Attributes
    ----------
    share : float or None
        Usable frames among the expected ones, 0 to 1; None where none was expected.
    """

    day: dt.date
    count: Count
    share: float | None
    is_future: bool

    @property
    def step(self) -> str:
        """Class of its colour."""
        if self.is_future:
            return "future"
        if self.share is not None:
            return f"step-{min(int(self.share * _STEPS), _STEPS - 1)}"
        return "excused" if sum(self.count.excused.values()) else "extra" if self.count.frames else "quiet"

    @property
    def came(self) -> str:
        """How many frames came, short enough for a cell."""
        number = self.count.frames
        return f"{number} ×" if number < 1000 else f"{number / 1000:.0f}k ×"

    @property
    def words(self) -> str:
        """What it says in words."""
        if self.is_future:
            return "to come"
        excuses = ", ".join(
            f"{number} excused by {word}" for word, number in self.count.excused.items() if number
        )
        if self.share is None:
            came = (
                f"{counted(self.count.frames, 'frame')}, none expected"
                if self.count.frames
                else "nothing expected"
            )
            return ", ".join(filter(None, [came, excuses]))
        told = f"{self.count.usable} of {self.count.expected} expected frames usable, {self.count.missing} missing"
        return ", ".join(filter(None, [told, excuses]))


@dataclass(frozen=True)
class Month:
    """A month as a calendar shows it."""

    first: dt.date
    weeks: Sequence[Sequence[Cell | None]]
    """Weeks from Monday to Sunday; None before and after the month."""
    is_left_out: bool

    @property
    def usable(self) -> int:
        """Usable frames."""
        return sum(cell.count.usable for week in self.weeks for cell in week if cell)

    @property
    def expected(self) -> int:
        """Expected frames."""
        return sum(cell.count.expected for week in self.weeks for cell in week if cell)


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    name: str | None
    names: Sequence[str]
    last: dt.date
    months: Sequence[Month]
    previous: dt.date
    following: dt.date | None
    is_cut: bool
    """Whether months are left out for their many frames."""


class _Kept:
    """Months that were counted a while ago."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[int, str, dt.date], tuple[float, list[Count]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, str, dt.date]) -> list[Count] | None:
        """Counts of a month's days, unless they are too old."""
        with self._lock:
            until, counts = self._found.get(key, (0.0, []))
        return counts if time.monotonic() < until else None

    def put(self, key: tuple[int, str, dt.date], counts: list[Count], good_s: float) -> None:
        """Keep them, and forget the oldest."""
        with self._lock:
            self._found[key] = time.monotonic() + good_s, counts
            self._found.move_to_end(key)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)


_kept = _Kept()


@router.get("/calendar")
def page(request: Request, here: Here, instrument: str = "", month: str = "") -> Response:
    """The page. An address that makes no sense shows the first instrument and the newest twelve months."""
    shown = _page(here, instrument, month)
    base = base_of(request)

    def address(path: str = "/calendar", **changes: Any) -> str:
        state = {
            "instrument": shown.name,
            **({"month": f"{shown.last:%Y-%m}"} if path == "/calendar" else {}),
        }
        given = {name: value for name, value in (state | changes).items() if value is not None}
        return f"{base}{path}?{urlencode(given)}"

    values = {"base": base, "page": shown, "address": address}
    return templates.TemplateResponse(request, "calendar.html", values, headers=_FRESH)


def _page(here: Context, instrument: str, month: str) -> Page:
    now = utc_now()
    names = completeness.instruments(here.db, here.settings)
    name = instrument if instrument in names else next(iter(names), None)
    last = days.parse(f"{month}-01") or _last_of(here, name, now)
    firsts = [_months_before(last, back) for back in range(_MONTHS)]
    months: list[Month] = []
    left = _FRAMES
    for first in firsts:
        if name is None:
            break
        counts = _counts(here, name, first) if left > 0 else None
        left -= sum(count.frames for count in counts or [])
        months.append(_month(first, counts, now))
    following = _months_before(last, -1)
    return Page(
        now=now,
        name=name,
        names=names,
        last=last,
        months=months,
        previous=_months_before(last, _MONTHS),
        following=_months_before(last, -_MONTHS) if following <= now.date() else None,
        is_cut=any(one.is_left_out for one in months),
    )


def _last_of(here: Context, name: str | None, now: datetime) -> dt.date:
    """The month of now, or of the newest frame where that is a year old and more, as in an archive."""
    this = now.date().replace(day=1)
    newest = catalogue.newest_moments(here.db, [name], now).get(name) if name is not None else None
    if newest is None or newest.date() >= _months_before(this, _MONTHS - 1):
        return this
    return newest.date().replace(day=1)


def _months_before(first: dt.date, back: int) -> dt.date:
    place = min(max(first.year * 12 + first.month - 1 - back, 1601 * 12), 9997 * 12 + 11)
    return dt.date(place // 12, place % 12 + 1, 1)


def _counts(here: Context, name: str, first: dt.date) -> list[Count] | None:
    """Counts of a month's days; None when it holds more frames than a request may read."""
    key = (id(here), name, first)
    kept = _kept.get(key)
    if kept is not None:
        return kept
    span = Span(days.start_of(first), days.start_of(_months_before(first, -1)))
    try:
        ((_, written),) = coverage.ledgers(here, span, name, _DAY_S)
    except ParameterError:
        return None
    counts = list(written.bins)
    is_over = span.end < utc_now() - timedelta(days=1)
    _kept.put(key, counts, _GOOD_S if is_over else _GOOD_OPEN_S)
    return counts


def _month(first: dt.date, counts: Sequence[Count] | None, now: datetime) -> Month:
    by_day = {count.start.date(): count for count in counts or []}
    weeks: list[list[Cell | None]] = []
    for week in calendar.Calendar().monthdatescalendar(first.year, first.month):
        weeks.append(
            [
                _cell(day, by_day[day], now) if day.month == first.month and day in by_day else None
                for day in week
            ]
        )
    return Month(first, weeks, counts is None)


def _cell(day: dt.date, count: Count, now: datetime) -> Cell:
    is_future = days.start_of(day) > now
    return Cell(day, count, count.share(count.usable), is_future)
