"""Nights: lines of the sky as frames are done, and who makes the night's pictures and its film of them.

Each line is written in the transaction that ends its frame, so that none is ever lost between the two. It wakes
two works of its night, pictures and film: short rows that one worker claims when they are due. What is written
while a worker is at it is counted, and the work waits anew when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, literal, or_, select, update

from observatory.analysis import Sky, SkyClass
from observatory.frame import Frame
from observatory.keogram import LINE, SkySlices
from observatory.nights import Night, NightSeries, night_of
from observatory.storage import events, leases
from observatory.storage.column_types import UtcDateTime
from observatory.storage.night_schema import night_pictures, night_works, nights, sky_slices
from observatory.storage.regions import FrameFacts
from observatory.storage.session import Database
from observatory.storage.sky_schema import skies
from observatory.storage.texts import plain_text

if TYPE_CHECKING:
    from observatory.storage.results import NewProduct

_REASON_LENGTH = 2000
_FILM_RESTS = timedelta(minutes=10)  # after the last frame of a night that has ended: an archive may go on
_DAYLIGHT_DEG = 0.0
_BATCH = 2000  # lines that are read at once


class WorkKind(StrEnum):
    """What is made of a night."""

    PICTURES = "pictures"
    FILM = "film"


class WorkStatus(StrEnum):
    """How far that is."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class NewSlices:
    """What a frame adds to its night, ready to be written.

    Attributes
    ----------
    longitude_deg : float
        Of the camera; 0 where nobody knows it.
    wavelength_nm : float
        Of its filter, to a tenth; 0 where none is known.
    is_daylight : bool
        Whether the Sun is up: such frames are no part of a night.
    """

    slices: SkySlices
    longitude_deg: float = 0.0
    wavelength_nm: float = 0.0
    is_daylight: bool = False

    @classmethod
    def of(cls, frame: Frame, sky: Sky | None, slices: SkySlices | None) -> NewSlices | None:
        """What is to be kept of a frame; None where nothing was cut out of it."""
        if slices is None:
            return None
        sun_deg = None if sky is None else sky.facts.sun_elevation_deg
        return cls(
            slices,
            0.0 if frame.site is None else frame.site.longitude_deg,
            round(frame.wavelength_nm or 0.0, 1),
            sun_deg is not None and sun_deg > _DAYLIGHT_DEG,
        )


def write(db: Database, connection: Connection, frame: FrameFacts, new: NewSlices, now: datetime) -> None:
    """Write the lines of a frame and wake its night's works, inside the caller's transaction.

    Frames without a time belong to no night, and one that turns out to be of the day leaves the night that it was
    put to. Call it before the events are appended.
    """
    if frame.date_obs is None:
        return
    if new.is_daylight:
        _leave(connection, frame.id, now)
        return
    night = night_of(frame.date_obs, new.longitude_deg)
    night_id = _night_id(db, connection, frame.instrument, new.wavelength_nm, night, now)
    former = connection.execute(
        select(sky_slices.c.night_id).where(sky_slices.c.frame_id == frame.id)
    ).scalar_one_or_none()
    row = {
        "frame_id": frame.id,
        "night_id": night_id,
        "moment": frame.date_obs,
        "is_oriented": new.slices.is_oriented,
        "north_south": _as_bytes(new.slices.north_south),
        "east_west": _as_bytes(new.slices.east_west),
    }
    db.upsert(connection, sky_slices, row, ["frame_id"])
    _wake(connection, night_id, max(night.end, now + _FILM_RESTS))
    if former is not None and former != night_id:  # the camera's place was told meanwhile
        _wake(connection, former, now + _FILM_RESTS)


def _leave(connection: Connection, frame_id: int, now: datetime) -> None:
    """Take the lines of a frame away: where the Sun stood was told after they were written."""
    mine = delete(sky_slices).where(sky_slices.c.frame_id == frame_id).returning(sky_slices.c.night_id)
    for night_id in connection.execute(mine).scalars().all():
        _wake(connection, night_id, now + _FILM_RESTS)


def _as_bytes(line: NDArray[np.uint8]) -> bytes:
    if line.shape != (LINE, 3) or line.dtype != np.uint8:
        raise ValueError(f"a line of {line.dtype} {line.shape} is none of {LINE} colours of 8 bits")
    return line.tobytes()


