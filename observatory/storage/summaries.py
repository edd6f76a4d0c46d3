"""Questions of pages and metrics over all frames, cheap however long the archive grows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from observatory.storage.frames import Status
from observatory.storage.schema import frames
from observatory.storage.session import Database


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
