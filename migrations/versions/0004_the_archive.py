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


def downgrade() -> None:
    """Take them back."""
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
    op.execute(
        sa.text(f"DELETE FROM results WHERE id NOT IN (SELECT max(id) FROM results GROUP BY {key})")  # noqa: S608
    )
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
            f"UPDATE causes SET {name} = (SELECT frames.{name} FROM frames WHERE frames.id = causes.frame_id)"  # noqa: S608
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
        ("ix_frames_quality_score", "frames", ("quality_score",), _SCORED, ()),
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
        "INSERT INTO tallies (instrument, family, priority, status, frames, degraded) "  # noqa: S608
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
