"""Nights: lines of the sky, and the pictures made of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "nights",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("wavelength_nm", sa.Float(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("longitude_deg", sa.Float(), nullable=False),
        sa.Column("start_at", _TIME, nullable=False),
        sa.Column("end_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nights")),
        sa.UniqueConstraint(
            "instrument", "wavelength_nm", "date", name=op.f("uq_nights_instrument_wavelength_nm_date")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_nights_start_at_id", "nights", ["start_at", "id"], unique=False)
    op.create_index(
        "ix_nights_instrument_start_at_id", "nights", ["instrument", "start_at", "id"], unique=False
    )
    _make_slices()
    _make_works()


def _make_slices() -> None:
    op.create_table(
        "sky_slices",
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("night_id", _KEY, nullable=False),
        sa.Column("moment", _TIME, nullable=False),
        sa.Column("is_oriented", sa.Boolean(), nullable=False),
        sa.Column("north_south", sa.LargeBinary(), nullable=False),
        sa.Column("east_west", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_sky_slices_frame_id_frames"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["night_id"], ["nights.id"], name=op.f("fk_sky_slices_night_id_nights"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_sky_slices")),
    )
    op.create_index("ix_sky_slices_night_id_moment", "sky_slices", ["night_id", "moment"], unique=False)


def _make_works() -> None:
    op.create_table(
        "night_works",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("night_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=128), nullable=True),
        sa.Column("claimed_at", _TIME, nullable=True),
        sa.Column("published_at", _TIME, nullable=True),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", _TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payload", _JSON, nullable=True),
        sa.Column("made_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["night_id"], ["nights.id"], name=op.f("fk_night_works_night_id_nights"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_night_works")),
        sa.UniqueConstraint("night_id", "kind", name=op.f("uq_night_works_night_id_kind")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_night_works_status_due_at", "night_works", ["status", "due_at"], unique=False)
    op.create_table(
        "night_pictures",
        sa.Column("night_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("former_path", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["night_id"], ["nights.id"], name=op.f("fk_night_pictures_night_id_nights"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("night_id", "kind", name=op.f("pk_night_pictures")),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_table("night_pictures")
    op.drop_index("ix_night_works_status_due_at", table_name="night_works")
    op.drop_table("night_works")
    op.drop_index("ix_sky_slices_night_id_moment", table_name="sky_slices")
    op.drop_table("sky_slices")
    op.drop_index("ix_nights_instrument_start_at_id", table_name="nights")
    op.drop_index("ix_nights_start_at_id", table_name="nights")
    op.drop_table("nights")
