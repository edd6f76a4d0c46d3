"""Alerts: their history, and what the engine remembers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_OPEN = sa.text("resolved_at IS NULL")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "alert_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("arrival_id", sa.BigInteger(), nullable=False),
        sa.Column("now_at", _TIME, nullable=False),
        sa.Column("awake_since", _TIME, nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=True),
        sa.Column("leased_until", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_cursor")),
    )
    op.create_table(
        "alert_memories",
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("instrument", name=op.f("pk_alert_memories")),
    )
    op.create_table(
        "alert_states",
        sa.Column("rule", sa.String(length=128), nullable=False),
        sa.Column("alert_key", sa.String(length=256), nullable=False),
        sa.Column("payload", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("rule", "alert_key", name=op.f("pk_alert_states")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("rule", sa.String(length=128), nullable=False),
        sa.Column("alert_key", sa.String(length=256), nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.String(length=32), nullable=False),
        sa.Column("labels", _JSON, nullable=False),
        sa.Column("annotations", _JSON, nullable=False),
        sa.Column("evidence", _JSON, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("fired_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("resolved_at", _TIME, nullable=True),
        sa.Column("inhibited_by", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_alerts_firing",
        "alerts",
        ["rule", "alert_key"],
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_index("ix_alerts_fired_at_id", "alerts", ["fired_at", "id"])
    op.create_index("ix_alerts_instrument_fired_at_id", "alerts", ["instrument", "fired_at", "id"])
    op.create_index("ix_alerts_resolved_at", "alerts", ["resolved_at"])


def downgrade() -> None:
    """Take them back."""
    for table in ("alerts", "alert_states", "alert_memories", "alert_cursor"):
        op.drop_table(table)
