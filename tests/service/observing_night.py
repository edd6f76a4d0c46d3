"""A day and a night of two instruments, minute by minute, as ingester, workers and ledger leave them."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from observatory.analysis import Cause, CauseProbability, ModelIdentity, Quality
from observatory.settings import Settings
from observatory.storage import events, frames, notifications, results
from observatory.storage.alert_schema import alerts
from observatory.storage.frames import Arrival, NewFrame, Priority, Status
from observatory.storage.results import NewResult
from observatory.storage.session import Database
from service.alerting import AlertEngine

MODEL = ModelIdentity("halpha-quality", "1.0.0", "ab" * 32)
START = datetime(2024, 7, 20, 5, 30, tzinfo=UTC)  # an hour before SDO's eclipse of that day
KSO, AIA = "kso-halpha", "aia-193"
MINUTE = timedelta(minutes=1)

RULES = """
- alert: HalphaDegraded
  instrument: kso-halpha
  when: {quality: {lt: 0.4}}
  clear_when: {quality: {gt: 0.5}}
  for_frames: 3
  clear_frames: 5
  labels: {severity: warning}
  annotations: {summary: "{instrument}: {cause} for {frames} frames"}
  notify: [hook]
- alert: Gap
  when: {gap: {gt: 5m}, not: {frozen: {repeats: 2}}}
  labels: {severity: critical}
  notify: [hook]
- alert: Frozen
  when: {frozen: {repeats: 3}}
  notify: [hook]
- alert: Wild
  when: {rate: {over: 5m, of_cadence: {gt: 5}}}
- alert: Silent
  instrument: aia-*
  when: {silent_for: 2h}
"""


@dataclass
class Clock:
    """Time on the wall and the steady time beside it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def steady(self) -> float:
        return self.now.timestamp()


@dataclass
class Night:
    """Puts frames into the database at simulated times."""

    db: Database
    clock: Clock = field(default_factory=Clock)
    _count: Any = field(default_factory=itertools.count)

    def come(self, name: str = KSO, **given: Any) -> int | None:
        """A frame comes; its number, or None when its bytes came before."""
        number, now = next(self._count), self.clock.now
        sha256 = given.pop("sha256", hashlib.sha256(f"frame {number}".encode()).hexdigest())
        row: dict[str, Any] = {
            "sha256": sha256,
            "file_name": f"{number}.fits",
            "path": f"/in/{number}.fits",
            "bytes": 10,
            "received_at": now,
            "instrument": name,
            "family": "halpha",
            "date_obs": now - timedelta(seconds=2),
        }
        new = NewFrame(**(row | given))
        registered = frames.register(self.db, [new], [Arrival(sha256, new.path, 10, number, now)])
        return registered[0].frame_id if registered else None  # one that is refused has no task

    def judge(self, frame_id: int, score: float, cause: Cause | None = None) -> None:
        now = self.clock.now
        claimed = frames.claim(self.db, frame_id, "w", now)
        assert claimed is not None
        causes = () if cause is None else (CauseProbability(cause, 0.9),)
        said = Quality(score, score < 0.4, 0.5, causes, MODEL)
        made = [NewResult("quality", MODEL, results.quality_payload(said))]
        assert results.finish(
            self.db, frame_id, "w", quality=said, made=made, pictures=[], software_version="1", now=now
        )

    def see(self, score: float = 0.9, cause: Cause | None = None, name: str = KSO, **given: Any) -> int:
        frame_id = self.come(name, **given)
        assert frame_id is not None
        self.judge(frame_id, score, cause)
        return frame_id

    def minute(self, score: float = 0.9, cause: Cause | None = None) -> None:
        self.clock.now += MINUTE
        self.see(score, cause)


def with_rules(settings: Settings, folder: Path, text: str = RULES, **given: Any) -> Settings:
    path = folder / "rules.yaml"
    path.write_text(text)
    alerts = settings.alerts.model_copy(update={"rules": path, **given})
    channel = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
    told = type(settings.notifications).model_validate({"channels": {"hook": channel}})
    return settings.model_copy(update={"alerts": alerts, "notifications": told})


def engine_of(settings: Settings, db: Database, clock: Clock) -> AlertEngine:
    return AlertEngine(settings, db, clock=clock, steady=clock.steady)


def raised(db: Database) -> list[dict[str, Any]]:
    with db.read() as connection:
        return [dict(row) for row in connection.execute(select(alerts).order_by(alerts.c.id)).mappings()]


def told(db: Database) -> list[tuple[str, str]]:
    """Events of type alert: rule and what became of it."""
    found = events.after(db, 0, 100_000)
    return [(item.payload["alert"], item.payload["kind"]) for item in found if item.type == "alert"]


def outbox(db: Database) -> list[tuple[int, str, str]]:
    """Alerts in the outbox: number, channel, kind."""
    of = notifications.members.c
    with db.read() as connection:
        query = select(of.alert_id, of.channel, of.kind).order_by(of.alert_id, of.kind)
        return [(row.alert_id, row.channel, row.kind) for row in connection.execute(query)]


__all__ = [
    "AIA",
    "KSO",
    "MINUTE",
    "RULES",
    "START",
    "Clock",
    "Night",
    "Priority",
    "Status",
    "engine_of",
    "outbox",
    "raised",
    "told",
    "with_rules",
]
