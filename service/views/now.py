"""What the page *Now* shows, found in the database: tiles, a day, one frame, refusals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from observatory.cadence import SHORTEST_LEARNED_S
from observatory.observing import Habit, State, timeline
from observatory.storage import catalogue, coverage, events, frames, products, results, workers
from observatory.storage.coverage import Closure
from observatory.storage.frames import Priority, Status
from service.context import Context
from service.metrics import utc_now
from service.shapes import frames_as_json
from service.views.corona import Areas, CompositeTile, Overlay, areas, composite_tile, overlay
from service.views.enhanced import Enhanced, enhanced
from service.views.firing import Firing, firing
from service.views.words import good_word

_STRIP = 10
_LISTED = 60
_REFUSALS = 5
_LATE = 3.0  # cadences without a frame after which a camera counts as late
_PLOTTED = 5000
_PATIENCE_S = 10.0
_JITTER_S = 60.0  # a clock that nothing keeps right is worth no word yet
_SKETCHED = 300
_FEW = 3  # steps between frames that tell a cadence
_MOMENT = timedelta(seconds=1)
_INSTANT = timedelta(microseconds=1)
_CALENDAR_ENDS = datetime.max.replace(tzinfo=UTC)

Frame = dict[str, Any]


@dataclass(frozen=True)
class Wait:
    """How long a frame has been waiting, and for what."""

    seconds: float
    is_in_work: bool
    before: int
    """Frames of its pipeline that go first: older ones, and live ones before an archive's."""
    is_worker_alive: bool


@dataclass(frozen=True)
class Tile:
    """One instrument at a glance."""

    name: str
    newest: Frame | None
    strip: Sequence[Frame]
    seen_at: datetime | None
    """When the newest was observed, as it says; at the latest when it came, for its clock may be ahead of ours."""
    age_s: float | None
    ahead_s: float
    """By how much the newest is dated after it came; nothing where that is only a moment."""
    cadence_s: float | None
    is_cadence_stated: bool
    """Whether the settings say the cadence; else it is told by the last frames."""
    wait: Wait | None
    """Of the newest arrival, when it is not finished yet and not only for a moment."""
    rests: str | None
    """Why nothing is expected of it now: it is switched off, and not lost."""

    @property
    def is_late(self) -> bool:
        """Whether frames should have come since."""
        known = self.cadence_s if self.is_cadence_stated and self.rests is None else None
        return bool(known and self.age_s is not None and self.age_s > _LATE * known)

    @property
    def is_owed(self) -> bool:
        """Whether frames should have come, though not one ever did."""
        return self.newest is None and self.is_cadence_stated and self.rests is None

    @property
    def degraded(self) -> int:
        """How many of the strip are degraded."""
        return sum(1 for frame in self.strip if frame["quality"] and frame["quality"]["is_degraded"])

    @property
    def judged(self) -> int:
        """How many of the strip were judged at all."""
        return sum(1 for frame in self.strip if frame["quality"])


@dataclass(frozen=True)
class Day:
    """One instrument's frames of one UTC day."""

    instrument: str
    date: dt.date
    listed: Sequence[Frame]
    is_more: bool
    points: Mapping[str, Sequence[Any]]
    previous: dt.date | None
    following: dt.date | None
    is_pinned: bool
    areas: Areas | None

    @property
    def good_word(self) -> str:
        """What a frame that is not degraded is called."""
        return good_word(self.listed[0] if self.listed else None)

    @property
    def has_undated(self) -> bool:
        """Whether frames were judged that tell no time, and so have no place in the drawing."""
        return any(frame["quality"] and frame["date_obs"] is None for frame in self.listed)

    @property
    def sketch(self) -> list[dict[str, Any]]:
        """Points of the plain drawing for browsers without JavaScript, thinned to some hundred."""
        step = len(self.points["id"]) // _SKETCHED + 1
        first, verdicts = self.start.timestamp(), (self.good_word, "degraded")
        return [
            {
                "x": round(40 + 936 * (t - first) / 86400, 1),
                "y": round(180 - 160 * score, 1),
                "is_degraded": bool(bad),
                "id": frame_id,
                "word": f"{datetime.fromtimestamp(t, UTC):%H:%M:%S} {verdicts[bool(bad)]} {score:.2f}",
            }
            for t, score, bad, frame_id in list(
                zip(*(self.points[name] for name in ("t", "score", "bad", "id")), strict=True)
            )[::step]
        ]

    @property
    def start(self) -> datetime:
        """First moment."""
        return _start(self.date)

    @property
    def end(self) -> datetime:
        """First moment of the next day."""
        return _end(self.date)


@dataclass(frozen=True)
class Selected:
    """The frame that is looked at, with what was found in it."""

    frame: Frame
    result: Mapping[str, Any] | None
    width: int | None
    height: int | None
    is_pinned: bool
    overlay: Overlay | None
    not_looked: str | None
    """Why no regions were looked for, where they might have been."""
    enhanced: Enhanced | None


