"""The page *Instrument*: how good its frames were, what spoilt them, and where their time went."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from observatory.storage import catalogue, events, instrument_facts
from observatory.storage.instrument_facts import STEPS, Stage
from observatory.words import counted
from service.context import Context, Here
from service.metrics import utc_now
from service.paging import base_of
from service.problems import NotFoundError
from service.views import days
from service.views.assets import templates
from service.views.now import Tile, tile
from service.views.words import good_word

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_SPANS = {"1d": (1, 900, "Day"), "7d": (7, 7200, "Week"), "30d": (30, 28_800, "Month")}
_SINGLE = 1500
"""Points that are drawn one by one; more are drawn in bins."""
_WIDTH, _HEIGHT = 1000, 200


@dataclass(frozen=True)
class Point:
    """One frame in the timeline."""

    id: int
    x: float
    y: float
    is_degraded: bool
    words: str


@dataclass(frozen=True)
class Bin:
    """Many frames in the timeline."""

    x: float
    width: float
    top: float
    bottom: float
    mean: float
    words: str
    day: dt.date


@dataclass(frozen=True)
class Bar:
    """A line or column of a drawing: what it stands for, and how long it is beside the longest."""

    name: str
    number: int
    share: float
    bad_share: float = 0.0


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    seq: int
    name: str
    names: Sequence[str]
    tile: Tile
    span: str
    last_day: dt.date
    start: datetime
    end: datetime
    previous: dt.date
    following: dt.date | None
    points: Sequence[Point]
    bins: Sequence[Bin]
    judged: int
    degraded: int
    undated: int
    """Judged frames that tell no time, so that they have no place in the drawing."""
    scores: Sequence[Bar]
    causes: Sequence[Bar]
    stages: Sequence[Stage]
    ticks: Sequence[tuple[float, str]]

    @property
    def good_word(self) -> str:
        """What a frame that is not degraded is called."""
        return good_word(self.tile.newest)


@router.get("/instrument/{name:path}")
def page(request: Request, here: Here, name: str, day: str = "", span: str = "") -> Response:
    """The page of one instrument; without a day, its newest."""
    base = base_of(request)
    shown = _page(here, name, days.parse(day), span if span in _SPANS else "1d", base)

    def address(path: str | None = None, **changes: Any) -> str:
        if path is not None:
            return f"{base}{path}{'?' + urlencode(changes) if changes else ''}"
        state = {"day": shown.last_day, "span": shown.span} | changes
        return f"{base}/instrument/{quote(name)}?{urlencode(state)}"

    values = {"base": base, "page": shown, "address": address, "spans": _SPANS}
    return templates.TemplateResponse(request, "instrument.html", values, headers=_FRESH)


def _page(here: Context, name: str, day: dt.date | None, span: str, base: str) -> Page:
    seq = events.last_seq(here.db)
    names = sorted({one for one, _ in catalogue.instruments_seen(here.db)} | here.settings.instruments.keys())
    if name not in names:
        raise NotFoundError("instrument of that name")
    length, bin_s, _ = _SPANS[span]
    last = day or _newest_day(here, name) or utc_now().date()
    end = days.end_of(last)
    start = end - timedelta(days=length)
    shown = tile(here, name, base)
    points, bins = _timeline(here, name, start, end, bin_s, good_word(shown.newest))
    steps = instrument_facts.histogram(here.db, name, start, end)
    tallest = max((step.frames for step in steps), default=0) or 1
    named = instrument_facts.cause_counts(here.db, name, start, end)
    judged = sum(step.frames for step in steps)
    return Page(
        now=utc_now(),
        seq=seq,
        name=name,
        names=names,
        tile=shown,
        span=span,
        last_day=last,
        start=start,
        end=end,
        previous=last - timedelta(days=length),
        following=last + timedelta(days=length) if end <= utc_now() else None,
        points=points,
        bins=bins,
        judged=judged,
        degraded=sum(step.degraded for step in steps),
        undated=sum(step.undated for step in steps),
        scores=[
            Bar(
                f"{place / STEPS:.2f}",
                step.frames,
                step.frames / tallest,
                step.degraded / step.frames if step.frames else 0.0,
            )
            for place, step in enumerate(steps)
        ],
        causes=[Bar(cause, number, number / judged if judged else 0.0) for cause, number in named],
        stages=instrument_facts.stages(here.db, name, start, end),
        ticks=days.ticks(start, length),
    )


def _newest_day(here: Context, name: str) -> dt.date | None:
    found = catalogue.newest(here.db, name, limit=1)
    return found[0]["moment"].astimezone(UTC).date() if found else None


def _timeline(
    here: Context, name: str, start: datetime, end: datetime, bin_s: int, good: str
) -> tuple[list[Point], list[Bin]]:
    """Frames one by one as long as they are few, else the best, worst and mean of bins."""
    single = catalogue.quality_series(here.db, name, start, end, bin_s=None, limit=_SINGLE + 1)
    if len(single) <= _SINGLE:
        return [_point(row, start, end, good) for row in single], []
    most = int((end - start).total_seconds()) // bin_s + 1
    binned = catalogue.quality_series(here.db, name, start, end, bin_s=bin_s, limit=most)
    return [], [_bin(row, start, end, bin_s) for row in binned]


def _point(row: Mapping[str, Any], start: datetime, end: datetime, good: str) -> Point:
    word = "degraded" if row["is_degraded"] else good
    told = f"{row['time'].astimezone(UTC):%Y-%m-%d %H:%M:%S} {word} {row['score']:.2f}"
    return Point(row["id"], _x(row["time"], start, end), _y(row["score"]), bool(row["is_degraded"]), told)


def _bin(row: Mapping[str, Any], start: datetime, end: datetime, bin_s: int) -> Bin:
    since = datetime.fromtimestamp(row["start"], UTC)
    left = max(0.0, _x(since, start, end))
    right = min(float(_WIDTH), _x(since + timedelta(seconds=bin_s), start, end))
    told = (
        f"from {since:%Y-%m-%d %H:%M}: {counted(row['frames'], 'frame')}, {row['degraded']} degraded, "
        f"scores {row['score_min']:.2f} to {row['score_max']:.2f}, mean {row['score']:.2f}"
    )
    top, bottom, mean = (_y(row[name]) for name in ("score_max", "score_min", "score"))
    return Bin(left, round(right - left, 1), top, bottom, mean, told, since.date())


def _x(moment: datetime, start: datetime, end: datetime) -> float:
    return round(_WIDTH * (moment - start) / (end - start), 1)


def _y(score: float) -> float:
    return round(_HEIGHT * (1 - score), 1)
