"""The tables of the sky: what all-sky frames showed. A change here needs a migration."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from observatory.analysis import SkyClass
from observatory.storage.column_types import Json, Key, UtcDateTime
from observatory.storage.schema import metadata

PROBABILITIES = tuple(f"probability_{name}" for name in SkyClass)
"""Columns of the six classes' probabilities, in the order of `SkyClass`."""

_IS_FELT = "disturbance_x_nt IS NOT NULL"

skies = Table(
    "skies",
    metadata,
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("instrument", String(64), nullable=False, doc="the frame's, here for the indexes"),
    Column("moment", UtcDateTime, nullable=False, doc="the frame's"),
    Column("is_dated", Boolean, nullable=False, doc="whether the moment is that of the exposure"),
    Column("sky_class", String(16), doc="null: the sky cannot be judged"),
    Column("reason", Text, doc="why it cannot be judged"),
    Column("note", Text, doc="what is known from elsewhere and changed the class"),
    *(Column(name, Float, doc="calibrated; the six sum to 1") for name in PROBABILITIES),
    Column("aurora_probability", Float, doc="sum of arc, diffuse and discrete"),
    Column("cloud_cover", Float, doc="share of the visible sectors that are cloudy"),
    Column("cloud_sectors", LargeBinary, nullable=False, doc="33 times float16 (little endian); NaN: hidden"),
    Column("features", LargeBinary, nullable=False, doc="float16 (little endian)"),
    Column("sun_elevation_deg", Float),
    Column("moon_elevation_deg", Float),
    Column("moon_azimuth_deg", Float, doc="from north over east"),
    Column("moon_illuminated", Float, doc="share of the disk that is lit"),
    Column("can_show_aurora", Boolean, doc="false: daylight or bright twilight"),
    Column("latitude_deg", Float, doc="where the camera stands"),
    Column("longitude_deg", Float),
    Column("height_m", Float),
    Column("geometry", Json, doc="the lens on the detector, with the picture's width and height"),
    Column("disturbance_x_nt", Float, doc="of the geographic north component, told from the frame"),
    Column("disturbance_y_nt", Float, doc="east"),
    Column("disturbance_z_nt", Float, doc="down"),
    Column("disturbance_is_simulated", Boolean, doc="whether its model learned from a simulated station"),
    Column("disturbance_model", String(128), doc="name and version"),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("software_version", String(32), nullable=False),
    Index("ix_skies_moment_frame_id", "moment", "frame_id"),
    Index("ix_skies_sky_class_moment_frame_id", "sky_class", "moment", "frame_id"),
    Index("ix_skies_instrument_sky_class_moment_frame_id", "instrument", "sky_class", "moment", "frame_id"),
    Index(
        "ix_skies_instrument_moment_frame_id",
        *("instrument", "moment", "frame_id"),
        postgresql_include=[  # a series is read from the index alone
            *("is_dated", "sky_class", "aurora_probability", "cloud_cover"),
            *PROBABILITIES,
        ],
    ),
    Index(
        "ix_skies_felt",
        *("instrument", "moment", "frame_id"),
        postgresql_where=text(_IS_FELT),
        sqlite_where=text(_IS_FELT),
    ),
)