def _night_id(
    db: Database, connection: Connection, instrument: str, wavelength_nm: float, night: Night, now: datetime
) -> int:
    of = nights.c
    mine = select(of.id, of.longitude_deg).where(
        of.instrument == instrument, of.wavelength_nm == wavelength_nm, of.date == night.date
    )
    place = {"longitude_deg": night.longitude_deg, "start_at": night.start, "end_at": night.end}
    # Held until the frame's line is there: whoever takes the night for empty waits for it.
    found = connection.execute(mine.with_for_update(read=True, key_share=True)).one_or_none()
    if found is not None:
        if found.longitude_deg == 0.0 != night.longitude_deg:  # nobody knew where the camera stands
            connection.execute(update(nights).where(of.id == found.id).values(place))
        return int(found.id)
    row = {"instrument": instrument, "wavelength_nm": wavelength_nm, "date": night.date, **place}
    db.insert_new(connection, nights, [row])
    night_id = int(connection.execute(mine).one().id)
    works = [
        {
            "night_id": night_id,
            "kind": kind.value,
            "status": WorkStatus.WAITING.value,
            "changes": 0,
            "seen": 0,
            "revision": 0,
            "due_at": now,
            "attempts": 0,
        }
        for kind in WorkKind
    ]
    db.insert_new(connection, night_works, works)
    return night_id


def _wake(connection: Connection, night_id: int, film_due: datetime) -> None:
    of = night_works.c
    is_film = of.kind == WorkKind.FILM.value
    connection.execute(
        update(night_works)
        .where(of.night_id == night_id)
        .values(
            changes=of.changes + 1,
            status=case(
                (of.status == WorkStatus.WORKING.value, WorkStatus.WORKING.value),
                else_=WorkStatus.WAITING.value,
            ),
            attempts=case((of.status == WorkStatus.FAILED.value, 0), else_=of.attempts),
            due_at=case((is_film, literal(film_due, UtcDateTime())), else_=of.due_at),
        )
    )


@dataclass(frozen=True)
class ClaimedWork:
    """A work that one task alone does now.

    Attributes
    ----------
    seen : int
        Changes of the night that it knows.
    payload : Mapping
        What the last one said; empty before the first.
    worker, claimed_at
        Tell this claim from any other.
    """

    id: int
    night_id: int
    kind: WorkKind
    instrument: str
    wavelength_nm: float
    night: Night
    seen: int
    attempts: int
    payload: Mapping[str, Any]
    worker: str
    claimed_at: datetime


def due(
    db: Database,
    now: datetime,
    stale: datetime,
    kinds: Sequence[WorkKind] = tuple(WorkKind),
    limit: int = 100,
) -> list[int]:
    """Works that are due and on no queue, or were forgotten there, the longest due first.

    Parameters
    ----------
    stale : datetime
        What was put on the queue before counts as forgotten.
    """
    of = night_works.c
    query = (
        select(of.id)
        .where(
            of.status == WorkStatus.WAITING.value,
            of.kind.in_([kind.value for kind in kinds]),
            _is_due(now),
            or_(leases.unpublished(night_works, now), of.published_at < stale),
        )
        .order_by(of.due_at, of.id)
        .limit(limit)
    )
    with db.read() as connection:
        return list(connection.execute(query).scalars())


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Whether a work's time has come; pictures whose last ones were made ahead of the clock do not rest."""
    of = night_works.c
    is_set_back = and_(of.kind == WorkKind.PICTURES.value, leases.is_ahead(of.made_at, now))
    return or_(of.due_at <= now, is_set_back)


def films_passed_over(db: Database, ended_before: datetime) -> int:
    """End the waiting films of nights that ended long ago as done, without a film; return how many."""
    old = select(nights.c.id).where(nights.c.end_at < ended_before)
    of = night_works.c
    waits = and_(of.kind == WorkKind.FILM.value, of.status == WorkStatus.WAITING.value, of.night_id.in_(old))
    with db.read() as connection:
        if connection.execute(select(of.id).where(waits).limit(1)).first() is None:
            return 0
    with db.write() as connection:
        done = connection.execute(
            update(night_works).where(waits).values(status=WorkStatus.DONE.value, seen=of.changes)
        )
    return done.rowcount


