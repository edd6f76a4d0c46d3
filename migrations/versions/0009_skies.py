"""What all-sky frames showed: class, cloud, features, and the disturbance told from them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_PROBABILITIES = (
    "probability_arc",
    "probability_diffuse",
    "probability_discrete",
    "probability_cloud",
    "probability_moon",
    "probability_clear",
)
_FACTS = ("sun_elevation_deg", "moon_elevation_deg", "moon_azimuth_deg", "moon_illuminated")
_SITE = ("latitude_deg", "longitude_deg", "height_m")
_DISTURBANCE = ("disturbance_x_nt", "disturbance_y_nt", "disturbance_z_nt")
_KEYS = (
    ("ix_skies_moment_frame_id", ("moment", "frame_id"), ()),
    ("ix_skies_sky_class_moment_frame_id", ("sky_class", "moment", "frame_id"), ()),
    (
        "ix_skies_instrument_sky_class_moment_frame_id",
        ("instrument", "sky_class", "moment", "frame_id"),
        (),
    ),
    (
        "ix_skies_instrument_moment_frame_id",
        ("instrument", "moment", "frame_id"),
        ("is_dated", "sky_class", "aurora_probability", "cloud_cover", *_PROBABILITIES),
    ),
)


def _numbers(names: tuple[str, ...]) -> list[sa.Column]:
    return [sa.Column(name, sa.Float(), nullable=True) for name in names]


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "skies",
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_dated", sa.Boolean(), nullable=False),
        sa.Column("sky_class", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        *_numbers((*_PROBABILITIES, "aurora_probability", "cloud_cover")),
        sa.Column("cloud_sectors", sa.LargeBinary(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        *_numbers(_FACTS),
        sa.Column("can_show_aurora", sa.Boolean(), nullable=True),
        *_numbers(_SITE),
        sa.Column("geometry", _JSON, nullable=True),
        *_numbers(_DISTURBANCE),
        sa.Column("disturbance_is_simulated", sa.Boolean(), nullable=True),
        sa.Column("disturbance_model", sa.String(length=128), nullable=True),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=32), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("software_version", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_skies_frame_id_frames"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_skies")),
    )
    for name, columns, include in _KEYS:
        more = {"postgresql_include": list(include)} if include else {}
        op.create_index(name, "skies", list(columns), unique=False, **more)
    is_felt = sa.text("disturbance_x_nt IS NOT NULL")
    op.create_index(
        "ix_skies_felt",
        "skies",
        ["instrument", "moment", "frame_id"],
        unique=False,
        postgresql_where=is_felt,
        sqlite_where=is_felt,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_skies_felt", table_name="skies")
    for name, *_ in reversed(_KEYS):
        op.drop_index(name, table_name="skies")
    op.drop_table("skies")
