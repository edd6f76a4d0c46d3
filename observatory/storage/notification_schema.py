"""The tables of the outbox: notifications, silences, acknowledgements. A change here needs a migration."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from observatory.storage.alert_schema import alerts
from observatory.storage.column_types import Json, Key, UtcDateTime
from observatory.storage.schema import metadata

notifications = Table(
    "notifications",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("idempotency_key", String(64), nullable=False, unique=True),
    Column("channel", String(64), nullable=False),
    Column("group_hash", String(64), nullable=False, doc="of the labels that its alerts share"),
    Column("group_labels", Json, nullable=False),
    Column("state", String(16), nullable=False, doc="waiting, sending, sent, failed, silenced, cancelled"),
    Column("is_planned", Boolean, nullable=False, doc="a repeat, an escalation, or after a silence"),
    Column("silence_id", Key, doc="silence whose end it waits for"),
    Column("due_at", UtcDateTime, nullable=False),
    Column("claimed_by", String(128)),
    Column("claimed_until", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, doc="why the last attempt failed"),
    Column("payload", Json, doc="the alerts as they are told, from the first attempt on"),
    Column(
        "created_at", UtcDateTime, nullable=False, doc="of a planned one, once it is sent: when it was due"
    ),
    Column("finished_at", UtcDateTime),
    Index("ix_notifications_state_due_at", "state", "due_at"),
    Index("ix_notifications_channel_group_hash_id", "channel", "group_hash", "id"),
    sqlite_autoincrement=True,
)

notification_alerts = Table(
    "notification_alerts",
    metadata,
    Column("alert_id", Key, ForeignKey(alerts.c.id, ondelete="CASCADE"), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True, doc="fired, resolved, repeat, escalation"),
    Column("number", Integer, primary_key=True, doc="of the repeat or the escalation's step; else 0"),
    Column(
        "notification_id",
        Key,
        ForeignKey("notifications.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("dropped", String(16), doc="silenced or cancelled: not told with the others; else null"),
    Column("facts", Json, nullable=False, doc="rule, labels, annotations, times"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("matchers", Json, nullable=False, doc="label to glob; all must fit"),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False, index=True),
    Column("comment", Text),
    Column("author", String(128), nullable=False, doc="name of the key, or of the person at the shell"),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,  # the audit log quotes the number
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("alert_id", Key, ForeignKey(alerts.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("note", Text),
    Column("author", String(128), nullable=False, doc="name of the key, or of the person at the shell"),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

notification_tallies = Table(
    "notification_tallies",
    metadata,
    Column("channel", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True, doc="sent, retried, failed, silenced, cancelled"),
    Column("count", BigInteger, nullable=False, doc="outlives the rows that were counted"),
)