def mark_published(db: Database, work_ids: Sequence[int], at: datetime | None) -> None:
    """Note when works were put on the queue; None: they are on none."""
    of = night_works.c
    with db.write() as connection:
        connection.execute(
            update(night_works)
            .where(of.id.in_(work_ids), of.status == WorkStatus.WAITING.value)
            .values(published_at=at)
        )


def claim(db: Database, work_id: int, worker: str, now: datetime) -> ClaimedWork | None:
    """Take a work that is due; None when another has it, or nothing new is there. One UPDATE decides."""
    of = night_works.c
    with db.write() as connection:
        row = connection.execute(
            update(night_works)
            .where(of.id == work_id, of.status == WorkStatus.WAITING.value, _is_due(now))
            .values(
                status=WorkStatus.WORKING.value,
                claimed_by=worker,
                claimed_at=now,
                attempts=of.attempts + 1,
                seen=of.changes,
                published_at=None,
            )
            .returning(of.night_id, of.kind, of.seen, of.attempts, of.payload)
        ).one_or_none()
        if row is None:
            return None
        night = connection.execute(select(*nights.c).where(nights.c.id == row.night_id)).one()
    return ClaimedWork(
        id=work_id,
        night_id=row.night_id,
        kind=WorkKind(row.kind),
        instrument=night.instrument,
        wavelength_nm=night.wavelength_nm,
        night=Night(night.date, night.longitude_deg),
        seen=row.seen,
        attempts=row.attempts,
        payload=row.payload or {},
        worker=worker,
        claimed_at=now,
    )


def _held(claimed: ClaimedWork) -> ColumnElement[bool]:
    is_held = leases.held(night_works, claimed, WorkStatus.WORKING.value)
    return and_(night_works.c.id == claimed.id, is_held)


@dataclass(frozen=True)
class Finished:
    """What became of the end of a work.

    Attributes
    ----------
    is_ours : bool
        False when the claim was lost meanwhile: nothing was written.
    unused : tuple of str
        Files below the product folder that nothing names any more.
    """

    is_ours: bool
    unused: tuple[str, ...] = ()


def finish(
    db: Database,
    claimed: ClaimedWork,
    *,
    pictures: Sequence[NewProduct],
    payload: Mapping[str, Any] | None,
    told: Sequence[Mapping[str, Any]] = (),
    rest_s: float,
    now: datetime,
) -> Finished:
    """End a work: its pictures replace those made before, or nothing is changed.

    Parameters
    ----------
    told : sequence of Mapping
        What listeners are told of the instrument: a ``result`` event each.
    rest_s : float
        The next one is due no sooner.
    """
    of = night_works.c
    with db.write() as connection:
        row = connection.execute(
            update(night_works)
            .where(_held(claimed))
            .values(
                status=case((of.changes > of.seen, WorkStatus.WAITING.value), else_=WorkStatus.DONE.value),
                due_at=case(
                    (of.kind == WorkKind.FILM.value, of.due_at),
                    else_=literal(now + timedelta(seconds=rest_s), UtcDateTime()),
                ),
                claimed_by=None,
                published_at=None,
                reason=None,
                retry_at=None,
                attempts=0,
                revision=of.revision + 1,
                payload=None if payload is None else dict(payload),
                made_at=now,
            )
            .returning(of.revision)
        ).one_or_none()
        if row is None:
            return Finished(False)
        unused = [path for item in pictures for path in _replace(db, connection, claimed.night_id, item, now)]
        facts = {"night": {"id": claimed.night_id, "kind": claimed.kind.value, "revision": row.revision}}
        new = [events.NewEvent("result", claimed.instrument, None, one) for one in (*told, facts)]
        events.append(db, connection, new)
    return Finished(True, tuple(unused))


def _replace(
    db: Database, connection: Connection, night_id: int, item: NewProduct, now: datetime
) -> list[str]:
    """Put a picture in the place of the one before; return files that are named no more."""
    of = night_pictures.c
    mine = and_(of.night_id == night_id, of.kind == item.kind)
    before = connection.execute(select(of.path, of.former_path).where(mine)).one_or_none()
    is_same = before is not None and before.path == item.file.path
    row = {
        "night_id": night_id,
        "kind": item.kind,
        "media_type": item.media_type,
        "sha256": item.file.sha256,
        "path": item.file.path,
        "bytes": item.file.bytes,
        "width": item.width,
        "height": item.height,
        "former_path": None if before is None else before.former_path if is_same else before.path,
        "created_at": now,
    }
    db.upsert(connection, night_pictures, row, ["night_id", "kind"])
    if before is None or is_same or before.former_path is None:
        return []
    named = or_(of.path == before.former_path, of.former_path == before.former_path)
    is_named = connection.execute(select(of.kind).where(named).limit(1)).first() is not None
    return [] if is_named else [before.former_path]


