"""Every question asked about frames: lists, one, the newest, counts, series; cheap in a long archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, cast, func, or_, select, text

from observatory.storage.frames import Priority, Status, text_path
from observatory.storage.schema import arrivals, causes, frames
from observatory.storage.session import Database


@dataclass(frozen=True)
class FrameFilter:
    """Which frames are asked for; None means any."""

    instrument: str | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None
    status: Status | None = None
    quality_min: float | None = None
    quality_max: float | None = None
    cause: str | None = None
    wavelength_nm: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def find(
    db: Database,
    wanted: FrameFilter,
    *,
    limit: int,
    after: tuple[datetime, int] | None = None,
    is_ascending: bool = False,
) -> list[dict[str, Any]]:
    """Frames by filter, in order of (`moment`, id).

    Parameters
    ----------
    after : tuple of (datetime, int) or None
        Sort key of the last row of the page before: keyset paging.
    """
    moment = frames.c.moment
    query = _filtered(select(*frames.c), wanted)
    if after is not None:
        key, last_id = after
        if is_ascending:
            query = query.where(or_(moment > key, and_(moment == key, frames.c.id > last_id)))
        else:
            query = query.where(or_(moment < key, and_(moment == key, frames.c.id < last_id)))
    order = (moment.asc(), frames.c.id.asc()) if is_ascending else (moment.desc(), frames.c.id.desc())
    with db.read() as connection:
        rows = [dict(row) for row in connection.execute(query.order_by(*order).limit(limit)).mappings()]
        return _with_causes(connection, rows)


def _filtered(query: Select[Any], wanted: FrameFilter) -> Select[Any]:
    conditions = {
        "instrument": lambda value: frames.c.instrument == value,
        "time_from": lambda value: frames.c.moment >= value,
        "time_to": lambda value: frames.c.moment < value,
        "status": lambda value: frames.c.status == value,
        "quality_min": lambda value: frames.c.quality_score >= value,
        "quality_max": lambda value: frames.c.quality_score <= value,
        "wavelength_nm": lambda value: frames.c.wavelength_nm.between(value - 0.05, value + 0.05),
        "cause": lambda value: frames.c.id.in_(select(causes.c.frame_id).where(causes.c.cause == value)),
    }
    for name, condition in conditions.items():
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(condition(value))
    return query


def _with_causes(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    by_frame: dict[int, list[dict[str, Any]]] = {}
    if ids:
        for row in connection.execute(
            select(causes).where(causes.c.frame_id.in_(ids)).order_by(causes.c.probability.desc())
        ):
            by_frame.setdefault(row.frame_id, []).append({"cause": row.cause, "probability": row.probability})
    for frame in rows:
        frame["causes"] = by_frame.get(frame["id"], [])
    return rows


def get(db: Database, frame_id: int) -> dict[str, Any] | None:
    """One frame with its causes, every path its bytes were seen under, and how often."""
    with db.read() as connection:
        row = connection.execute(select(*frames.c).where(frames.c.id == frame_id)).mappings().one_or_none()
        if row is None:
            return None
        frame = _with_causes(connection, [dict(row)])[0]
        seen = connection.execute(
            select(arrivals.c.path).where(arrivals.c.sha256 == frame["sha256"]).order_by(arrivals.c.id)
        ).scalars()
        frame["paths"] = [str(text_path(path)) for path in seen] or [str(text_path(frame["path"]))]
        return frame


def latest(db: Database, instrument: str) -> dict[str, Any] | None:
    """Newest finished frame of an instrument."""
    found = find(db, FrameFilter(instrument=instrument, status=Status.DONE), limit=1)
    return found[0] if found else None


def overview(db: Database) -> list[dict[str, Any]]:
    """Each instrument's counts by status and its newest times."""
    with db.read() as connection:
        rows = connection.execute(
            select(
                frames.c.instrument,
                frames.c.family,
                func.count().label("frames"),
                func.count().filter(frames.c.status == Status.DONE).label("done"),
                func.count().filter(frames.c.status == Status.REJECTED).label("rejected"),
                func.count().filter(frames.c.status == Status.FAILED).label("failed"),
                func.count()
                .filter(frames.c.status.in_([Status.RECEIVED, Status.PROCESSING]))
                .label("waiting"),
                func.count().filter(frames.c.is_degraded.is_(True)).label("degraded"),
                func.max(frames.c.date_obs).label("last_date_obs"),
                func.max(frames.c.received_at).label("last_received_at"),
            )
            .where(frames.c.instrument.is_not(None))
            .group_by(frames.c.instrument, frames.c.family)
            .order_by(frames.c.instrument)
        ).mappings()
        return [dict(row) for row in rows]


def counts(db: Database) -> dict[str, int]:
    """Frames by status."""
    with db.read() as connection:
        rows = connection.execute(select(frames.c.status, func.count()).group_by(frames.c.status)).all()
    return {status.value: 0 for status in Status} | {row[0]: row[1] for row in rows}


