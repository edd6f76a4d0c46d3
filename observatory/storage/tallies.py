"""How many frames there are, without counting them.

Frames that stay as they are (done, rejected, failed) are counted as they end: triggers of the database keep
the table `tallies` in the same transaction. Those that wait or are worked on are few and counted when
somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, Connection, Row, delete, func, insert, literal_column, select

from observatory.storage import standing
from observatory.storage.frames import Priority, Status
from observatory.storage.schema import frames, tallies
from observatory.storage.session import Database

_ENDED = (Status.DONE, Status.REJECTED, Status.FAILED)
_WAITING = (Status.RECEIVED, Status.PROCESSING)
_LOOK_BACK = 1000  # frames among which the newest with a time of its own must be


def counts(db: Database) -> dict[str, int]:
    """Frames by status."""
    return _by_status(_tallied(db), tuple(Status))


def counts_of(db: Database, priority: Priority, statuses: Sequence[Status] = tuple(Status)) -> dict[str, int]:
    """Frames of one priority by status."""
    return _by_status([row for row in _tallied(db) if row.priority == priority], statuses)


def _by_status(rows: Sequence[Row[Any]], statuses: Sequence[Status]) -> dict[str, int]:
    found = {status.value: 0 for status in statuses}
    for row in rows:
        if row.status in found:
            found[row.status] += row.frames
    return found


def counts_by_instrument(db: Database) -> list[tuple[str | None, str, int]]:
    """Instrument, status and number of frames."""
    found: dict[tuple[str, str], int] = {}
    for row in _tallied(db):
        key = row.instrument, row.status
        found[key] = found.get(key, 0) + row.frames
    return [(name or None, status, number) for (name, status), number in sorted(found.items())]


def overview(db: Database) -> list[dict[str, Any]]:
    """Each instrument's counts by status and its newest times."""
    with db.read() as connection:
        found: dict[str, dict[str, Any]] = {}
        for row in _rows(connection):
            if row.instrument:
                _add(found.setdefault(row.instrument, _nothing(row.instrument)), row)
        for name, total in found.items():
            total |= _newest(connection, name)
    return [found[name] for name in sorted(found)]


def _nothing(name: str) -> dict[str, Any]:
    zeros = dict.fromkeys(("frames", "done", "rejected", "failed", "waiting", "degraded"), 0)
    return {"instrument": name, "family": None} | zeros


def _add(total: dict[str, Any], row: Row[Any]) -> None:
    total["family"] = row.family or total["family"]
    total["frames"] += row.frames
    total["degraded"] += row.degraded
    total["waiting" if row.status in _WAITING else row.status] += row.frames


def _newest(connection: Connection, name: str) -> dict[str, Any]:
    mine = select(frames).where(frames.c.instrument == name)
    lately = standing.newest(
        lambda stands: select(stands.label("stands"), frames.c.date_obs), name, _LOOK_BACK
    ).subquery()
    dated = select(lately.c.date_obs).where(lately.c.date_obs.is_not(None)).limit(1)
    received = mine.with_only_columns(frames.c.received_at).order_by(frames.c.received_at.desc()).limit(1)
    return {
        "last_date_obs": connection.execute(dated).scalar(),
        "last_received_at": connection.execute(received).scalar(),
    }


def _tallied(db: Database) -> Sequence[Row[Any]]:
    with db.read() as connection:
        return _rows(connection)


def _rows(connection: Connection) -> Sequence[Row[Any]]:
    instrument = func.coalesce(frames.c.instrument, "").label("instrument")
    family = func.coalesce(frames.c.family, "").label("family")
    keys = (instrument, family, frames.c.priority, frames.c.status)
    # Word by word as the index of those that wait has it, and no parameter: then it is known to do.
    waiting = literal_column("frames.status IN ('received', 'processing')", Boolean)
    live = (
        select(*keys, func.count().label("frames"), (func.count() * 0).label("degraded"))
        .where(waiting)
        .group_by(*keys)
    )
    ended = select(*tallies.c).where(tallies.c.frames > 0)
    return [*connection.execute(ended).all(), *connection.execute(live).all()]


def recount(db: Database) -> None:
    """Count everything anew; for an archive whose rows were loaded past the triggers."""
    keys = (
        func.coalesce(frames.c.instrument, ""),
        func.coalesce(frames.c.family, ""),
        frames.c.priority,
        frames.c.status,
    )
    degraded = func.count().filter(frames.c.is_degraded.is_(True))
    ended = (
        select(*keys, func.count(), degraded)
        .where(frames.c.status.in_([status.value for status in _ENDED]))
        .group_by(*keys)
    )
    with db.write() as connection:
        connection.execute(delete(tallies))
        connection.execute(insert(tallies).from_select([column.name for column in tallies.c], ended))
