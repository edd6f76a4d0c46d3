"""The log of writes: who changed what, from where, and who was not let."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select

from observatory.storage.access_schema import audit
from observatory.storage.session import Database
from observatory.storage.texts import plain_text

_REFUSED = (401, 403, 429)
_LONGEST = {"actor": 128, "address": 64, "action": 64, "target": 500}


@dataclass(frozen=True)
class Entry:
    """One write, or one that was refused.

    Attributes
    ----------
    action : str
        Method and route, or verb of the command line.
    status : int
        HTTP status of the answer; 200 for what the command line did.
    """

    at: datetime
    actor: str
    action: str
    status: int
    key_id: int | None = None
    address: str | None = None
    target: str | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AuditFilter:
    """Which entries are asked for; None means any."""

    actor: str | None = None
    key_id: int | None = None
    status: int | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None


def record(db: Database, entries: Sequence[Entry]) -> None:
    """Write entries."""
    if entries:
        with db.write() as connection:
            connection.execute(insert(audit), [_as_row(entry) for entry in entries])


def _as_row(entry: Entry) -> dict[str, Any]:
    row = dict(vars(entry))
    for name, longest in _LONGEST.items():
        if row[name] is not None:
            row[name] = plain_text(row[name])[:longest]
    return row


def page(db: Database, wanted: AuditFilter, *, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """Entries, newest first, older than number ``before``."""
    conditions = {
        "actor": lambda value: audit.c.actor == value,
        "key_id": lambda value: audit.c.key_id == value,
        "status": lambda value: audit.c.status == value,
        "time_from": lambda value: audit.c.at >= value,
        "time_to": lambda value: audit.c.at < value,
    }
    query = select(*audit.c).order_by(audit.c.id.desc()).limit(limit)
    for name, condition in conditions.items():
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(condition(value))
    if before is not None:
        query = query.where(audit.c.id < before)
    with db.read() as connection:
        rows = connection.execute(query).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows]


def prune_refused(db: Database, keep: int) -> int:
    """Keep the newest ``keep`` refusals and every write; return how many refusals went."""
    refused = audit.c.status.in_(_REFUSED)
    with db.write() as connection:
        oldest = connection.execute(
            select(audit.c.id).where(refused).order_by(audit.c.id.desc()).offset(keep).limit(1)
        ).scalar()
        if oldest is None:
            return 0
        return connection.execute(delete(audit).where(refused, audit.c.id <= oldest)).rowcount


def count(db: Database) -> int:
    """How many entries there are."""
    with db.read() as connection:
        return connection.execute(select(func.count()).select_from(audit)).scalar_one()