def fail(db: Database, claimed: ClaimedWork, reason: str) -> None:
    """End a work as failed; what was made before stays, and the night's next frame begins it anew."""
    with db.write() as connection:
        connection.execute(update(night_works).where(_held(claimed)).values(_failure(reason)))


def _failure(reason: str) -> dict[str, Any]:
    return {
        "status": WorkStatus.FAILED.value,
        "claimed_by": None,
        "published_at": None,
        "retry_at": None,
        "reason": plain_text(reason[:_REASON_LENGTH]),
    }


def give_back(db: Database, claimed: ClaimedWork, retry_at: datetime, *, is_counted: bool) -> None:
    """Let a work wait again after a failure; ``is_counted`` as with frames: a defect's try counts."""
    again = leases.waits_again(night_works, WorkStatus.WAITING.value, retry_at, is_counted=is_counted)
    with db.write() as connection:
        connection.execute(update(night_works).where(_held(claimed)).values(again))


def release_abandoned(db: Database, now: datetime, lease_s: float, max_attempts: int) -> int:
    """Take works back from workers that fell silent; return how many wait again."""
    abandoned = leases.abandoned(night_works, WorkStatus.WORKING.value, now, lease_s)
    with db.read() as connection:
        if connection.execute(select(night_works.c.id).where(abandoned).limit(1)).first() is None:
            return 0
    failed = _failure(f"the worker died {max_attempts} times on this night: look at its log")
    waiting = WorkStatus.WAITING.value
    with db.write() as connection:
        return leases.release(connection, night_works, abandoned, waiting, failed, max_attempts)


def series(db: Database, night_id: int) -> NightSeries | None:
    """The frames of a night; None when it has none. Of two of one moment the later arrival counts."""
    sky, line = skies.c, sky_slices.c
    query = (
        select(
            *(line.frame_id, line.moment, line.is_oriented, line.north_south, line.east_west),
            *(sky.sky_class, sky.aurora_probability, sky.cloud_cover, sky.sun_elevation_deg),
        )
        .join(skies, sky.frame_id == line.frame_id, isouter=True)
        .where(line.night_id == night_id)
        .order_by(line.moment, line.frame_id)
    )
    with db.read() as connection:
        rows = connection.execution_options(yield_per=_BATCH).execute(query)
        by_moment = {row.moment: row for row in rows}
    return _series(list(by_moment.values())) if by_moment else None


def _series(rows: Sequence[Any]) -> NightSeries:
    def numbers(name: str) -> NDArray[np.float64]:
        found = (getattr(row, name) for row in rows)
        return np.array([np.nan if value is None else value for value in found], np.float64)

    def lines(name: str) -> NDArray[np.uint8]:
        joined = b"".join(getattr(row, name) for row in rows)
        return np.frombuffer(joined, np.uint8).reshape(len(rows), LINE, 3)

    return NightSeries(
        frame_ids=np.array([row.frame_id for row in rows], np.int64),
        times_s=np.array([row.moment.timestamp() for row in rows]),
        sky_classes=tuple(None if row.sky_class is None else SkyClass(row.sky_class) for row in rows),
        aurora_probability=numbers("aurora_probability"),
        cloud_cover=numbers("cloud_cover"),
        sun_elevation_deg=numbers("sun_elevation_deg"),
        north_south=lines("north_south"),
        east_west=lines("east_west"),
        is_oriented=all(row.is_oriented for row in rows),
    )


def remove_empty(db: Database, night_id: int) -> bool:
    """Remove a night that has no frames any more: they were told to belong to another one.

    Returns False, and leaves it, when a frame has come to it meanwhile.
    """
    holds = select(func.count()).select_from(sky_slices).where(sky_slices.c.night_id == night_id)
    with db.write() as connection:
        # First, so that frames that are coming to it are there when they are counted.
        connection.execute(select(nights.c.id).where(nights.c.id == night_id).with_for_update())
        if connection.execute(holds).scalar_one():
            return False
        connection.execute(delete(nights).where(nights.c.id == night_id))
    return True
