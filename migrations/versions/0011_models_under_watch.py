"""Models under watch: what runs, what tries, and what was found of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "deployments",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=32), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deployments_model_name_id", "deployments", ["model_name", "id"], unique=False)
    for role in ("live", "candidate"):
        condition = sa.text(f"role = '{role}'")
        op.create_index(
            f"uq_deployments_{role}",
            "deployments",
            ["model_name"],
            unique=True,
            postgresql_where=condition,
            sqlite_where=condition,
        )
    op.create_table(
        "deployment_steps",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("deployment_id", _KEY, nullable=True),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name=op.f("fk_deployment_steps_deployment_id_deployments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_steps")),
        sqlite_autoincrement=True,
    )
    _make_shadow_results()
    _make_checks()


def _make_shadow_results() -> None:
    op.create_table(
        "shadow_results",
        sa.Column("deployment_id", _KEY, nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("live_sha256", sa.String(length=64), nullable=False),
        sa.Column("agreement", sa.Float(), nullable=False),
        sa.Column("is_alike", sa.Boolean(), nullable=False),
        sa.Column("live_value", sa.Float(), nullable=True),
        sa.Column("candidate_value", sa.Float(), nullable=True),
        sa.Column("words", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_shadow_results_deployment_id_deployments")
        ),
        sa.ForeignKeyConstraint(
            ["frame_id"],
            ["frames.id"],
            name=op.f("fk_shadow_results_frame_id_frames"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", "frame_id", name=op.f("pk_shadow_results")),
    )
    op.create_index("ix_shadow_results_frame_id", "shadow_results", ["frame_id"], unique=False)


def _make_checks() -> None:
    op.create_table(
        "model_checks",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=32), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("claimed_at", _TIME, nullable=False),
        sa.Column("checked_at", _TIME, nullable=True),
        sa.Column("ratio", sa.Float(), nullable=True),
        sa.Column("is_good", sa.Boolean(), nullable=True),
        sa.Column("detail", _JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_checks")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_model_checks_newest",
        "model_checks",
        ["kind", "model_name", "model_sha256", "instrument", "provider", "id"],
        unique=False,
    )


def downgrade() -> None:
    """Take them away."""
    for table in ("model_checks", "shadow_results", "deployment_steps", "deployments"):
        op.drop_table(table)
