"""Workers' heartbeats: who is alive, with which models, on which device."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from observatory.storage import leases
from observatory.storage.schema import workers
from observatory.storage.session import Database


def sign_on(db: Database, name: str, role: str, now: datetime, facts: Mapping[str, Any]) -> None:
    """Note a process as alive, with what it can do."""
    row = {"name": name, "role": role, "started_at": now, "seen_at": now, "facts": dict(facts)}
    with db.write() as connection:
        db.upsert(connection, workers, row, ["name"])


def beat(db: Database, name: str, role: str, now: datetime, facts: Mapping[str, Any]) -> None:
    """Note that a process still lives; sign it on again when it was forgotten meanwhile."""
    with db.write() as connection:
        done = connection.execute(update(workers).where(workers.c.name == name).values(seen_at=now))
    if not done.rowcount:
        sign_on(db, name, role, now, facts)


def sign_off(db: Database, name: str) -> None:
    """Note that a process ended as it should."""
    with db.write() as connection:
        connection.execute(delete(workers).where(workers.c.name == name))


def alive(db: Database, now: datetime, silence_s: float) -> list[dict[str, Any]]:
    """Processes heard of within ``silence_s`` seconds."""
    with db.read() as connection:
        query = select(*workers.c).where(leases.is_alive(now, silence_s)).order_by(workers.c.name)
        return [dict(row) for row in connection.execute(query).mappings()]


def forget_dead(db: Database, now: datetime, silence_s: float) -> int:
    """Delete the rows of processes silent for longer than ``silence_s``."""
    with db.write() as connection:
        done = connection.execute(delete(workers).where(~leases.is_alive(now, silence_s)))
    return done.rowcount
