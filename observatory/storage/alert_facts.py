"""Facts for the alert engine, out of the events that workers and ingesters leave behind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, and_, func, select

from observatory.alerts.facts import (
    Arrived,
    DriftTold,
    Fact,
    GapTold,
    Judged,
    OnsetTold,
    RegionTotals,
    Sighted,
)
from observatory.alerts.rules import UNRECOGNISED
from observatory.storage import enhancements as enhancement_words
from observatory.storage import events
from observatory.storage.events import Event
from observatory.storage.frames import Priority, Status
from observatory.storage.schema import arrivals, enhancements, frames, segmentations
from observatory.storage.schema import events as schema_events
from observatory.storage.session import Database
from observatory.storage.sky_schema import skies

_IDS_AT_ONCE = 500
_ONSET_IS_OLD = timedelta(hours=2)
_ENDED = (Status.REJECTED.value, Status.FAILED.value)


@dataclass(frozen=True)
class Batch:
    """What happened after a place in the events and the sightings.

    Attributes
    ----------
    event_seq, arrival_id : int
        The place behind it.
    is_last : bool
        Whether nothing more waits.
    unreadable : sequence of int
        Events that another version wrote and this one cannot read; they are passed over.
    """

    facts: Sequence[Fact]
    event_seq: int
    arrival_id: int
    is_last: bool
    unreadable: Sequence[int] = ()


@dataclass(frozen=True)
class Shown:
    """What some frames show, by the frames' numbers."""

    regions: Mapping[int, Mapping[str, RegionTotals]]
    enhanced: Mapping[int, Mapping[str, Any]]
    skies: Mapping[int, Mapping[str, float]]

    def of(self, frame_id: int) -> dict[str, Any]:
        """What one shows, as `Judged` has it."""
        return {
            "regions": self.regions.get(frame_id, {}),
            "enhancement": self.enhanced.get(frame_id, {}),
            "sky": self.skies.get(frame_id, {}),
        }


def shown(connection: Connection, ids: Sequence[int]) -> Shown:
    """What frames show, inside a transaction."""
    return Shown(
        region_totals(connection, ids), enhancement_numbers(connection, ids), sky_numbers(connection, ids)
    )


def newest(db: Database) -> tuple[int, int]:
    """The place behind all that happened: numbers of the last event and the last sighting."""
    with db.read() as connection:
        return places(connection)


def places(connection: Connection) -> tuple[int, int]:
    """The same, inside a transaction."""
    last = connection.execute(select(func.max(schema_events.c.seq))).scalar() or 0
    return last, connection.execute(select(func.max(arrivals.c.id))).scalar() or 0


def after(db: Database, event_seq: int, arrival_id: int, limit: int, now: datetime) -> Batch:
    """Facts after a place; of frames that came live alone: an archive that is taken in raises no alert.

    Parameters
    ----------
    now : datetime
        When what does not say it itself became known.
    """
    found = events.after(db, event_seq, limit)
    ids = [number for event in found if (number := _frame_id(event)) is not None]
    with db.read() as connection:
        rows = _frame_rows(connection, ids)
        seen_in = shown(connection, ids)
        sighted = _sightings(connection, arrival_id, limit)
    facts: list[Fact] = []
    unreadable = []
    for event in found:
        row = rows.get(_frame_id(event) or 0, {})
        try:
            facts += _facts(event, row, seen_in, now)
        except (KeyError, TypeError, ValueError, AttributeError):
            unreadable.append(event.seq)
    if len(found) == limit:  # sightings do not run ahead of events that wait
        until = max((fact.at for fact in facts), default=None)
        # In their order: what stands behind one that waits, waits with it, or that would be passed over.
        sighted = list(takewhile(lambda item: until is not None and item[2] <= until, sighted))
    # A sighting is not numbered among the events; its place is told by its time alone.
    seen = [fact for _, fact, _ in sighted if fact is not None]
    both = sorted([*facts, *seen], key=lambda fact: fact.at) if seen else facts
    return Batch(
        facts=both,
        event_seq=found[-1].seq if found else event_seq,
        arrival_id=sighted[-1][0] if sighted else arrival_id,
        is_last=len(found) < limit and len(sighted) < limit,
        unreadable=unreadable,
    )


def _frame_id(event: Event) -> int | None:
    """Number of the frame that an event tells of; composites are results, too, but of no instrument."""
    is_of_frame = event.type == "frame" or (event.type == "result" and event.instrument is not None)
    number = event.payload.get("id") if is_of_frame and isinstance(event.payload, dict) else None
    return number if isinstance(number, int) else None


def _facts(
    event: Event,
    row: Mapping[str, Any],
    shown: Shown,
    now: datetime,
) -> Iterable[Fact]:
    if event.type == "coverage" and event.instrument is not None:
        return [_gap(event, now)]
    if event.type == "result" and event.instrument is not None and "onset" in event.payload:
        return _onset(event, now)
    if event.type == "status" and event.instrument is not None and event.payload.get("check") == "drift":
        return [DriftTold(event.instrument, now, float(event.payload["ratio"]))]
    number = _frame_id(event)
    is_old = row.get("priority") == Priority.BACKFILL
    if number is None or is_old or "mark" in event.payload or event.payload.get("is_reprocessed"):
        return []
    name = event.instrument or UNRECOGNISED
    received = row.get("received_at") or _time(event.payload.get("received_at")) or now
    observed = _time(event.payload.get("date_obs"))
    if event.type == "frame" and event.payload["status"] == Status.RECEIVED:
        return [Arrived(name, received, number, observed)]
    if event.type == "frame":
        if event.payload["status"] not in _ENDED:
            return []
        refused = _judged(event, row, name, number, row.get("processed_at") or received, received)
        # What was refused as it came, before any worker had it, has no event of its own for that.
        was_claimed = row.get("claimed_at") is not None
        return [refused] if was_claimed else [Arrived(name, received, number, observed), refused]
    judged = _judged(event, row, name, number, row.get("processed_at") or now, received)
    return [replace(judged, **shown.of(number))]


