"""The tables. Every change here needs a migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA_REVISION = "0001"
"""Head of the migrations that this software needs; a test compares it with Alembic's head."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; SQLite, which has no time zones, keeps it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give aware UTC back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys by itself
_Json: Any = JSON().with_variant(JSONB(), "postgresql")
_Path = Text().with_variant(Text(collation="C"), "postgresql")  # folders are ranges of paths, byte by byte

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

frames = Table(
    "frames",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("sha256", String(64), doc="of the file's bytes; null when they could not be read"),
    Column("frame_index", Integer, nullable=False, doc="0-based place inside the file"),
    Column("instrument", String(64), doc="null for a file of no recognised instrument"),
    Column("family", String(32), doc="name of the pipeline"),
    Column("observatory", String(128)),
    Column("date_obs", UtcDateTime, doc="start of the exposure"),
    Column("date_obs_source", String(16), nullable=False),
    Column(
        "moment", UtcDateTime, nullable=False, doc="date_obs, else received_at: what lists are ordered by"
    ),
    Column("wavelength_nm", Float),
    Column("exposure_time_s", Float),
    Column("is_simulated", Boolean, nullable=False, default=False),
    Column("file_name", Text, nullable=False),
    Column("path", Text, nullable=False, doc="where the file lay when it was first seen"),
    Column("bytes", BigInteger, nullable=False),
    Column("status", String(16), nullable=False, doc="received, processing, done, rejected, failed"),
    Column("reason", Text, doc="why it was rejected or failed"),
    Column("priority", String(16), nullable=False, default="live", doc="live or backfill"),
    Column("closed_at", UtcDateTime, doc="when the file was closed or moved in, as far as known"),
    Column("received_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime, doc="when its task was last put on the queue"),
    Column("retry_at", UtcDateTime, doc="not to be published before, after a failure"),
    Column("claimed_at", UtcDateTime),
    Column("claimed_by", String(128), doc="worker that has it now"),
    Column("processed_at", UtcDateTime),
    Column("latency_s", Float, doc="file closed to result committed"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("quality_score", Float, doc="newest quality result's score, for filters"),
    Column("is_degraded", Boolean),
    Column("mark", String(8), doc="a human's word: good or bad"),
    UniqueConstraint("sha256", "frame_index"),
    Index("ix_frames_instrument_moment_id", "instrument", "moment", "id"),
    Index("ix_frames_moment_id", "moment", "id"),
    Index("ix_frames_status_id", "status", "id"),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("path", _Path, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    UniqueConstraint("path", "bytes", "mtime_ns", "sha256"),
)

results = Table(
    "results",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("frame_id", _Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("analysis", String(32), nullable=False, doc="quality, …"),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("parameters_hash", String(64), nullable=False),
    Column("software_version", String(32), nullable=False),
    Column("payload", _Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("frame_id", "analysis", "model_sha256", "parameters_hash"),
)

causes = Table(
    "causes",
    metadata,
    Column("frame_id", _Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("cause", String(32), primary_key=True),
    Column("probability", Float, nullable=False),
    Index("ix_causes_cause_frame_id", "cause", "frame_id"),
)

products = Table(
    "products",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("frame_id", _Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(32), nullable=False, doc="preview, region-map, …"),
    Column("media_type", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, doc="of the product's bytes; names the file"),
    Column("path", Text, nullable=False, doc="below the product folder"),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("frame_id", "kind", "sha256"),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("type", String(16), nullable=False, doc="frame, result, alert, coverage, status"),
    Column("instrument", String(64)),
    Column("frame_id", _Key),
    Column("payload", _Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    sqlite_autoincrement=True,  # a sequence number is never used twice, even after pruning
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("role", String(16), nullable=False, doc="worker or ingester"),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("facts", _Json, nullable=False, doc="models, providers, version"),
)
