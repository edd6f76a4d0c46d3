"""Acknowledgements: somebody knows of an alert; its repeats and escalations end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from observatory.errors import HeliowatchError
from observatory.storage import events
from observatory.storage.alert_schema import alerts
from observatory.storage.notification_schema import acknowledgements
from observatory.storage.notifications import in_parts
from observatory.storage.session import Database
from observatory.storage.texts import plain_text

LONGEST_NOTE = 2000


class NoSuchAlertError(HeliowatchError):
    """There is no alert of that number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no alert {number}; `heliowatch alerts list --all` shows them")


class ResolvedAlertError(HeliowatchError):
    """An alert that ended needs nobody any more."""

    def __init__(self, number: int, resolved_at: datetime) -> None:
        super().__init__(
            f"alert {number} was resolved at {resolved_at:%Y-%m-%d %H:%M:%S} UTC: only one that fires can be "
            "acknowledged"
        )


@dataclass(frozen=True)
class Acknowledgement:
    """Who said when that they know of an alert."""

    id: int
    alert_id: int
    note: str | None
    author: str
    created_at: datetime


def put(db: Database, alert_id: int, note: str | None, author: str, now: datetime) -> Acknowledgement:
    """Acknowledge an alert that fires; listeners hear of it. A second one stands beside the first.

    Raises
    ------
    NoSuchAlertError, ResolvedAlertError
    """
    row: dict[str, Any] = {
        "alert_id": alert_id,
        "note": plain_text(note)[:LONGEST_NOTE] if note else None,
        "author": plain_text(author)[:128],
        "created_at": now,
    }
    columns = (alerts.c.rule, alerts.c.instrument, alerts.c.resolved_at)
    with db.write() as connection:
        alert = connection.execute(
            select(*columns).where(alerts.c.id == alert_id).with_for_update(key_share=True)
        ).one_or_none()
        if alert is None:
            raise NoSuchAlertError(alert_id)
        if alert.resolved_at is not None:
            raise ResolvedAlertError(alert_id, alert.resolved_at)
        number = connection.execute(
            insert(acknowledgements).values(row).returning(acknowledgements.c.id)
        ).scalar_one()
        told = {name: row[name] for name in ("note", "author", "created_at")}
        facts = {"id": alert_id, "rule": alert.rule, "state": "firing", "acknowledged": told}
        events.append(db, connection, [events.NewEvent("alert", alert.instrument, None, facts)])
    return Acknowledgement(id=number, **row)


def of_alerts(connection: Connection, alert_ids: Sequence[int]) -> dict[int, list[Acknowledgement]]:
    """Acknowledgements of each alert that has some, newest first."""
    found: dict[int, list[Acknowledgement]] = {}
    for part in in_parts(alert_ids):
        query = select(acknowledgements).where(acknowledgements.c.alert_id.in_(part))
        for row in connection.execute(query.order_by(acknowledgements.c.id.desc())).mappings():
            given = Acknowledgement(**{str(name): row[name] for name in row})
            found.setdefault(given.alert_id, []).append(given)
    return found