def _judged(
    event: Event, row: Mapping[str, Any], name: str, number: int, at: datetime, received: datetime
) -> Judged:
    said = event.payload.get("quality")
    return Judged(
        instrument=name,
        at=at,
        frame_id=number,
        status=event.payload["status"],
        date_obs=_time(event.payload.get("date_obs")),
        received_at=received,
        file_name=str(event.payload.get("file_name") or ""),
        quality=said and said["score"],
        is_degraded=said and said["is_degraded"],
        p_value=said and said["p_value"],
        causes=None if said is None else {item["cause"]: item["probability"] for item in said["causes"]},
        sky_class=row.get("sky_class"),
        latency_s=event.payload.get("latency_s"),
    )


def _onset(event: Event, now: datetime) -> list[Fact]:
    """An onset of now: those of an archive's nights raise no alert."""
    time = datetime.fromisoformat(event.payload["onset"]["time"])
    return [OnsetTold(event.instrument or "", now, time)] if abs(now - time) <= _ONSET_IS_OLD else []


def _gap(event: Event, now: datetime) -> GapTold:
    is_open = event.payload.get("state") == "open"
    start = _time(event.payload.get("gap", {}).get("start")) if is_open else None
    return GapTold(event.instrument or "", now, start)


def _time(word: Any) -> datetime | None:
    return None if word is None else datetime.fromisoformat(word)


_FRAME = (
    frames.c.id,
    frames.c.priority,
    frames.c.received_at,
    frames.c.claimed_at,
    frames.c.processed_at,
    frames.c.sky_class,
)


def _frame_rows(connection: Connection, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for part in _parts(ids):
        rows = connection.execute(select(*_FRAME).where(frames.c.id.in_(part))).all()
        found |= {row.id: row._asdict() for row in rows}
    return found


def region_totals(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, RegionTotals]]:
    """Totals over the regions of frames, by type of event."""
    of = segmentations.c
    found: dict[int, dict[str, RegionTotals]] = {}
    for part in _parts(ids):
        query = select(of.frame_id, of.event_type, of.regions, of.disk_fraction, of.area_msh)
        for row in connection.execute(query.where(of.frame_id.in_(part))):
            totals = RegionTotals(row.regions, row.disk_fraction, row.area_msh)
            found.setdefault(row.frame_id, {})[row.event_type] = totals
    return found


def enhancement_numbers(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What became of the enhancement of frames, in words and numbers."""
    of = enhancements.c
    columns = [of.frame_id, of.outcome, *(of[name] for name in enhancement_words.NUMBERS)]
    found: dict[int, dict[str, Any]] = {}
    for part in _parts(ids):
        for row in connection.execute(select(*columns).where(of.frame_id.in_(part))).mappings():
            found[row["frame_id"]] = {
                str(name): value for name, value in row.items() if name != "frame_id" and value is not None
            }
    return found


def sky_numbers(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, float]]:
    """What was said of the skies of frames, in numbers; those that are not known are left out."""
    of = skies.c
    axes = (of.disturbance_x_nt, of.disturbance_y_nt, of.disturbance_z_nt)
    found: dict[int, dict[str, float]] = {}
    for part in _parts(ids):
        query = select(of.frame_id, of.cloud_cover, of.aurora_probability, *axes).where(of.frame_id.in_(part))
        for number, cloud_cover, aurora_probability, *felt in connection.execute(query):
            said = {"cloud_cover": cloud_cover, "aurora_probability": aurora_probability}
            said["disturbance_nt"] = None if None in felt else math.hypot(*felt)
            found[number] = {name: value for name, value in said.items() if value is not None}
    return found


def _sightings(
    connection: Connection, after_id: int, limit: int
) -> list[tuple[int, Sighted | None, datetime]]:
    """Files that were seen: number, fact (None: of no live frame), time.

    With several ingesters on Postgres a sighting may become visible after one with a higher number, and is
    then passed over: of a camera that repeats itself there will be others.
    """
    is_its = and_(frames.c.sha256 == arrivals.c.sha256, frames.c.frame_index == 0)
    query = (
        select(arrivals.c.id, arrivals.c.sha256, arrivals.c.seen_at, frames.c.instrument, frames.c.priority)
        .join(frames, is_its, isouter=True)
        .where(arrivals.c.id > after_id)
        .order_by(arrivals.c.id)
        .limit(limit)
    )
    return [(row.id, _sighted(row), row.seen_at) for row in connection.execute(query)]


def _sighted(row: Any) -> Sighted | None:
    if row.instrument is None or row.priority != Priority.LIVE:
        return None
    return Sighted(row.instrument, row.seen_at, row.sha256)


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[first : first + _IDS_AT_ONCE] for first in range(0, len(ids), _IDS_AT_ONCE))