@dataclass(frozen=True)
class Now:
    """The whole page."""

    seq: int
    now: datetime
    firing: Firing
    tiles: Sequence[Tile]
    instrument: str | None
    """Whose frames are shown, or would be if it had any."""
    day: Day | None
    selected: Selected | None
    refusals: Sequence[Frame]
    composite: CompositeTile | None


@dataclass(frozen=True)
class Wish:
    """What the address asks for."""

    instrument: str | None = None
    day: dt.date | None = None
    frame_id: int | None = None
    outlines: frozenset[str] | None = None
    """Types of events whose outlines are switched on; None means all."""


def whole(here: Context, wish: Wish, base: str) -> Now:
    """Gather the page. The event number comes first, so that nothing after it is missed."""
    seq = events.last_seq(here.db)
    all_tiles = tiles(here, base)
    chosen = None if wish.frame_id is None else catalogue.get(here.db, wish.frame_id)
    shown = None
    instrument = chosen["instrument"] if chosen else _instrument(wish, all_tiles)
    if instrument is not None:
        on = _day_of(chosen) if chosen else wish.day
        shown = day(here, instrument, on, base)
    if chosen is None and shown is not None:
        chosen = _newest_of(here, shown)
    picked = None if chosen is None else selected(here, chosen, base, wish)
    composite = composite_tile(here, base)
    refused = refusals(here, base)
    return Now(seq, utc_now(), firing(here), all_tiles, instrument, shown, picked, refused, composite)


def _instrument(wish: Wish, all_tiles: Sequence[Tile]) -> str | None:
    """The one asked for, else the one whose newest frame is newest and judged, else any."""
    names = [tile.name for tile in all_tiles]
    if wish.instrument in names:
        return wish.instrument
    alive = [tile for tile in all_tiles if tile.newest is not None]
    best = max(alive, key=lambda tile: (tile.judged > 0, tile.newest["received_at"]), default=None)  # type: ignore[index]
    return best.name if best else None


def tiles(here: Context, base: str) -> list[Tile]:
    """All instruments: those with frames, and those that ought to have some."""
    names = {name for name, _ in catalogue.instruments_seen(here.db)} | here.settings.instruments.keys()
    return _tiles(here, sorted(names), base)


def tile(here: Context, name: str, base: str) -> Tile:
    """One instrument."""
    (only,) = _tiles(here, [name], base)
    return only


def _tiles(here: Context, names: Sequence[str], base: str) -> list[Tile]:
    """Tiles of instruments; what is asked of single frames is asked once for all of them."""
    arrived = {name: catalogue.newest(here.db, name, limit=1) for name in names}
    done = {name: catalogue.newest(here.db, name, limit=_STRIP, status=Status.DONE) for name in names}
    rows = [row for name in names for row in done[name] or arrived[name]]
    shaped = {frame["id"]: frame for frame in frames_as_json(here.db, rows, base)}
    waits = _waits(here, [row for rows in arrived.values() for row in rows])
    now = utc_now()
    closures = coverage.closed(here.db, start=now, end=now + _MOMENT)
    found = []
    for name in names:
        strip = [shaped[row["id"]] for row in done[name]]
        newest = next((shaped[row["id"]] for row in done[name] or arrived[name]), None)
        seen_at, ahead_s = (None, 0.0) if newest is None else _seen(newest)
        station = here.settings.instruments.get(name)
        found.append(
            Tile(
                name=name,
                newest=newest,
                strip=strip[::-1],
                seen_at=seen_at,
                age_s=None if seen_at is None else (utc_now() - seen_at).total_seconds(),
                ahead_s=ahead_s,
                cadence_s=station.cadence_s if station and station.cadence_s else _cadence_s(done[name]),
                is_cadence_stated=bool(station and station.cadence_s),
                wait=next((waits[row["id"]] for row in arrived[name] if row["id"] in waits), None),
                rests=_rest(here, name, [one for one in closures if one.instrument in (name, None)], now),
            )
        )
    return found


def _seen(frame: Frame) -> tuple[datetime, float]:
    """When a frame was observed, at the latest when it came, and how many seconds after that it is dated."""
    said, came = frame["date_obs"] or frame["received_at"], frame["received_at"]
    ahead_s = (said - came).total_seconds()
    return min(said, came), ahead_s if ahead_s > _JITTER_S else 0.0


