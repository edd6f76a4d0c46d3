"""Facts for the alert engine, out of the frames themselves: the past is kept longer than its events.

Time here is that of observation: frames come in their order, each at its own moment, whenever they were taken
in. What came late is therefore not late, and an archive counts like what came live.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, tuple_

from observatory.alerts.facts import Arrived, DriftTold, Fact, Judged, OnsetTold, Sighted
from observatory.storage import alert_facts, model_checks, night_catalogue, results
from observatory.storage.frames import Priority, Status
from observatory.storage.night_catalogue import NightFilter
from observatory.storage.schema import arrivals, causes, frames
from observatory.storage.session import Database

_PAGE = 2000
_IDS_AT_ONCE = 500
_NIGHTS = 100
_ONSET_TOLD_AFTER = timedelta(minutes=2)
_ENDED = (Status.DONE.value, Status.REJECTED.value, Status.FAILED.value)
_COLUMNS = (
    frames.c.id,
    frames.c.instrument,
    frames.c.moment,
    frames.c.date_obs,
    frames.c.received_at,
    frames.c.status,
    frames.c.priority,
    frames.c.file_name,
    frames.c.quality_score,
    frames.c.is_degraded,
    frames.c.sky_class,
    frames.c.latency_s,
)


def of_frames(
    db: Database, instrument: str, start: datetime, end: datetime, *, with_p_value: bool = False
) -> Iterator[Fact]:
    """Frames of an instrument from a time on and before another, in the order of their moments.

    Parameters
    ----------
    with_p_value : bool
        Whether rules ask for it: it is kept with the results alone, which takes longer to read.
    """
    place: tuple[datetime, int] = (start, -1)
    while True:
        with db.read() as connection:
            rows = _page(connection, instrument, place, end)
            ids = [row.id for row in rows]
            shown = alert_facts.shown(connection, ids)
            spoilt = _causes(connection, ids)
        chances = _p_values(db, ids) if with_p_value else {}
        for row in rows:
            if row.date_obs is None and row.priority == Priority.BACKFILL:
                continue  # nowhere in time
            yield Arrived(instrument, row.moment, row.id, row.date_obs)
            if row.status in _ENDED:
                yield _judged(row, shown, spoilt, chances)
        if len(rows) < _PAGE:
            return
        place = rows[-1].moment, rows[-1].id


def _page(
    connection: Connection, instrument: str, place: tuple[datetime, int], end: datetime
) -> Sequence[Any]:
    query = (
        select(*_COLUMNS)
        .where(
            frames.c.instrument == instrument,
            tuple_(frames.c.moment, frames.c.id) > place,
            frames.c.moment < end,
        )
        .order_by(frames.c.moment, frames.c.id)
        .limit(_PAGE)
    )
    return connection.execute(query).all()


def _judged(
    row: Any,
    shown: alert_facts.Shown,
    spoilt: Mapping[int, Mapping[str, float]],
    chances: Mapping[int, float | None],
) -> Judged:
    is_judged = row.quality_score is not None
    return Judged(
        instrument=row.instrument,
        at=row.moment,
        frame_id=row.id,
        status=row.status,
        date_obs=row.date_obs,
        received_at=row.received_at,
        file_name=row.file_name,
        quality=row.quality_score,
        is_degraded=row.is_degraded,
        p_value=chances.get(row.id),
        causes=spoilt.get(row.id, {}) if is_judged else None,
        sky_class=row.sky_class,
        latency_s=row.latency_s,
        **shown.of(row.id),
    )


def _causes(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for first in range(0, len(ids), _IDS_AT_ONCE):
        query = select(causes.c.frame_id, causes.c.cause, causes.c.probability)
        part = ids[first : first + _IDS_AT_ONCE]
        for row in connection.execute(query.where(causes.c.frame_id.in_(part))):
            found.setdefault(row.frame_id, {})[row.cause] = row.probability
    return found


def _p_values(db: Database, ids: Sequence[int]) -> dict[int, float | None]:
    found: dict[int, float | None] = {}
    for first in range(0, len(ids), _IDS_AT_ONCE):
        said = results.newest_payloads(db, ids[first : first + _IDS_AT_ONCE], "quality")
        found |= {number: payload.get("p_value") for number, payload in said.items()}
    return found


def of_sightings(db: Database, instrument: str, start: datetime, end: datetime) -> Iterator[Fact]:
    """Files of an instrument that came live, as often as they came.

    No connection is held between pages: many instruments are read side by side.
    """
    query = (
        select(arrivals.c.id, arrivals.c.seen_at, arrivals.c.sha256)
        .join(frames, frames.c.sha256 == arrivals.c.sha256)
        .where(
            frames.c.instrument == instrument,
            frames.c.frame_index == 0,
            frames.c.priority == Priority.LIVE.value,
            arrivals.c.seen_at < end,
        )
        .order_by(arrivals.c.seen_at, arrivals.c.id)
        .limit(_PAGE)
    )
    place: tuple[datetime, int] = (start, -1)
    while True:
        with db.read() as connection:
            after = tuple_(arrivals.c.seen_at, arrivals.c.id) > place
            rows = connection.execute(query.where(after)).all()
        for row in rows:
            yield Sighted(instrument, row.seen_at, row.sha256)
        if len(rows) < _PAGE:
            return
        place = rows[-1].seen_at, rows[-1].id


def of_onsets(db: Database, instrument: str, start: datetime, end: datetime) -> Iterator[Fact]:
    """Onsets of an instrument's nights, told a little later, as the next frames had to say the same."""
    after = None
    while True:
        wanted = NightFilter(instrument, start, end)
        rows = night_catalogue.find(db, wanted, limit=_NIGHTS, after=after, is_ascending=True)
        for row in rows:
            for one in row["made_payload"]["onsets"]:
                time = datetime.fromisoformat(one["time"])
                if start <= time < end:
                    yield OnsetTold(instrument, time + _ONSET_TOLD_AFTER, time)
        if len(rows) < _NIGHTS:
            return
        after = rows[-1]["start_at"], rows[-1]["id"]


def of_drifts(db: Database, instrument: str, start: datetime, end: datetime) -> Iterator[Fact]:
    """What was measured of an instrument's drift, each when it was measured."""
    for check in model_checks.drifts_of(db, instrument, start, end):
        yield DriftTold(instrument, check.checked_at, check.ratio)


def in_order(streams: Sequence[Iterator[Fact]]) -> Iterator[Fact]:
    """Several streams as one, by time."""
    return heapq.merge(*streams, key=lambda fact: fact.at)