def quality_series(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    *,
    bin_s: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Scores over time, single or in bins of ``bin_s`` seconds, oldest first.

    Frames without a `date_obs` have no place on a time axis and are left out.
    """
    # `moment` is `date_obs` where there is one, and has the index.
    conditions: list[ColumnElement[bool]] = [
        frames.c.quality_score.is_not(None),
        frames.c.date_obs.is_not(None),
    ]
    if instrument is not None:
        conditions.append(frames.c.instrument == instrument)
    if time_from is not None:
        conditions.append(frames.c.moment >= time_from)
    if time_to is not None:
        conditions.append(frames.c.moment < time_to)
    with db.read() as connection:
        if bin_s is None:
            query = (
                select(
                    frames.c.id,
                    frames.c.instrument,
                    frames.c.date_obs.label("time"),
                    frames.c.quality_score.label("score"),
                    frames.c.is_degraded,
                )
                .where(*conditions)
                .order_by(frames.c.moment.desc(), frames.c.id.desc())
                .limit(limit)
            )
            return [dict(row) for row in connection.execute(query).mappings()][::-1]
        if db.is_sqlite:
            epoch: Any = func.unixepoch(frames.c.date_obs)
        else:
            epoch = cast(func.floor(func.extract("epoch", frames.c.date_obs)), BigInteger)
        start = (epoch - epoch % text(str(int(bin_s)))).label("start")
        binned = (
            select(
                start,
                frames.c.instrument,
                func.count().label("frames"),
                func.avg(frames.c.quality_score).label("score"),
                func.min(frames.c.quality_score).label("score_min"),
                func.max(frames.c.quality_score).label("score_max"),
                func.count().filter(frames.c.is_degraded.is_(True)).label("degraded"),
            )
            .where(*conditions)
            .group_by(start, frames.c.instrument)
            .order_by(start.desc())
            .limit(limit)
        )
        return [dict(row) for row in connection.execute(binned).mappings()][::-1]


def instruments_seen(db: Database) -> list[tuple[str, str | None]]:
    """Instruments that have frames, by name, each with its pipeline's name.

    Jumps from name to name along the index instead of reading every frame.
    """
    instrument = frames.c.instrument
    seen = select(func.min(instrument).label("name")).cte("seen", recursive=True)
    following = select(func.min(instrument)).where(instrument > seen.c.name).scalar_subquery()
    seen = seen.union_all(select(following).where(seen.c.name.is_not(None)))
    family = (
        select(frames.c.family)
        .where(instrument == seen.c.name)
        .order_by(frames.c.moment.desc(), frames.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    with db.read() as connection:
        rows = connection.execute(
            select(seen.c.name, family).where(seen.c.name.is_not(None)).order_by(seen.c.name)
        ).all()
    return [(row[0], row[1]) for row in rows]


def newest_moments(db: Database, instruments: Sequence[str]) -> dict[str, datetime]:
    """Time of the newest frame of each of some instruments, whatever became of it."""
    found = {}
    with db.read() as connection:
        for name in instruments:
            moment = connection.execute(
                select(frames.c.moment)
                .where(frames.c.instrument == name)
                .order_by(frames.c.moment.desc(), frames.c.id.desc())
                .limit(1)
            ).scalar()
            if moment is not None:
                found[name] = moment
    return found


def counts_by_instrument(db: Database) -> list[tuple[str | None, str, int]]:
    """Instrument, status and number of frames. This one does read every frame."""
    with db.read() as connection:
        rows = connection.execute(
            select(frames.c.instrument, frames.c.status, func.count())
            .group_by(frames.c.instrument, frames.c.status)
            .order_by(frames.c.instrument, frames.c.status)
        ).all()
    return [(row[0], row[1], row[2]) for row in rows]


def newest_refusals(db: Database, limit: int) -> list[dict[str, Any]]:
    """Frames rejected or failed, the newest arrivals first."""
    found: list[dict[str, Any]] = []
    with db.read() as connection:
        for status in (Status.REJECTED, Status.FAILED):
            query = (
                select(*frames.c).where(frames.c.status == status).order_by(frames.c.id.desc()).limit(limit)
            )
            found += [dict(row) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda row: row["id"], reverse=True)[:limit]


def counts_of(db: Database, priority: Priority, statuses: Sequence[Status] = tuple(Status)) -> dict[str, int]:
    """Frames of one priority by status; fast for the few statuses that are asked for."""
    with db.read() as connection:
        rows = connection.execute(
            select(frames.c.status, func.count())
            .where(frames.c.status.in_(statuses), frames.c.priority == priority)
            .group_by(frames.c.status)
        ).all()
    return {status.value: 0 for status in statuses} | {row[0]: row[1] for row in rows}
