"""Enhancements of frames in numbers, and cut-outs that are enhanced on demand."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)
_NUMBERS = (
    "contrast_before",
    "contrast_after",
    "unsigned_flux_before_mx",
    "unsigned_flux_after_mx",
    "residual",
    "noise",
    "trusted_fraction",
)
_SERIES = (
    ("ix_enhancements_outcome_moment_frame_id", ("outcome", "moment", "frame_id"), ()),
    (
        "ix_enhancements_instrument_outcome_moment_frame_id",
        ("instrument", "outcome", "moment", "frame_id"),
        ("is_dated", *_NUMBERS),
    ),
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "enhancements",
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("moment", _TIME, nullable=False),
        sa.Column("is_dated", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("quantity", sa.String(length=16), nullable=True),
        *(sa.Column(name, sa.Float(), nullable=True) for name in _NUMBERS),
        sa.Column("window_px", _JSON, nullable=True),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=32), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("software_version", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_enhancements_frame_id_frames"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_enhancements")),
    )
    for name, columns, include in _SERIES:
        op.create_index(name, "enhancements", list(columns), unique=False, postgresql_include=list(include))
    op.create_table(
        "cutouts",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("field_of_view", _JSON, nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=128), nullable=True),
        sa.Column("claimed_at", _TIME, nullable=True),
        sa.Column("published_at", _TIME, nullable=True),
        sa.Column("retry_at", _TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payload", _JSON, nullable=True),
        sa.Column("media_type", sa.String(length=64), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("used_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_cutouts_frame_id_frames"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cutouts")),
        sa.UniqueConstraint("request_sha256", name=op.f("uq_cutouts_request_sha256")),
        sqlite_autoincrement=True,
    )
    for column in ("frame_id", "sha256", "used_at"):
        op.create_index(op.f(f"ix_cutouts_{column}"), "cutouts", [column], unique=False)
    op.create_index("ix_cutouts_status_id", "cutouts", ["status", "id"], unique=False)


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_cutouts_status_id", table_name="cutouts")
    for column in ("used_at", "sha256", "frame_id"):
        op.drop_index(op.f(f"ix_cutouts_{column}"), table_name="cutouts")
    op.drop_table("cutouts")
    for name, *_ in reversed(_SERIES):
        op.drop_index(name, table_name="enhancements")
    op.drop_table("enhancements")
