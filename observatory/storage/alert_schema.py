"""The tables of the alert engine: where it stands, and what fires and fired. A change here needs a migration."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from observatory.storage.column_types import Json, Key, UtcDateTime
from observatory.storage.schema import metadata

alert_cursor = Table(
    "alert_cursor",
    metadata,
    Column("id", Integer, primary_key=True, doc="1: there is one engine"),
    Column("event_seq", BigInteger, nullable=False, doc="last event that it has seen"),
    Column("arrival_id", BigInteger, nullable=False, doc="last sighting of a file that it has seen"),
    Column("now_at", UtcDateTime, nullable=False, doc="up to when it has thought"),
    Column("awake_since", UtcDateTime, nullable=False, doc="from when on it has missed nothing"),
    Column("rules", Text, nullable=False, doc="text of the last good rules"),
    Column("revision", BigInteger, nullable=False, doc="counts the steps that wrote something"),
    Column("holder", String(128), doc="process that does the watching"),
    Column("leased_until", UtcDateTime),
)

alert_memories = Table(
    "alert_memories",
    metadata,
    Column("instrument", String(64), primary_key=True),
    Column("payload", Json, nullable=False, doc="what the engine remembers of it between frames"),
)

alert_states = Table(
    "alert_states",
    metadata,
    Column("rule", String(128), primary_key=True),
    Column("alert_key", String(256), primary_key=True, doc="instrument=…, with cause or event_type"),
    Column("payload", Json, nullable=False, doc="pending, firing or clearing, since when, how many frames"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("rule", String(128), nullable=False),
    Column("alert_key", String(256), nullable=False),
    Column("instrument", String(64), nullable=False),
    Column("severity", String(32), nullable=False),
    Column("labels", Json, nullable=False),
    Column("annotations", Json, nullable=False),
    Column("evidence", Json, nullable=False, doc="cause, frames, worst and last frame"),
    Column("since", UtcDateTime, nullable=False, doc="when its condition began to hold"),
    Column("fired_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime, doc="null: it fires"),
    Column("inhibited_by", String(128), doc="rule that keeps it quiet"),
    # One that fires at a time: whatever two processes believe, an alert is never raised twice.
    Index(
        "uq_alerts_firing",
        *("rule", "alert_key"),
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
        sqlite_where=text("resolved_at IS NULL"),
    ),
    Index("ix_alerts_fired_at_id", "fired_at", "id"),
    Index("ix_alerts_instrument_fired_at_id", "instrument", "fired_at", "id"),
    Index("ix_alerts_resolved_at", "resolved_at"),
    sqlite_autoincrement=True,  # idempotency keys quote the number
)
