"""The tables of the models under watch: which run, which try, and what was found of them.

A change here needs a migration.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    text,
)

from observatory.storage.column_types import Json, Key, UtcDateTime
from observatory.storage.schema import metadata


def _only_one(role: str) -> Index:
    condition = text(f"role = '{role}'")
    return Index(
        f"uq_deployments_{role}",
        "model_name",
        unique=True,
        postgresql_where=condition,
        sqlite_where=condition,
    )


deployments = Table(
    "deployments",
    metadata,
    Column("id", Key, primary_key=True),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("folder", Text, nullable=False, doc="below the data folder: manifest and network"),
    Column("role", String(16), nullable=False, doc="candidate, live, former, refused or withdrawn"),
    Column("reason", Text, doc="why it was refused"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("author", String(128), nullable=False),
    _only_one("live"),
    _only_one("candidate"),
    Index("ix_deployments_model_name_id", "model_name", "id"),
    sqlite_autoincrement=True,
)

deployment_steps = Table(
    "deployment_steps",
    metadata,
    Column("id", Key, primary_key=True, doc="grows with every change: what workers compare"),
    Column("model_name", String(64), nullable=False),
    Column("deployment_id", Key, ForeignKey("deployments.id"), doc="null: the network that ships"),
    Column("step", String(16), nullable=False, doc="staged, refused, promoted, rolled_back or withdrawn"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("author", String(128), nullable=False),
    sqlite_autoincrement=True,
)

shadow_results = Table(
    "shadow_results",
    metadata,
    Column("deployment_id", Key, ForeignKey("deployments.id"), primary_key=True),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("live_sha256", String(64), nullable=False, doc="of the model that ran for the frame"),
    Column("agreement", Float, nullable=False, doc="0 to 1: how alike the two answers are"),
    Column("is_alike", Boolean, nullable=False, doc="whether the decisions are the same"),
    Column("live_value", Float, doc="the number that the answers come from"),
    Column("candidate_value", Float),
    Column("words", Text, doc="the difference, where there is one"),
    Column("seconds", Float, nullable=False, doc="that the candidate took"),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_shadow_results_frame_id", "frame_id"),
)

model_checks = Table(
    "model_checks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", String(16), nullable=False, doc="golden or drift"),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("instrument", String(64), nullable=False, doc="whose frames drifted; empty for golden frames"),
    Column("provider", String(64), nullable=False, doc="what ran the golden frames; empty for drift"),
    Column("claimed_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime, doc="null: it is being looked at"),
    Column("ratio", Float, doc="share of right answers, or the drift, 0 to 1"),
    Column("is_good", Boolean),
    Column("detail", Json),
    Index(
        "ix_model_checks_newest",
        *("kind", "model_name", "model_sha256", "instrument", "provider", "id"),
    ),
    sqlite_autoincrement=True,
)
