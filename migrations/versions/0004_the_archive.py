"""What a long archive and repeated runs need."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_RUN_KEY = ("frame_id", "analysis", "model_sha256", "parameters_hash")
_RUN_KEY_NAME = "uq_results_frame_id_analysis_model_sha256_parameters_hash"


def upgrade() -> None:
    """Make the changes, one subject a function."""
    _let_a_former_model_return()
    _list_by_every_filter()
    _keep_tallies()
    _show_epn_core()


def downgrade() -> None:
    """Take them back."""
    _hide_epn_core()
    _forget_tallies()
    _list_by_time_alone()
    _let_no_former_model_return()


def _let_a_former_model_return() -> None:
    """Results are a history: what a model said may be said again after another one spoke."""
    with op.batch_alter_table("results") as results:
        results.drop_constraint(op.f(_RUN_KEY_NAME), type_="unique")
    op.create_index("ix_results_frame_id_id", "results", ["frame_id", "id"], unique=False)
    op.create_index(
        "ix_results_model_name_model_version_model_sha256",
        "results",
        ["model_name", "model_version", "model_sha256"],
        unique=False,
    )


def _let_no_former_model_return() -> None:
    op.drop_index("ix_results_model_name_model_version_model_sha256", table_name="results")
    op.drop_index("ix_results_frame_id_id", table_name="results")
    key = ", ".join(_RUN_KEY)
    op.execute(sa.text(f"DELETE FROM results WHERE id NOT IN (SELECT max(id) FROM results GROUP BY {key})"))
    with op.batch_alter_table("results") as results:
        results.create_unique_constraint(op.f(_RUN_KEY_NAME), list(_RUN_KEY))


_TIME = sa.DateTime(timezone=True)
_STEP = sa.text("floor(quality_score * 50)")
_SCORED = "quality_score IS NOT NULL"


def _list_by_every_filter() -> None:
    """Give each filter of the lists an index in the lists' order, with the instrument and without."""
    op.add_column("frames", sa.Column("sky_class", sa.String(length=16), nullable=True))
    op.add_column("causes", sa.Column("instrument", sa.String(length=64), nullable=True))
    op.add_column("causes", sa.Column("moment", _TIME, nullable=True))
    for name in ("instrument", "moment"):
        op.execute(
            f"UPDATE causes SET {name} = (SELECT frames.{name} FROM frames WHERE frames.id = causes.frame_id)"
        )
    op.drop_index("ix_causes_cause_frame_id", table_name="causes")
    for table, columns in _PLAIN_INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns), unique=False)
    for name, table, columns, where, include in _partial_indexes():
        op.create_index(
            name,
            table,
            list(columns),
            unique=False,
            postgresql_where=sa.text(where),
            postgresql_include=list(include),
            sqlite_where=sa.text(where),
        )


_PLAIN_INDEXES = (
    ("frames", ("instrument", "received_at")),
    ("frames", ("status", "moment", "id")),
    ("frames", ("instrument", "status", "moment", "id")),
    ("frames", ("wavelength_nm", "instrument", "moment", "id")),
    ("causes", ("cause", "moment", "frame_id")),
    ("causes", ("instrument", "cause", "moment", "frame_id")),
)


def _partial_indexes() -> list[tuple[str, str, tuple, str, tuple[str, ...]]]:
    page = ("moment", "id")
    found = [
        ("ix_frames_mark_moment_id", "frames", ("mark", *page), "mark IS NOT NULL", ()),
        ("ix_frames_sky_class_moment_id", "frames", ("sky_class", *page), "sky_class IS NOT NULL", ()),
        (
            "ix_frames_instrument_sky_class_moment_id",
            "frames",
            ("instrument", "sky_class", *page),
            "sky_class IS NOT NULL",
            (),
        ),
        ("ix_frames_quality_score", "frames", ("quality_score",), _SCORED, ("id",)),
        (
            "ix_frames_scored",
            "frames",
            ("instrument", *page),
            f"{_SCORED} AND date_obs IS NOT NULL",
            ("quality_score", "is_degraded"),
        ),
        (
            "ix_frames_waiting",
            "frames",
            ("family", "priority", "received_at"),
            "status IN ('received', 'processing')",
            ("instrument", "status"),
        ),
        ("ix_segmentations_found", "segmentations", ("event_type", "moment", "frame_id"), "regions > 0", ()),
        (
            "ix_segmentations_instrument_found",
            "segmentations",
            ("instrument", "event_type", "moment", "frame_id"),
            "regions > 0",
            (),
        ),
    ]
    if op.get_bind().dialect.name == "postgresql":
        scores = ("quality_score",)
        found += [
            ("ix_frames_step_moment_id", "frames", (_STEP, *page), _SCORED, scores),
            ("ix_frames_instrument_step_moment_id", "frames", ("instrument", _STEP, *page), _SCORED, scores),
        ]
    return found


def _list_by_time_alone() -> None:
    for name, table, *_ in reversed(_partial_indexes()):
        op.drop_index(name, table_name=table)
    for table, columns in reversed(_PLAIN_INDEXES):
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table_name=table)
    op.create_index("ix_causes_cause_frame_id", "causes", ["cause", "frame_id"], unique=False)
    op.drop_column("causes", "moment")
    op.drop_column("causes", "instrument")
    op.drop_column("frames", "sky_class")


