"""Alerts as the engine writes them, and a delivery that is stepped by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from observatory.alerts.engine import Escalation, Kind, Transition
from observatory.notification_settings import NotificationSettings
from observatory.settings import Settings
from observatory.storage import alert_catalogue, notifications
from observatory.storage.alert_schema import alerts
from observatory.storage.notification_schema import notifications as rows
from observatory.storage.session import Database
from service.notify.delivery import Delivery

QUICK: dict[str, Any] = {"group_wait_s": 0.0, "group_interval_s": 0.0, "retry_first_s": 60.0}


def with_channels(settings: Settings, channels: dict[str, Any], **changed: Any) -> Settings:
    told = NotificationSettings.model_validate({"channels": channels, **QUICK, **changed})
    return settings.model_copy(update={"notifications": told})


def webhook(url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, **more}


def transition(rule: str, instrument: str, kind: Kind = Kind.FIRED, **given: Any) -> Transition:
    now = datetime.now(UTC)
    return Transition(
        **{
            "rule": rule,
            "alert_key": f"instrument={instrument}",
            "kind": kind,
            "at": now,
            "since": now - timedelta(seconds=30),
            "instrument": instrument,
            "labels": {"alertname": rule, "instrument": instrument, "severity": "warning"},
            "annotations": {"summary": f"{instrument}: cloud for 3 frames"},
            "evidence": {"cause": "cloud", "frames": 3},
            "notify": ("hook",),
            **given,
        }
    )


class Alarms:
    """Raises and resolves alerts as one transaction of the engine does."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings.notifications

    def fire(
        self, *rules: str, instrument: str = "kso-halpha", now: datetime | None = None, **given: Any
    ) -> list[int]:
        return self.storm([(rule, instrument) for rule in rules or ("HalphaDegraded",)], now=now, **given)

    def storm(self, which: list[tuple[str, str]], now: datetime | None = None, **given: Any) -> list[int]:
        with self.db.write() as connection:
            told = []
            for rule, instrument in which:
                item = transition(rule, instrument, **given)
                row = {name: getattr(item, name) for name in _COLUMNS}
                row |= {"labels": dict(item.labels), "annotations": dict(item.annotations)}
                row |= {"fired_at": item.at, "updated_at": item.at}
                number = connection.execute(insert(alerts).values(row).returning(alerts.c.id)).scalar_one()
                told.append((number, item))
            notifications.enqueue(connection, told, self.settings, now or datetime.now(UTC))
        return [number for number, _ in told]

    def resolve(
        self, *numbers: int, rule: str = "HalphaDegraded", instrument: str = "kso-halpha", **given: Any
    ) -> None:
        now = datetime.now(UTC)
        with self.db.write() as connection:
            connection.execute(update(alerts).where(alerts.c.id.in_(numbers)).values(resolved_at=now))
            item = transition(rule, instrument, Kind.RESOLVED, **given)
            notifications.enqueue(connection, [(number, item) for number in numbers], self.settings, now)

    def inhibit(self, by: str | None, *numbers: int) -> None:
        """Let another rule's alert keep alerts quiet; None: not any more."""
        with self.db.write() as connection:
            connection.execute(update(alerts).where(alerts.c.id.in_(numbers)).values(inhibited_by=by))


_COLUMNS = ("rule", "alert_key", "instrument", "severity", "evidence", "since")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, **time_: float) -> None:
        self.ahead += timedelta(**time_)


def empty(delivery: Delivery, timeout_s: float = 60.0) -> None:
    """Step until nothing is due and nothing is being sent."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not delivery.step() and not delivery._busy():
            return
        while delivery._busy() and time.monotonic() < deadline:
            time.sleep(0.002)
    raise AssertionError("the outbox does not get empty")


__all__ = ["Alarms", "Clock", "Escalation", "Kind", "empty", "transition", "webhook", "with_channels"]


def told(db: Database, alert_id: int) -> list[tuple[str, str, str, int]]:
    """Channel, kind, what became of it and attempts of an alert's notifications."""
    alert = alert_catalogue.get(db, alert_id, datetime.now(UTC))
    assert alert is not None
    return [
        (n["channel"], n["kind"], n["dropped"] or n["state"], n["attempts"]) for n in alert["notifications"]
    ]


def reasons(db: Database) -> list[str | None]:
    """Why each notification was not sent."""
    with db.read() as connection:
        return list(connection.execute(select(rows.c.reason).order_by(rows.c.id)).scalars())
