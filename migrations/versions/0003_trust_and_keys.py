"""Marks, keys, the audit log, reprocessing, and the parameters of results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.add_column("results", sa.Column("parameters", _JSON, nullable=True))
    op.create_table(
        "marks",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("mark", sa.String(length=8), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_marks_frame_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marks")),
    )
    op.create_index("ix_marks_frame_id_id", "marks", ["frame_id", "id"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("key_id", _KEY, nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("detail", _JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_table(
        "reprocess_jobs",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("filters", _JSON, nullable=False),
        sa.Column("model", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reprocess_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reprocess_jobs_status_id", "reprocess_jobs", ["status", "id"], unique=False)
    op.create_table(
        "reprocess_frames",
        sa.Column("job_id", _KEY, nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=128), nullable=True),
        sa.Column("claimed_at", _TIME, nullable=True),
        sa.Column("published_at", _TIME, nullable=True),
        sa.Column("retry_at", _TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_reprocess_frames_frame_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["reprocess_jobs.id"], name=op.f("fk_reprocess_frames_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "frame_id", name=op.f("pk_reprocess_frames")),
    )
    op.create_index("ix_reprocess_frames_frame_id", "reprocess_frames", ["frame_id"], unique=False)
    op.create_index(
        "ix_reprocess_frames_status_job_id_frame_id",
        "reprocess_frames",
        ["status", "job_id", "frame_id"],
        unique=False,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("reprocess_frames")
    op.drop_table("reprocess_jobs")
    op.drop_table("audit")
    op.drop_table("api_keys")
    op.drop_table("marks")
    op.drop_column("results", "parameters")
