"""The tables of nights: lines of the sky, and who makes the pictures of them. A change here needs a migration."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from observatory.storage.column_types import Json, Key, UtcDateTime
from observatory.storage.schema import metadata

nights = Table(
    "nights",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("instrument", String(64), nullable=False),
    Column("wavelength_nm", Float, nullable=False, doc="to a tenth; 0: no filter that is known"),
    Column("date", Date, nullable=False, doc="of its evening, local mean time"),
    Column("longitude_deg", Float, nullable=False, doc="of the camera; 0 where nobody knows it"),
    Column("start_at", UtcDateTime, nullable=False, doc="local mean noon before it"),
    Column("end_at", UtcDateTime, nullable=False),
    UniqueConstraint("instrument", "wavelength_nm", "date"),
    Index("ix_nights_start_at_id", "start_at", "id"),
    Index("ix_nights_instrument_start_at_id", "instrument", "start_at", "id"),
    sqlite_autoincrement=True,  # addresses of pictures quote the number
)

sky_slices = Table(
    "sky_slices",
    metadata,
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("night_id", Key, ForeignKey("nights.id", ondelete="CASCADE"), nullable=False),
    Column("moment", UtcDateTime, nullable=False, doc="start of the exposure"),
    Column("is_oriented", Boolean, nullable=False, doc="whether north is north"),
    Column("north_south", LargeBinary, nullable=False, doc="181 times red, green, blue, 8 bits"),
    Column("east_west", LargeBinary, nullable=False),
    Index("ix_sky_slices_night_id_moment", "night_id", "moment"),
)

night_works = Table(
    "night_works",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("night_id", Key, ForeignKey("nights.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False, doc="pictures or film"),
    Column("status", String(16), nullable=False, doc="waiting, working, done, failed"),
    Column("changes", Integer, nullable=False, doc="frames written to the night so far, anew ones too"),
    Column("seen", Integer, nullable=False, doc="how many of them the work at hand, or the last one, knows"),
    Column("revision", Integer, nullable=False, doc="how often it was done"),
    Column("claimed_by", String(128)),
    Column("claimed_at", UtcDateTime),
    Column("published_at", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False, doc="not to be done before"),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", UtcDateTime, doc="not to be done before, after a failure"),
    Column("reason", Text, doc="why it failed"),
    Column("payload", Json, doc="of the pictures: the night in numbers"),
    Column("made_at", UtcDateTime),
    UniqueConstraint("night_id", "kind"),
    Index("ix_night_works_status_due_at", "status", "due_at"),
    sqlite_autoincrement=True,
)

night_pictures = Table(
    "night_pictures",
    metadata,
    Column("night_id", Key, ForeignKey("nights.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True, doc="keogram, ewogram, film"),
    Column("media_type", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, doc="of the bytes; names the file"),
    Column("path", Text, nullable=False, doc="below the product folder"),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("former_path", Text, doc="what it replaced: removed with the next one, for somebody may read it"),
    Column("created_at", UtcDateTime, nullable=False),
)