def _keep_tallies() -> None:
    """Count frames as they end, in the same transaction, so that nobody ever counts the archive.

    In Postgres the triggers wait for the commit: by then a transaction that ends frames holds the turn of
    the events, so no two of them ever wait for each other's counts.
    """
    op.create_table(
        "tallies",
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("degraded", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instrument", "family", "priority", "status", name=op.f("pk_tallies")),
    )
    op.execute(
        "INSERT INTO tallies (instrument, family, priority, status, frames, degraded) "
        "SELECT coalesce(instrument, ''), coalesce(family, ''), priority, status, count(*), "
        "count(*) FILTER (WHERE is_degraded) FROM frames WHERE status IN ('done', 'rejected', 'failed') "
        "GROUP BY 1, 2, 3, 4"
    )
    if op.get_bind().dialect.name == "postgresql":
        _tally_in_postgres()
    else:
        _tally_in_sqlite()


_ENDED = "{row}.status IN ('done', 'rejected', 'failed')"
_CHANGED = (
    "(NEW.status IS DISTINCT FROM OLD.status OR NEW.is_degraded IS DISTINCT FROM OLD.is_degraded "
    "OR NEW.instrument IS DISTINCT FROM OLD.instrument OR NEW.family IS DISTINCT FROM OLD.family "
    "OR NEW.priority IS DISTINCT FROM OLD.priority)"
)


def _count(row: str, sign: str) -> str:
    one = f"{sign}1"
    degraded = f"CASE WHEN {row}.is_degraded THEN {one} ELSE 0 END"
    return (
        "INSERT INTO tallies (instrument, family, priority, status, frames, degraded) "
        f"SELECT coalesce({row}.instrument, ''), coalesce({row}.family, ''), {row}.priority, {row}.status, "
        f"{one}, {degraded} WHERE {_ENDED.format(row=row)} "
        "ON CONFLICT (instrument, family, priority, status) DO UPDATE SET "
        "frames = tallies.frames + excluded.frames, degraded = tallies.degraded + excluded.degraded;"
    )


def _tally_in_postgres() -> None:
    op.execute(
        "CREATE FUNCTION heliowatch_tally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP <> 'INSERT' THEN {_count('OLD', '-')} END IF; "
        f"IF TG_OP <> 'DELETE' THEN {_count('NEW', '+')} END IF; "
        "RETURN NULL; END $$"
    )
    ended_new, ended_old = _ENDED.format(row="NEW"), _ENDED.format(row="OLD")
    for event, condition in (
        ("INSERT", ended_new),
        ("UPDATE", f"({ended_new} OR {ended_old}) AND {_CHANGED}"),
        ("DELETE", ended_old),
    ):
        op.execute(
            f"CREATE CONSTRAINT TRIGGER frames_tally_{event.lower()} AFTER {event} ON frames "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({condition}) "
            "EXECUTE FUNCTION heliowatch_tally()"
        )


def _tally_in_sqlite() -> None:
    changed = _CHANGED.replace("IS DISTINCT FROM", "IS NOT")
    ended_new, ended_old = _ENDED.format(row="NEW"), _ENDED.format(row="OLD")
    for event, condition, body in (
        ("INSERT", ended_new, _count("NEW", "+")),
        ("UPDATE", f"({ended_new} OR {ended_old}) AND {changed}", _count("OLD", "-") + _count("NEW", "+")),
        ("DELETE", ended_old, _count("OLD", "-")),
    ):
        op.execute(
            f"CREATE TRIGGER frames_tally_{event.lower()} AFTER {event} ON frames FOR EACH ROW "
            f"WHEN {condition} BEGIN {body} END"
        )


def _forget_tallies() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER frames_tally_{event}" + (" ON frames" if is_postgres else ""))
    if is_postgres:
        op.execute("DROP FUNCTION heliowatch_tally()")
    op.drop_table("tallies")


def _show_epn_core() -> None:
    """Offer frames and products under the names of EPN-TAP 2.0, for a TAP server on this database.

    A view stands in the way of changes to the columns that it names, and on SQLite of making `frames` or
    `products` anew (which batch operations do): a later migration drops it first and makes it again.
    """
    is_postgres = op.get_bind().dialect.name == "postgresql"
    words = _EPN_POSTGRES if is_postgres else _EPN_SQLITE
    granules = _EPN_ORIGINALS + " UNION ALL " + _EPN_PRODUCTS
    for name, word in words.items():
        granules = granules.replace(f"<{name}>", word)
    op.execute(sa.text(f"CREATE VIEW epn_core AS {granules}".replace(":", "\\:")))


def _hide_epn_core() -> None:
    op.execute("DROP VIEW IF EXISTS epn_core")


# Addresses begin with what the operator says: ALTER DATABASE … SET heliowatch.public_url = 'https://…'.
# The Julian date is written so that Postgres can index it (docs/operation.md).
_EPN_POSTGRES = {
    "text": "::text",
    "number": "::double precision",
    "julian": "(extract(epoch FROM (frames.moment AT TIME ZONE 'UTC')) / 86400.0 + 2440587.5)"
    "::double precision",
    "url": "coalesce(current_setting('heliowatch.public_url', true), '')",
    "received": "(frames.received_at AT TIME ZONE 'UTC')",
    "created": "(products.created_at AT TIME ZONE 'UTC')",
}
_EPN_SQLITE = {
    "text": "",
    "number": "",
    "julian": "julianday(frames.moment)",
    "url": "''",
    "received": "strftime('%Y-%m-%dT%H:%M:%fZ', frames.received_at)",
    "created": "strftime('%Y-%m-%dT%H:%M:%fZ', products.created_at)",
}
_EPN_UNKNOWN = ", ".join(
    f"NULL<number> AS {name}"
    for name in (
        *("time_sampling_step_min", "time_sampling_step_max"),
        *("spectral_sampling_step_min", "spectral_sampling_step_max"),
        *("spectral_resolution_min", "spectral_resolution_max"),
        *("c1min", "c1max", "c2min", "c2max", "c3min", "c3max"),
        *("c1_resol_min", "c1_resol_max", "c2_resol_min", "c2_resol_max", "c3_resol_min", "c3_resol_max"),
        *("incidence_min", "incidence_max", "emergence_min", "emergence_max", "phase_min", "phase_max"),
    )
)
_EPN_FRAME = (
    "('frame-' || frames.id)<text> AS obs_id, 'im'<text> AS dataproduct_type, "
    "(CASE WHEN frames.family = 'allsky' THEN 'Earth' ELSE 'Sun' END)<text> AS target_name, "
    "(CASE WHEN frames.family = 'allsky' THEN 'planet' ELSE 'star' END)<text> AS target_class, "
    "<julian> AS time_min, "
    "(<julian> + coalesce(frames.exposure_time_s, 0) / 86400.0)<number> AS time_max, "
    "frames.exposure_time_s AS time_exp_min, frames.exposure_time_s AS time_exp_max, "
    "(299792458e9 / nullif(frames.wavelength_nm, 0))<number> AS spectral_range_min, "
    "(299792458e9 / nullif(frames.wavelength_nm, 0))<number> AS spectral_range_max, "
    "'none'<text> AS spatial_frame_type, NULL<text> AS s_region, "
    "frames.observatory<text> AS instrument_host_name, frames.instrument<text> AS instrument_name, "
    f"{_EPN_UNKNOWN}, "
    "'Heliowatch'<text> AS service_title, 'Heliowatch'<text> AS publisher, "
    "frames.quality_score AS heliowatch_quality_score, "
    "(SELECT <url> || '/api/v1/products/' || max(pictures.id) || '/data' FROM products AS pictures "
    "WHERE pictures.frame_id = frames.id AND pictures.kind = 'preview') AS thumbnail_url, "
)
_EPN_IS_DONE = "frames.status = 'done' AND frames.date_obs IS NOT NULL"
_EPN_TYPES = {
    **dict.fromkeys((".fits", ".fts", ".fit", ".fz"), "application/fits"),
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".jp2": "image/jp2",
    ".png": "image/png",
    ".pgm": "image/x-portable-graymap",
}
_EPN_FORMAT = " ".join(
    f"WHEN lower(frames.file_name) LIKE '%{ending}' THEN '{media}'" for ending, media in _EPN_TYPES.items()
)
_EPN_ORIGINALS = (
    "SELECT ('frame-' || frames.id)<text> AS granule_uid, 'original'<text> AS granule_gid, "
    f"{_EPN_FRAME}"
    "2 AS processing_level, 'obs.image;stat.uncalib'<text> AS measurement_type, "
    "<received> AS creation_date, <received> AS modification_date, <received> AS release_date, "
    "(<url> || '/api/v1/frames/' || frames.id || '/data')<text> AS access_url, "
    f"(CASE {_EPN_FORMAT} ELSE 'application/octet-stream' END)<text> AS access_format, "
    "(frames.bytes + 999) / 1000 AS access_estsize, frames.file_name<text> AS file_name "
    f"FROM frames WHERE {_EPN_IS_DONE} AND frames.sha256 IS NOT NULL"
)
_EPN_PRODUCTS = (
    "SELECT ('product-' || products.id)<text> AS granule_uid, products.kind<text> AS granule_gid, "
    f"{_EPN_FRAME}"
    "5 AS processing_level, 'obs.image'<text> AS measurement_type, "
    "<created> AS creation_date, <created> AS modification_date, <created> AS release_date, "
    "(<url> || '/api/v1/products/' || products.id || '/data')<text> AS access_url, "
    "products.media_type<text> AS access_format, "
    "(products.bytes + 999) / 1000 AS access_estsize, NULL<text> AS file_name "
    "FROM products JOIN frames ON frames.id = products.frame_id "
    f"WHERE {_EPN_IS_DONE} AND NOT EXISTS (SELECT 1 FROM products AS newer WHERE newer.frame_id = frames.id "
    "AND newer.kind = products.kind AND newer.id > products.id)"
)
