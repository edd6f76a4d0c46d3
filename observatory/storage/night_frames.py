"""Frames of a night: what they are, and where the film finds them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select

from observatory.frame import DateSource
from observatory.storage.night_schema import sky_slices
from observatory.storage.schema import frames
from observatory.storage.session import Database


def holds_simulated(db: Database, night_id: int) -> bool:
    """Whether a simulator made any of a night's frames."""
    return _holds(db, night_id, frames.c.is_simulated.is_(True))


def holds_file_times(db: Database, night_id: int) -> bool:
    """Whether of any of a night's frames only the time of its file is known."""
    return _holds(db, night_id, frames.c.date_obs_source == DateSource.FILE_TIME.value)


def _holds(db: Database, night_id: int, condition: ColumnElement[bool]) -> bool:
    query = (
        select(frames.c.id)
        .join(sky_slices, sky_slices.c.frame_id == frames.c.id)
        .where(sky_slices.c.night_id == night_id, condition)
    )
    with db.read() as connection:
        return connection.execute(query.limit(1)).first() is not None


def film_frames(db: Database, night_id: int) -> list[dict[str, Any]]:
    """Frames of a night in order of time, with what is needed to read them."""
    names = ("sha256", "path", "file_name", "frame_index", "instrument", "is_degraded", "is_simulated")
    query = (
        select(frames.c.id, sky_slices.c.moment, *(frames.c[name] for name in names))
        .join(frames, frames.c.id == sky_slices.c.frame_id)
        .where(sky_slices.c.night_id == night_id)
        .order_by(sky_slices.c.moment, frames.c.id)
    )
    with db.read() as connection:
        rows = [
            {str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()
        ]
    return list({row["moment"]: row for row in rows}.values())
