"""Claims on rows that are worked on: when one is taken back, and what waits to be published.

The same for every table with the columns ``status``, ``claimed_by``, ``claimed_at``, ``published_at`` and
``retry_at``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select, update

from observatory.storage.schema import workers

#: Longer than any work waits to be tried again, and than the clocks of hosts differ: what lies farther ahead
#: was written before the clock was set back.
_AHEAD = timedelta(minutes=2)


class Claim(Protocol):
    """What every claim tells of itself."""

    @property
    def worker(self) -> str:
        """Who made it."""

    @property
    def claimed_at(self) -> datetime:
        """When."""


def held(table: Table, claim: Claim, working: str) -> ColumnElement[bool]:
    """Whether a row is worked on under this very claim; which row, the caller says."""
    return and_(
        table.c.status == working,
        table.c.claimed_by == claim.worker,
        table.c.claimed_at == claim.claimed_at,
    )


def waits_again(table: Table, waiting: str, retry_at: datetime, *, is_counted: bool) -> dict[str, Any]:
    """What becomes of a row that is given back after a failure; ``is_counted`` as with frames."""
    return {
        "status": waiting,
        "claimed_by": None,
        "published_at": None,
        "retry_at": retry_at,
        "attempts": table.c.attempts if is_counted else table.c.attempts - 1,
    }


def release(
    connection: Connection,
    table: Table,
    abandoned: ColumnElement[bool],
    waiting: str,
    failed: Mapping[str, Any],
    max_attempts: int,
) -> int:
    """Take rows back from workers that fell silent; return how many wait again.

    Parameters
    ----------
    abandoned : condition
        As `abandoned` gives it.
    failed : mapping
        What becomes of a row whose attempts are used up.
    """
    connection.execute(update(table).where(abandoned, table.c.attempts >= max_attempts).values(dict(failed)))
    back = connection.execute(
        update(table).where(abandoned).values(status=waiting, claimed_by=None, published_at=None)
    )
    return back.rowcount


def abandoned(table: Table, working: str, now: datetime, lease_s: float) -> ColumnElement[bool]:
    """Whether a row is claimed by a worker that has been silent for ``lease_s`` seconds.

    Parameters
    ----------
    working : str
        Status of a row that is worked on.
    """
    alive = select(workers.c.name).where(is_alive(now, lease_s))
    claimed_at = table.c.claimed_at
    return and_(
        table.c.status == working,
        or_(claimed_at < now - timedelta(seconds=lease_s), is_ahead(claimed_at, now)),
        table.c.claimed_by.not_in(alive),
    )


def is_alive(now: datetime, silence_s: float) -> ColumnElement[bool]:
    """Whether a worker was heard of within ``silence_s`` seconds."""
    return workers.c.seen_at.between(now - timedelta(seconds=silence_s), now + _AHEAD)


def is_ahead(moment: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Whether a time that was noted lies ahead, because the clock was set back since."""
    return moment > now + _AHEAD


def may_be_tried(table: Table, now: datetime) -> ColumnElement[bool]:
    """Whether the pause after a row's last failure, if there was one, is over."""
    retry_at = table.c.retry_at
    return or_(retry_at.is_(None), retry_at <= now, is_ahead(retry_at, now))


def unpublished(table: Table, now: datetime) -> ColumnElement[bool]:
    """Whether a row is on no queue, as far as is known, and may be put there now."""
    published = table.c.published_at
    return and_(or_(published.is_(None), is_ahead(published, now)), may_be_tried(table, now))
