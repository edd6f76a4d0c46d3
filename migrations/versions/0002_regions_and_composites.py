"""Regions, their tracks, and composites."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "composites",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("look", sa.String(length=64), nullable=False),
        sa.Column("date_obs", _TIME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=128), nullable=True),
        sa.Column("claimed_at", _TIME, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", _TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payload", _JSON, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("made_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_composites")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_composites_date_obs_id", "composites", ["date_obs", "id"], unique=False)
    op.create_index("ix_composites_look_date_obs_id", "composites", ["look", "date_obs", "id"], unique=False)
    op.create_index("ix_composites_status_id", "composites", ["status", "id"], unique=False)
    op.create_table(
        "tracks",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("event_type", sa.String(length=8), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("sightings", sa.Integer(), nullable=False),
        sa.Column("parent_id", _KEY, nullable=True),
        sa.Column("merged_into_id", _KEY, nullable=True),
        sa.Column("merged_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracks")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracks_event_type_last_seen", "tracks", ["event_type", "last_seen"], unique=False)
    op.create_table(
        "composite_frames",
        sa.Column("composite_id", _KEY, nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("look", sa.String(length=64), nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["composite_id"],
            ["composites.id"],
            name=op.f("fk_composite_frames_composite_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_composite_frames_frame_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("composite_id", "channel", name=op.f("pk_composite_frames")),
        sa.UniqueConstraint("look", "frame_id", name=op.f("uq_composite_frames_look_frame_id")),
    )
    op.create_index("ix_composite_frames_frame_id", "composite_frames", ["frame_id"], unique=False)
    op.create_table(
        "composite_pictures",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("composite_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["composite_id"],
            ["composites.id"],
            name=op.f("fk_composite_pictures_composite_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_composite_pictures")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_composite_pictures_composite_id"), "composite_pictures", ["composite_id"], unique=False
    )
    op.create_table(
        "regions",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("event_type", sa.String(length=8), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("moment", _TIME, nullable=False),
        sa.Column("track_id", _KEY, nullable=True),
        sa.Column("disk_fraction", sa.Float(), nullable=False),
        sa.Column("area_px", sa.Float(), nullable=False),
        sa.Column("area_msh", sa.Float(), nullable=True),
        sa.Column("area_atdiskcenter_mm2", sa.Float(), nullable=True),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("intensity_mean", sa.Float(), nullable=True),
        sa.Column("intensity_median", sa.Float(), nullable=True),
        sa.Column("intensity_min", sa.Float(), nullable=True),
        sa.Column("intensity_max", sa.Float(), nullable=True),
        sa.Column("intensity_std", sa.Float(), nullable=True),
        sa.Column("centroid_x_px", sa.Float(), nullable=False),
        sa.Column("centroid_y_px", sa.Float(), nullable=False),
        sa.Column("hpc_x_arcsec", sa.Float(), nullable=True),
        sa.Column("hpc_y_arcsec", sa.Float(), nullable=True),
        sa.Column("stonyhurst_longitude_deg", sa.Float(), nullable=True),
        sa.Column("stonyhurst_latitude_deg", sa.Float(), nullable=True),
        sa.Column("carrington_longitude_deg", sa.Float(), nullable=True),
        sa.Column("carrington_latitude_deg", sa.Float(), nullable=True),
        sa.Column("bounding_box_px", _JSON, nullable=False),
        sa.Column("rings_px", _JSON, nullable=False),
        sa.Column("rings_hpc_arcsec", _JSON, nullable=True),
        sa.Column("rings_carrington_deg", _JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_regions_frame_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.id"], name=op.f("fk_regions_track_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regions")),
        sa.UniqueConstraint(
            "frame_id", "event_type", "number", name=op.f("uq_regions_frame_id_event_type_number")
        ),
    )
    op.create_index("ix_regions_event_type_area_msh", "regions", ["event_type", "area_msh"], unique=False)
    op.create_index(
        "ix_regions_event_type_disk_fraction", "regions", ["event_type", "disk_fraction"], unique=False
    )
    op.create_index(
        "ix_regions_event_type_moment_id", "regions", ["event_type", "moment", "id"], unique=False
    )
    op.create_index(
        "ix_regions_instrument_event_type_moment_id",
        "regions",
        ["instrument", "event_type", "moment", "id"],
        unique=False,
    )
    op.create_index(
        "ix_regions_track_id_instrument_moment_id",
        "regions",
        ["track_id", "instrument", "moment", "id"],
        unique=False,
    )
    op.create_index("ix_regions_track_id_moment_id", "regions", ["track_id", "moment", "id"], unique=False)
    op.create_table(
        "segmentations",
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("event_type", sa.String(length=8), nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("moment", _TIME, nullable=False),
        sa.Column("is_dated", sa.Boolean(), nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=32), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("parameters_hash", sa.String(length=64), nullable=False),
        sa.Column("software_version", sa.String(length=32), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("regions", sa.Integer(), nullable=False),
        sa.Column("disk_fraction", sa.Float(), nullable=False),
        sa.Column("disk_fraction_conservative", sa.Float(), nullable=True),
        sa.Column("disk_fraction_liberal", sa.Float(), nullable=True),
        sa.Column("area_msh", sa.Float(), nullable=True),
        sa.Column("preview_affine", _JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_segmentations_frame_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("frame_id", "event_type", name=op.f("pk_segmentations")),
    )
    op.create_index(
        "ix_segmentations_event_type_moment", "segmentations", ["event_type", "moment"], unique=False
    )
    op.create_index(
        "ix_segmentations_instrument_event_type_moment",
        "segmentations",
        ["instrument", "event_type", "moment"],
        unique=False,
    )
    op.create_table(
        "track_events",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("moment", _TIME, nullable=False),
        sa.Column("frame_id", _KEY, nullable=False),
        sa.Column("track_id", _KEY, nullable=False),
        sa.Column("other_id", _KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["frame_id"], ["frames.id"], name=op.f("fk_track_events_frame_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.id"], name=op.f("fk_track_events_track_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_track_events")),
    )
    op.create_index(op.f("ix_track_events_frame_id"), "track_events", ["frame_id"], unique=False)
    op.create_index(op.f("ix_track_events_other_id"), "track_events", ["other_id"], unique=False)
    op.create_index(op.f("ix_track_events_track_id"), "track_events", ["track_id"], unique=False)
    op.create_index(
        "ix_frames_instrument_processed_at", "frames", ["instrument", "processed_at"], unique=False
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_index("ix_frames_instrument_processed_at", table_name="frames")
    op.drop_index(op.f("ix_track_events_track_id"), table_name="track_events")
    op.drop_index(op.f("ix_track_events_other_id"), table_name="track_events")
    op.drop_index(op.f("ix_track_events_frame_id"), table_name="track_events")
    op.drop_table("track_events")
    op.drop_index("ix_segmentations_instrument_event_type_moment", table_name="segmentations")
    op.drop_index("ix_segmentations_event_type_moment", table_name="segmentations")
    op.drop_table("segmentations")
    op.drop_index("ix_regions_track_id_moment_id", table_name="regions")
    op.drop_index("ix_regions_track_id_instrument_moment_id", table_name="regions")
    op.drop_index("ix_regions_instrument_event_type_moment_id", table_name="regions")
    op.drop_index("ix_regions_event_type_moment_id", table_name="regions")
    op.drop_index("ix_regions_event_type_disk_fraction", table_name="regions")
    op.drop_index("ix_regions_event_type_area_msh", table_name="regions")
    op.drop_table("regions")
    op.drop_index(op.f("ix_composite_pictures_composite_id"), table_name="composite_pictures")
    op.drop_table("composite_pictures")
    op.drop_index("ix_composite_frames_frame_id", table_name="composite_frames")
    op.drop_table("composite_frames")
    op.drop_index("ix_tracks_event_type_last_seen", table_name="tracks")
    op.drop_table("tracks")
    op.drop_index("ix_composites_status_id", table_name="composites")
    op.drop_index("ix_composites_look_date_obs_id", table_name="composites")
    op.drop_index("ix_composites_date_obs_id", table_name="composites")
    op.drop_table("composites")
