"""Claims on rows that are worked on: when one is taken back, and what waits to be published.

The same for every table with the columns ``status``, ``claimed_by``, ``claimed_at``, ``published_at`` and
``retry_at``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, and_, or_, select

from observatory.storage.schema import workers


def abandoned(table: Table, working: str, now: datetime, lease_s: float) -> ColumnElement[bool]:
    """Whether a row is claimed by a worker that has been silent for ``lease_s`` seconds.

    Parameters
    ----------
    working : str
        Status of a row that is worked on.
    """
    silent_since = now - timedelta(seconds=lease_s)
    alive = select(workers.c.name).where(workers.c.seen_at >= silent_since)
    return and_(
        table.c.status == working,
        table.c.claimed_at < silent_since,
        table.c.claimed_by.not_in(alive),
    )


def unpublished(table: Table, now: datetime) -> ColumnElement[bool]:
    """Whether a row is on no queue and may be put there now."""
    return and_(table.c.published_at.is_(None), or_(table.c.retry_at.is_(None), table.c.retry_at <= now))