def _cadence_s(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Usual time between an instrument's last frames; None where they are few, have no times, or those of copying."""
    times = sorted({row["date_obs"] for row in rows if row["date_obs"] is not None})
    steps = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
    usual = median(steps) if len(steps) >= _FEW else 0.0
    return usual if usual >= SHORTEST_LEARNED_S else None


def _rest(here: Context, name: str, closures: Sequence[Closure], now: datetime) -> str | None:
    """Why no frames are expected of an instrument now, in words."""
    plan = here.settings.plan(name).with_closures(one.as_window for one in closures)
    if plan.since is not None and now < plan.since:
        return f"expected from {plan.since:%Y-%m-%d} on"
    since = now.timestamp()
    state = timeline(plan, since, since + _MOMENT.total_seconds()).state_at(since)
    if state is State.EXPECTED:
        return None
    if state is State.NIGHT and plan.observing.habit is Habit.NIGHT:
        return "by day it rests"
    reason = next((one.reason for one in closures if one.reason), None) if state is State.WEATHER else None
    words = {
        State.NIGHT: "night",
        State.ECLIPSE: "in the Earth's shadow",
        State.MAINTENANCE: "switched off: maintenance",
        State.WEATHER: f"closed: {reason or 'weather'}",
    }
    return words[state]


def _waits(here: Context, rows: Sequence[Mapping[str, Any]]) -> dict[int, Wait]:
    """What frames wait for, by number, of those that have been waiting for more than a moment."""
    now = utc_now()
    seconds = {
        row["id"]: (now - row["received_at"]).total_seconds()
        for row in rows
        if row["status"] in (Status.RECEIVED, Status.PROCESSING)
    }
    slow = [row for row in rows if seconds.get(row["id"], 0.0) > _PATIENCE_S]
    if not slow:
        return {}
    backlogs = frames.waiting(here.db)
    alive = workers.alive(here.db, now, here.settings.service.worker_silence_s)
    is_worker_alive = any(item["role"] == "worker" for item in alive)

    def before(row: Mapping[str, Any]) -> int:
        first = (Priority.LIVE, row["priority"])
        queued = (item.count for item in backlogs if item.family == row["family"] and item.priority in first)
        return max(0, sum(queued) - 1)

    return {
        row["id"]: Wait(
            seconds=seconds[row["id"]],
            is_in_work=row["status"] == Status.PROCESSING,
            before=before(row),
            is_worker_alive=is_worker_alive,
        )
        for row in slow
    }


def day(here: Context, instrument: str, on: dt.date | None, base: str) -> Day | None:
    """One day of an instrument; without a day, today, or the newest day that has frames."""
    newest = catalogue.newest(here.db, instrument, limit=1)
    if not newest and on is None:
        return None
    shown = on or _day_of(newest[0])
    start, end = _start(shown), _end(shown)
    rows = catalogue.newest(here.db, instrument, limit=_LISTED + 1, since=start, until=end)
    series = catalogue.newest_scores(here.db, instrument, start, end, limit=_PLOTTED)
    before = catalogue.newest(here.db, instrument, limit=1, until=start)
    after = coverage.first_after(here.db, instrument, end - _INSTANT, _CALENDAR_ENDS)
    return Day(
        instrument=instrument,
        date=shown,
        listed=frames_as_json(here.db, rows[:_LISTED], base),
        is_more=len(rows) > _LISTED,
        points=_points(series),
        previous=_day_of(before[0]) if before else None,
        following=None if after is None else after.astimezone(UTC).date(),
        is_pinned=on is not None,
        areas=areas(here, instrument, start, end),
    )


def _points(series: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {
        "t": [round(row["stands"].timestamp(), 3) for row in series],
        "score": [round(row["score"], 4) for row in series],
        "bad": [int(row["is_degraded"]) for row in series],
        "id": [row["id"] for row in series],
    }


def _start(on: dt.date) -> datetime:
    return datetime.combine(on, time(), UTC)


def _end(on: dt.date) -> datetime:
    """First moment of the next day; the calendar's last day, which a broken header may name, has none."""
    return _CALENDAR_ENDS if on == _CALENDAR_ENDS.date() else _start(on) + timedelta(days=1)


def _day_of(row: Mapping[str, Any]) -> dt.date:
    """The day that a frame was observed on, at the latest the one on which it came."""
    return min(row["moment"], row["received_at"]).astimezone(UTC).date()


def _newest_of(here: Context, shown: Day) -> dict[str, Any] | None:
    done = [frame for frame in shown.listed if frame["status"] == Status.DONE] or list(shown.listed)
    return catalogue.get(here.db, done[0]["id"]) if done else None


def selected(here: Context, row: Mapping[str, Any], base: str, wish: Wish) -> Selected:
    """One frame with its newest quality result, its picture's size and what lies over it."""
    found = results.of_frame(here.db, row["id"])
    made = next((item for item in found if item["analysis"] == "quality"), None)
    skipped = (item["payload"].get("skipped") for item in found if item["analysis"] == "segmentation")
    pictures = products.of_frame(here.db, row["id"])
    preview = next((item for item in pictures if item["kind"] == "preview"), None)
    width, height = (preview["width"], preview["height"]) if preview else (None, None)
    return Selected(
        frame=frames_as_json(here.db, [row], base)[0],
        result=made,
        width=width,
        height=height,
        is_pinned=wish.frame_id is not None,
        overlay=overlay(here, row["id"], width, height, wish.outlines),
        not_looked=next(skipped, None),
        enhanced=enhanced(here, row["id"], pictures, base),
    )


def refusals(here: Context, base: str) -> list[Frame]:
    """Newest files that could not be used."""
    return frames_as_json(here.db, catalogue.newest_refusals(here.db, _REFUSALS), base)
