"""The history of alerts as lists show it: what fires, what fired, who knows of it and who was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from observatory.storage import acknowledgements, notifications, silences
from observatory.storage.alert_schema import alerts
from observatory.storage.notification_schema import acknowledgements as acknowledged
from observatory.storage.session import Database
from observatory.storage.silences import Silence

SEVERITIES = ("critical", "warning", "info")
"""Usual words for how bad it is; rules may use others."""


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts are asked for; None means any.

    Attributes
    ----------
    state : str or None
        ``firing`` or ``resolved``.
    """

    state: str | None = None
    instrument: str | None = None
    rule: str | None = None
    severity: str | None = None
    is_acknowledged: bool | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None


def page(
    db: Database, wanted: AlertFilter, now: datetime, *, limit: int, before: int | None = None
) -> list[dict[str, Any]]:
    """Alerts, newest first, older than number ``before``."""
    query = _filtered(select(alerts), wanted).order_by(alerts.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(alerts.c.id < before)
    with db.read() as connection:
        rows = [_plain(row) for row in connection.execute(query).mappings()]
        return _completed(connection, rows, now)


def _filtered(query: Select[Any], wanted: AlertFilter) -> Select[Any]:
    if wanted.state is not None:
        is_open = alerts.c.resolved_at.is_(None)
        query = query.where(is_open if wanted.state == "firing" else ~is_open)
    for column in (alerts.c.instrument, alerts.c.rule, alerts.c.severity):
        value = getattr(wanted, column.name)
        if value is not None:
            query = query.where(column == value)
    if wanted.is_acknowledged is not None:
        is_known = exists().where(acknowledged.c.alert_id == alerts.c.id)
        query = query.where(is_known if wanted.is_acknowledged else ~is_known)
    if wanted.time_from is not None:
        query = query.where(alerts.c.fired_at >= wanted.time_from)
    if wanted.time_to is not None:
        query = query.where(alerts.c.fired_at < wanted.time_to)
    return query


def get(db: Database, alert_id: int, now: datetime) -> dict[str, Any] | None:
    """One alert with everything that was said and told of it; None when there is none."""
    with db.read() as connection:
        found = connection.execute(select(alerts).where(alerts.c.id == alert_id)).mappings().one_or_none()
        if found is None:
            return None
        (row,) = _completed(connection, [_plain(found)], now)
        row["notifications"] = notifications.of_alert(connection, alert_id)
    return row


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _completed(connection: Connection, rows: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Rows with their state, who acknowledged them, and the silence that holds them back."""
    known = acknowledgements.of_alerts(connection, [row["id"] for row in rows])
    active = silences.active(connection, now)
    for row in rows:
        is_open = row["resolved_at"] is None
        given = [dict(vars(item)) for item in known.get(row["id"], ())]
        silence: Silence | None = silences.covering(active, _labels(row)) if is_open else None
        row["state"] = "firing" if is_open else "resolved"
        row["acknowledged"] = given[0] if given else None
        row["acknowledgements"] = given
        row["silenced_by"] = None if silence is None else silence.id
    return rows


def _labels(row: Mapping[str, Any]) -> dict[str, str]:
    return {"alertname": row["rule"], "instrument": row["instrument"], **row["labels"]}


def firing(db: Database) -> dict[str, int]:
    """How many alerts fire now, by severity; the usual ones are always there."""
    query = select(alerts.c.severity, func.count()).where(alerts.c.resolved_at.is_(None))
    with db.read() as connection:
        rows = connection.execute(query.group_by(alerts.c.severity)).all()
    return dict.fromkeys(SEVERITIES, 0) | {row[0]: row[1] for row in rows}
