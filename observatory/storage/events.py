"""Events: what happened, in one order that everybody sees.

A reader asks for all events after the last number it saw. That is only safe when numbers become
visible in their order, so in Postgres writers of events take turns (a transaction-long advisory
lock taken just before the insert, at the end of the transaction); SQLite has one writer anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select, text

from observatory.storage.schema import events
from observatory.storage.session import Database, as_storage_error, take_turn

CHANNEL = "heliowatch_events"
_LOCK_KEY = 0x68656C696F  # "helio"
_POLL_SQLITE_S = 0.005
_POLL_POSTGRES_S = 0.2


@dataclass(frozen=True)
class NewEvent:
    """An event to be written with the change it tells of."""

    type: str
    instrument: str | None
    frame_id: int | None
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """An event as readers get it."""

    seq: int
    type: str
    instrument: str | None
    payload: Mapping[str, Any]


def append(db: Database, connection: Connection, new: Sequence[NewEvent]) -> None:
    """Write events inside the caller's transaction, as its last step."""
    if not new:
        return
    take_turn(connection, _LOCK_KEY)
    now = datetime.now(UTC)
    connection.execute(
        insert(events),
        [
            {
                "type": item.type,
                "instrument": item.instrument,
                "frame_id": item.frame_id,
                "payload": orjson.loads(orjson.dumps(item.payload, option=orjson.OPT_UTC_Z)),
                "created_at": now,
            }
            for item in new
        ],
    )
    if not db.is_sqlite:
        connection.execute(text(f"NOTIFY {CHANNEL}"))


def after(db: Database, seq: int, limit: int = 500) -> list[Event]:
    """Events with a number above ``seq``, oldest first."""
    with db.read() as connection:
        rows = connection.execute(
            select(events.c.seq, events.c.type, events.c.instrument, events.c.payload)
            .where(events.c.seq > seq)
            .order_by(events.c.seq)
            .limit(limit)
        ).all()
    return [Event(row.seq, row.type, row.instrument, row.payload) for row in rows]


def last_seq(db: Database) -> int:
    """Number of the newest event, 0 when there is none."""
    with db.read() as connection:
        return connection.execute(select(func.max(events.c.seq))).scalar() or 0


def first_seq(db: Database) -> int:
    """Number of the oldest event still kept, 0 when there is none."""
    with db.read() as connection:
        return connection.execute(select(func.min(events.c.seq))).scalar() or 0


def prune(db: Database, now: datetime, keep_days: float) -> int:
    """Delete events older than ``keep_days``; return how many."""
    with db.write() as connection:
        done = connection.execute(delete(events).where(events.c.created_at < now - timedelta(days=keep_days)))
    return done.rowcount


def wait_for_change(db: Database, stop: threading.Event, on_change: Callable[[], None]) -> None:
    """Call ``on_change`` soon after every commit of events, until ``stop`` is set.

    Postgres notifies; the connection that listens is used for nothing else. SQLite tells by its
    data version, a counter in shared memory that costs microseconds to ask.

    Raises
    ------
    StorageUnavailableError
        When the database goes away; the caller tries again.
    """
    with as_storage_error():
        if db.is_sqlite:
            _watch_sqlite(db, stop, on_change)
        else:
            _listen_postgres(db, stop, on_change)


def _watch_sqlite(db: Database, stop: threading.Event, on_change: Callable[[], None]) -> None:
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        version = None
        while not stop.wait(_POLL_SQLITE_S):
            now = cursor.execute("PRAGMA data_version").fetchone()[0]
            if now != version:
                version = now
                on_change()
    finally:
        connection.close()


def _listen_postgres(db: Database, stop: threading.Event, on_change: Callable[[], None]) -> None:
    connection = db.engine.raw_connection()
    try:
        raw: Any = connection.driver_connection
        raw.autocommit = True
        raw.execute(f"LISTEN {CHANNEL}")
        on_change()
        while not stop.is_set():
            heard = list(raw.notifies(timeout=_POLL_POSTGRES_S, stop_after=1))
            if heard:
                on_change()
    finally:
        connection.invalidate()  # it listens: never hand it to others
        connection.close()


__all__ = ["Event", "NewEvent", "after", "append", "first_seq", "last_seq", "prune", "wait_for_change"]
