"""Which files were seen before, asked for a handful of paths at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from observatory.storage.frames import NewFrame, Status
from observatory.storage.schema import arrivals, frames
from observatory.storage.session import Database

MOST_PATHS = 1000
"""Paths that one question may name: SQLite counts them, and a long list makes a slow plan."""


def known(db: Database, paths: Sequence[str], *, but_rejected: bool = False) -> set[tuple[str, int, int]]:
    """Sightings of files as (path, bytes, mtime_ns): what has one of these need not be read again.

    Parameters
    ----------
    paths : sequence of str
        As `texts.path_text` writes them, `MOST_PATHS` at most.
    but_rejected : bool
        Leave out those whose frames were refused.
    """
    if not paths:
        return set()
    seen = select(arrivals.c.path, arrivals.c.bytes, arrivals.c.mtime_ns).where(arrivals.c.path.in_(paths))
    if but_rejected:
        refused = select(frames.c.id).where(
            frames.c.sha256 == arrivals.c.sha256, frames.c.status == Status.REJECTED
        )
        seen = seen.where(~refused.exists())
    with db.read() as connection:
        rows = connection.execute(seen).all()
    return {(row.path, row.bytes, row.mtime_ns) for row in rows}


def refused_before(db: Database, looked_at: Sequence[NewFrame], moment: datetime) -> set[int]:
    """Numbers of the frames that were refused before a moment, and are looked at again.

    Parameters
    ----------
    looked_at : sequence of NewFrame
        `MOST_PATHS` at most. What could not be opened goes by its path, all else by its bytes.
    """
    digests = {row.sha256 for row in looked_at if row.sha256 is not None}
    unread = {row.path for row in looked_at if row.sha256 is None}
    is_meant = frames.c.sha256.in_(digests) | (frames.c.sha256.is_(None) & frames.c.path.in_(unread))
    wanted = select(frames.c.id).where(
        frames.c.status == Status.REJECTED, frames.c.processed_at < moment, is_meant
    )
    with db.read() as connection:
        return set(connection.execute(wanted).scalars())
