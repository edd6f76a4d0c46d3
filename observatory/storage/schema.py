"""The tables. Every change here needs a migration; a test compares the two.

On Postgres the view ``epn_core`` (migration 0004) reads `frames` and `products`: a migration that changes a
column of theirs must drop it first and make it again.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from observatory.storage.column_types import Json, Key, PathText, UtcDateTime, partial_index

SCHEMA_REVISION = "0012"
"""Head of the migrations that this software needs; a test compares it with Alembic's head."""


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
    Column("id", Key, primary_key=True),
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
    Column("sky_class", String(16), doc="newest sky result's class, for filters"),
    UniqueConstraint("sha256", "frame_index"),
    Index("ix_frames_instrument_moment_id", "instrument", "moment", "id"),
    Index("ix_frames_instrument_processed_at", "instrument", "processed_at"),
    Index("ix_frames_instrument_received_at", "instrument", "received_at"),
    partial_index(
        "ix_frames_ahead", *("instrument", "received_at"), where="moment > received_at"
    ),  # see `standing`
    Index("ix_frames_moment_id", "moment", "id"),
    Index("ix_frames_status_id", "status", "id"),
    # One for each filter of the lists, with the lists' order: see `key_sources`.
    Index("ix_frames_status_moment_id", "status", "moment", "id"),
    Index("ix_frames_instrument_status_moment_id", "instrument", "status", "moment", "id"),
    Index("ix_frames_wavelength_nm_instrument_moment_id", "wavelength_nm", "instrument", "moment", "id"),
    partial_index("ix_frames_mark_moment_id", "mark", "moment", "id", where="mark IS NOT NULL"),
    partial_index(
        "ix_frames_sky_class_moment_id", "sky_class", "moment", "id", where="sky_class IS NOT NULL"
    ),
    partial_index(
        "ix_frames_instrument_sky_class_moment_id",
        *("instrument", "sky_class", "moment", "id"),
        where="sky_class IS NOT NULL",
    ),
    partial_index(
        "ix_frames_quality_score", "quality_score", include=("id",), where="quality_score IS NOT NULL"
    ),
    partial_index(
        "ix_frames_scored",
        *("instrument", "moment", "id"),
        include=("quality_score", "is_degraded"),
        where="quality_score IS NOT NULL AND date_obs IS NOT NULL",
    ),
    partial_index(
        "ix_frames_waiting",
        *("family", "priority", "received_at"),
        include=("instrument", "status"),
        where="status IN ('received', 'processing')",
    ),
    # Scores in steps of 1/50, so that a range of them is a few runs in the lists' order.
    partial_index(
        "ix_frames_step_moment_id",
        *(text("floor(quality_score * 50)"), "moment", "id"),
        include=("quality_score",),
        where="quality_score IS NOT NULL",
    ).ddl_if(dialect="postgresql"),
    partial_index(
        "ix_frames_instrument_step_moment_id",
        *("instrument", text("floor(quality_score * 50)"), "moment", "id"),
        include=("quality_score",),
        where="quality_score IS NOT NULL",
    ).ddl_if(dialect="postgresql"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("instrument", String(64), primary_key=True, doc="empty for frames of none"),
    Column("family", String(32), primary_key=True),
    Column("priority", String(16), primary_key=True),
    Column("status", String(16), primary_key=True, doc="done, rejected, failed: those that stay"),
    Column("frames", BigInteger, nullable=False, doc="how many there are; kept by triggers"),
    Column("degraded", BigInteger, nullable=False, doc="how many of them"),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("id", Key, primary_key=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("path", PathText, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    UniqueConstraint("path", "bytes", "mtime_ns", "sha256"),
)

results = Table(
    "results",
    metadata,
    Column("id", Key, primary_key=True),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("analysis", String(32), nullable=False, doc="quality, …"),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("parameters_hash", String(64), nullable=False),
    Column("parameters", Json, doc="what the hash was taken of; null in rows of before they were kept"),
    Column("software_version", String(32), nullable=False),
    Column("payload", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # A history: no run that says the same again is written, but a former model may return.
    Index("ix_results_frame_id_id", "frame_id", "id"),
    Index("ix_results_model_name_model_version_model_sha256", "model_name", "model_version", "model_sha256"),
)

causes = Table(
    "causes",
    metadata,
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("cause", String(32), primary_key=True),
    Column("probability", Float, nullable=False),
    Column("instrument", String(64), doc="the frame's, here for the indexes"),
    Column("moment", UtcDateTime, doc="the frame's"),
    Index("ix_causes_cause_moment_frame_id", "cause", "moment", "frame_id"),
    Index("ix_causes_instrument_cause_moment_frame_id", "instrument", "cause", "moment", "frame_id"),
)

products = Table(
    "products",
    metadata,
    Column("id", Key, primary_key=True),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
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

segmentations = Table(
    "segmentations",
    metadata,
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("event_type", String(8), primary_key=True, doc="HEK's code: CH, AR"),
    Column("instrument", String(64), nullable=False, doc="the frame's, here for the indexes"),
    Column("moment", UtcDateTime, nullable=False, doc="the frame's"),
    Column("is_dated", Boolean, nullable=False, doc="whether the moment is that of the exposure"),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("parameters_hash", String(64), nullable=False),
    Column("software_version", String(32), nullable=False),
    Column("threshold", Float, doc="least probability inside the regions"),
    Column("regions", Integer, nullable=False, doc="how many; 0 is an answer"),
    Column("disk_fraction", Float, nullable=False, doc="of the visible disk, at the medium threshold"),
    Column("disk_fraction_conservative", Float),
    Column("disk_fraction_liberal", Float),
    Column("area_msh", Float, doc="sum of the regions', 10^-6 hemispheres"),
    Column("preview_affine", Json, doc="[a, b, c, d, e, f]: frame pixels to shares of the preview"),
    Index("ix_segmentations_instrument_event_type_moment", "instrument", "event_type", "moment"),
    Index("ix_segmentations_event_type_moment", "event_type", "moment"),
    partial_index("ix_segmentations_found", "event_type", "moment", "frame_id", where="regions > 0"),
    partial_index(
        "ix_segmentations_instrument_found",
        *("instrument", "event_type", "moment", "frame_id"),
        where="regions > 0",
    ),
)

tracks = Table(
    "tracks",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("event_type", String(8), nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("sightings", Integer, nullable=False, doc="frames in which it was seen"),
    Column("parent_id", Key, doc="track that it split from"),
    Column("merged_into_id", Key, doc="track that it merged into"),
    Column("merged_at", UtcDateTime),
    Index("ix_tracks_event_type_last_seen", "event_type", "last_seen"),
    sqlite_autoincrement=True,  # a track's number is quoted elsewhere: it is never given twice
)

track_events = Table(
    "track_events",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", String(8), nullable=False, doc="split, merge or return"),
    Column("moment", UtcDateTime, nullable=False),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("track_id", Key, ForeignKey("tracks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("other_id", Key, index=True, doc="what it split from or merged into; null: it returned"),
)

regions = Table(
    "regions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("event_type", String(8), nullable=False),
    Column("number", Integer, nullable=False, doc="1 is the largest of its frame and type"),
    Column("instrument", String(64), nullable=False, doc="the frame's, here for the indexes"),
    Column("moment", UtcDateTime, nullable=False, doc="the frame's"),
    Column("track_id", Key, ForeignKey("tracks.id", ondelete="SET NULL"), doc="null: it has no coordinates"),
    Column("disk_fraction", Float, nullable=False, doc="area as seen, of the visible disk's"),
    Column("area_px", Float, nullable=False),
    Column("area_msh", Float, doc="foreshortening corrected, 10^-6 hemispheres"),
    Column("area_atdiskcenter_mm2", Float, doc="the same, Mm^2"),
    Column("probability", Float, nullable=False),
    Column("intensity_mean", Float),
    Column("intensity_median", Float),
    Column("intensity_min", Float),
    Column("intensity_max", Float),
    Column("intensity_std", Float),
    Column("centroid_x_px", Float, nullable=False),
    Column("centroid_y_px", Float, nullable=False),
    Column("hpc_x_arcsec", Float, doc="of the centroid, as all that follows"),
    Column("hpc_y_arcsec", Float),
    Column("stonyhurst_longitude_deg", Float),
    Column("stonyhurst_latitude_deg", Float),
    Column("carrington_longitude_deg", Float),
    Column("carrington_latitude_deg", Float),
    Column("bounding_box_px", Json, nullable=False),
    Column("rings_px", Json, nullable=False),
    Column("rings_hpc_arcsec", Json),
    Column("rings_carrington_deg", Json),
    UniqueConstraint("frame_id", "event_type", "number"),
    Index("ix_regions_event_type_moment_id", "event_type", "moment", "id"),
    Index("ix_regions_instrument_event_type_moment_id", "instrument", "event_type", "moment", "id"),
    Index("ix_regions_track_id_moment_id", "track_id", "moment", "id"),
    Index("ix_regions_track_id_instrument_moment_id", "track_id", "instrument", "moment", "id"),
    Index("ix_regions_event_type_area_msh", "event_type", "area_msh"),
    Index("ix_regions_event_type_disk_fraction", "event_type", "disk_fraction"),
)

composites = Table(
    "composites",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("look", String(64), nullable=False, doc="which channels, mixed how"),
    Column("date_obs", UtcDateTime, nullable=False, doc="the earliest frame's"),
    Column("status", String(16), nullable=False, doc="waiting, composing, done, failed, alone"),
    Column("is_complete", Boolean, nullable=False, doc="whether no channel is missing"),
    Column("revision", Integer, nullable=False, doc="how often it was made"),
    Column("claimed_by", String(128)),
    Column("claimed_at", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", UtcDateTime, doc="not to be made before, after a failure"),
    Column("reason", Text, doc="why it failed"),
    Column("payload", Json, doc="levels, parameters, versions"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("made_at", UtcDateTime),
    Index("ix_composites_look_date_obs_id", "look", "date_obs", "id"),
    Index("ix_composites_date_obs_id", "date_obs", "id"),
    Index("ix_composites_status_id", "status", "id"),
    sqlite_autoincrement=True,
)

composite_frames = Table(
    "composite_frames",
    metadata,
    Column("composite_id", Key, ForeignKey("composites.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("look", String(64), nullable=False, doc="the set's, here for the key"),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    UniqueConstraint("look", "frame_id"),
    Index("ix_composite_frames_frame_id", "frame_id"),
)

composite_pictures = Table(
    "composite_pictures",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("composite_id", Key, ForeignKey("composites.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(32), nullable=False, doc="composite-1024, …"),
    Column("media_type", String(64), nullable=False),
    Column("sha256", String(64), nullable=False, doc="of the picture's bytes; names the file"),
    Column("path", Text, nullable=False, doc="below the product folder"),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,  # addresses are cached for ever: a number never names other bytes
)

events = Table(
    "events",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("type", String(16), nullable=False, doc="frame, result, alert, coverage, status"),
    Column("instrument", String(64)),
    Column("frame_id", Key),
    Column("payload", Json, nullable=False),
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
    Column("facts", Json, nullable=False, doc="models, providers, version"),
)

marks = Table(
    "marks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False),
    Column("mark", String(8), doc="good or bad; null takes the word before it back"),
    Column("note", Text),
    Column("author", String(128), nullable=False, doc="name of the key, or of the person at the shell"),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_marks_frame_id_id", "frame_id", "id"),
)

reprocess_jobs = Table(
    "reprocess_jobs",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("author", String(128), nullable=False),
    Column("filters", Json, nullable=False, doc="which frames were asked for"),
    Column("model", String(64), doc="family that is run again; null: everything"),
    Column("status", String(16), nullable=False, doc="running, done, cancelled"),
    Column("frames", Integer, nullable=False, doc="how many there are"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("ix_reprocess_jobs_status_id", "status", "id"),
    sqlite_autoincrement=True,
)

reprocess_frames = Table(
    "reprocess_frames",
    metadata,
    Column("job_id", Key, ForeignKey("reprocess_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("status", String(16), nullable=False, doc="waiting, working, done, failed"),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String(128)),
    Column("claimed_at", UtcDateTime),
    Column("published_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("reason", Text, doc="why it failed"),
    Index("ix_reprocess_frames_status_job_id_frame_id", "status", "job_id", "frame_id"),
    Index("ix_reprocess_frames_frame_id", "frame_id"),
)

closures = Table(
    "closures",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("instrument", String(64), doc="null: all of them"),
    Column("start_at", UtcDateTime, nullable=False),
    Column("end_at", UtcDateTime, nullable=False, index=True),
    Column("reason", Text),
    Column("author", String(128), nullable=False, doc="name of the key, or of the person at the shell"),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,  # the audit log quotes the number
)

open_gaps = Table(
    "open_gaps",
    metadata,
    Column("instrument", String(64), primary_key=True, doc="one gap at a time: its key tells it once"),
    Column("last_at", UtcDateTime, nullable=False, doc="moment of the last frame before it, else start_at"),
    Column("start_at", UtcDateTime, nullable=False, doc="when the first lost frame was due"),
    Column("opened_at", UtcDateTime, nullable=False, doc="when it was told"),
)

enhancements = Table(
    "enhancements",
    metadata,
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), primary_key=True),
    Column("instrument", String(64), nullable=False, doc="the frame's, here for the indexes"),
    Column("moment", UtcDateTime, nullable=False, doc="the frame's"),
    Column("is_dated", Boolean, nullable=False, doc="whether the moment is that of the exposure"),
    Column("outcome", String(16), nullable=False, doc="enhanced, refused, skipped"),
    Column("reason", Text, doc="why it was refused or skipped"),
    Column("quantity", String(16), doc="continuum or field; null: not enhanced"),
    Column("contrast_before", Float, doc="of the granulation, rms over mean of the quiet Sun"),
    Column("contrast_after", Float),
    Column("unsigned_flux_before_mx", Float),
    Column("unsigned_flux_after_mx", Float),
    Column("residual", Float, doc="rms of input minus result degraded again; quiet Sun, or kG"),
    Column("noise", Float, doc="rms of the input's, the same unit"),
    Column("trusted_fraction", Float),
    Column("window_px", Json, doc="[x0, y0, x1, y1]: first pixel and the one after the last"),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("software_version", String(32), nullable=False),
    Index("ix_enhancements_outcome_moment_frame_id", "outcome", "moment", "frame_id"),
    Index(
        "ix_enhancements_instrument_outcome_moment_frame_id",
        *("instrument", "outcome", "moment", "frame_id"),
        postgresql_include=[  # a series is read from the index alone
            *("is_dated", "contrast_before", "contrast_after"),
            *("unsigned_flux_before_mx", "unsigned_flux_after_mx"),
            *("residual", "noise", "trusted_fraction"),
        ],
    ),
)

cutouts = Table(
    "cutouts",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("request_sha256", String(64), nullable=False, unique=True, doc="of frame, window and networks"),
    Column("frame_id", Key, ForeignKey("frames.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("field_of_view", Json, nullable=False, doc="as it was asked for"),
    Column("author", String(128), nullable=False, doc="name of the key that asked first"),
    Column("status", String(16), nullable=False, doc="waiting, working, done, refused, lost, failed"),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String(128)),
    Column("claimed_at", UtcDateTime),
    Column("published_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("reason", Text, doc="why it was refused, or failed"),
    Column("payload", Json, doc="the numbers"),
    Column("media_type", String(64)),
    Column("sha256", String(64), index=True, doc="of the file's bytes"),
    Column("path", Text, doc="below the product folder"),
    Column("bytes", BigInteger),
    Column("created_at", UtcDateTime, nullable=False, doc="when it was asked for, anew after it failed"),
    Column("finished_at", UtcDateTime),
    Column("used_at", UtcDateTime, nullable=False, index=True, doc="when it was last asked for"),
    Index("ix_cutouts_status_id", "status", "id"),
    sqlite_autoincrement=True,  # addresses are cached for ever: a number never names other bytes
)
