"""The page *Coverage*: what was to be expected of each instrument, and what became of it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from observatory import completeness
from observatory.ledger import Count, Gap, Ledger, total_of
from observatory.observing import EXCUSES, Habit, State
from observatory.storage import catalogue
from service import coverage
from service.context import Context, Here
from service.coverage import Span
from service.metrics import utc_now
from service.paging import base_of
from service.problems import ParameterError
from service.views import days as day_words
from service.views.assets import templates

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_SPANS = {"1d": (1, 600.0, "Day"), "7d": (7, 3600.0, "Week"), "30d": (30, 14_400.0, "Month")}
_LISTED = 12  # gaps of one instrument, of all that the page shows
_LISTED_ALONE = 200
_HEIGHT = 100
_LEAST_FRAMES = 3  # in a column of the drawing


@dataclass(frozen=True)
class Card:
    """One instrument's ledger, drawn."""

    name: str
    ledger: Ledger
    paths: Sequence[tuple[str, str]]
    """Class and SVG path data of a drawing that is as many units wide as there are bins, and 100 high."""
    bins: int
    gaps: Sequence[Gap]
    more: int
    """Missing gaps that are not listed."""
    lacks_site: bool
    """Whether it observes by day or by night, and nobody said where it stands."""

    @property
    def total(self) -> Count:
        """All of the span."""
        return self.ledger.total

    @property
    def excuses(self) -> list[tuple[str, int]]:
        """Reasons with the frames that each excuses."""
        return [(word, number) for word, number in self.total.excused.items() if number]

    @property
    def doubles(self) -> int:
        """Frames beside another one of the same moment; unknown without a cadence.

        Those that know no time stand where they came in, many at once where they were copied: none of them counts.
        """
        if self.ledger.cadence_s is None:
            return 0
        total = self.total
        return max(0, total.frames - total.received - total.extra + total.frozen - self.ledger.undated)


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    start: datetime
    end: datetime
    last_day: dt.date
    span: str
    instrument: str | None
    names: Sequence[str]
    cards: Sequence[Card]
    idle: Sequence[str]
    """Instruments of which nothing was expected and nothing came."""
    unawaited: Sequence[str]
    """Those of them that never sent a frame, and whose cadence the settings do not tell."""
    refusal: str | None
    ticks: Sequence[tuple[float, str]]

    @property
    def previous(self) -> dt.date:
        """The day to show for what lies before."""
        return self.last_day - timedelta(days=self.days)

    @property
    def following(self) -> dt.date | None:
        """The day to show for what lies after; None at the end."""
        return None if self.end > self.now else self.last_day + timedelta(days=self.days)

    @property
    def days(self) -> int:
        """Length of the span."""
        return _SPANS[self.span][0]


@router.get("/coverage")
def page(request: Request, here: Here, day: str = "", span: str = "", instrument: str = "") -> Response:
    """The page. An address that makes no sense shows today instead of an error."""
    shown = _page(here, day, span, instrument)
    base = base_of(request)

    def address(**changes: Any) -> str:
        state = {"day": shown.last_day, "span": shown.span, "instrument": shown.instrument} | changes
        given = {name: value for name, value in state.items() if value is not None}
        return f"{base}/coverage?{urlencode(given)}"

    values = {"base": base, "page": shown, "address": address, "spans": _SPANS}
    return templates.TemplateResponse(request, "coverage.html", values, headers=_FRESH)


def _page(here: Context, day: str, span: str, instrument: str) -> Page:
    chosen = span if span in _SPANS else "1d"
    days, bin_s, _ = _SPANS[chosen]
    now = utc_now()
    last = day_words.parse(day) or now.date()
    end = day_words.end_of(last)
    wanted = Span(end - timedelta(days=days), end)
    names = completeness.instruments(here.db, here.settings)
    name = instrument if instrument in names else None
    found: list[tuple[str, Ledger]] = []
    refusal = None
    try:
        found += coverage.ledgers(here, wanted, name, bin_s)
    except ParameterError:
        refusal = (
            f"These {days} days hold too many frames for one page: choose one instrument, or a shorter time."
        )
    seen = {one for one, _ in catalogue.instruments_seen(here.db)}
    is_idle = {one: not (written.total.expected or written.total.frames) for one, written in found}
    idle = [one for one, is_so in is_idle.items() if is_so]
    return Page(
        now=now,
        start=wanted.start,
        end=wanted.end,
        last_day=last,
        span=chosen,
        instrument=name,
        names=names,
        cards=[
            _card(here, one, written, is_alone=name is not None) for one, written in found if not is_idle[one]
        ],
        idle=idle,
        unawaited=[one for one in idle if one not in seen and here.settings.plan(one).cadence_s is None],
        refusal=refusal,
        ticks=day_words.ticks(wanted.start, days),
    )


def _card(here: Context, name: str, written: Ledger, *, is_alone: bool) -> Card:
    most = _LISTED_ALONE if is_alone else _LISTED
    missing = written.gaps.select([State.EXPECTED])
    listed = written.gaps.of(missing[-most:][::-1])
    if is_alone:
        listed += written.gaps.of(written.gaps.select(EXCUSES)[-most:][::-1])
        listed.sort(key=lambda gap: gap.start, reverse=True)
    more = max(0, len(missing) - most)
    columns = _wide_enough(written.bins, written.cadence_s)
    observing = here.settings.plan(name).observing
    lacks_site = observing.site is None and observing.habit is not Habit.ALWAYS
    return Card(name, written, _paths(columns), len(columns), listed, more, lacks_site)


def _wide_enough(bins: Sequence[Count], cadence_s: float | None) -> Sequence[Count]:
    """Bins put together until each holds some frames of a slow camera."""
    width_s = (bins[0].end - bins[0].start).total_seconds()
    together = min(max(1, math.ceil(_LEAST_FRAMES * (cadence_s or 0.0) / width_s)), len(bins))
    while len(bins) % together:  # so that every column is as wide as the others
        together += 1
    return [total_of(bins[place : place + together]) for place in range(0, len(bins), together)]


def _paths(bins: Sequence[Count]) -> list[tuple[str, str]]:
    """Columns, one a bin: usable from below, then what came without being usable, then what is missing."""
    runs: list[tuple[int, int, list[tuple[str, float]]]] = []
    for place, count in enumerate(bins):
        parts = _parts(count)
        if runs and runs[-1][2] == parts:
            runs[-1] = (runs[-1][0], place + 1, parts)
        else:
            runs.append((place, place + 1, parts))
    drawn: dict[str, list[str]] = {}
    for first, end, parts in runs:
        floor = float(_HEIGHT)
        for kind, share in parts:
            height = round(_HEIGHT * share, 1)
            top = round(floor - height, 1)
            drawn.setdefault(kind, []).append(f"M{first} {top:g}h{end - first}v{height:g}H{first}z")
            floor = top
    return [(kind, "".join(pieces)) for kind, pieces in drawn.items()]


def _parts(count: Count) -> list[tuple[str, float]]:
    """Kinds of slots of a bin with their shares of it, from below."""
    excused = sum(count.excused.values())
    numbers = {
        "usable": count.usable,
        "waiting": count.waiting,
        "unusable": count.unusable + count.frozen,
        "missing": count.missing,
        "extra": count.extra,
        "excused": excused,
    }
    whole = sum(numbers.values())
    return [(kind, number / whole) for kind, number in numbers.items() if number] if whole else []
