"""Every question asked about frames: lists, one, the newest, series; cheap in a long archive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from observatory.storage import standing
from observatory.storage.bins import bin_columns, newest_bins
from observatory.storage.frame_keys import FrameFilter, Key, Page, among, find_keys
from observatory.storage.frames import Status
from observatory.storage.schema import arrivals, causes, frames, results
from observatory.storage.session import Database
from observatory.storage.tallies import counts, counts_by_instrument, counts_of, overview
from observatory.storage.texts import text_path


def find(
    db: Database,
    wanted: FrameFilter,
    *,
    limit: int,
    after: Key | None = None,
    is_ascending: bool = False,
) -> list[dict[str, Any]]:
    """Frames by filter, in order of (`moment`, id), each with its causes.

    Parameters
    ----------
    after : tuple of (datetime, int) or None
        Sort key of the last row of the page before: keyset paging.
    """
    with db.read() as connection:
        ids = [number for _, number in find_keys(db, connection, wanted, Page(limit, after, is_ascending))]
        if not ids:
            return []
        query = select(*frames.c).where(among(db, frames.c.id, ids))
        rows = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
        return _with_causes(connection, [rows[number] for number in ids if number in rows])


TABLE_COLUMNS = (
    "id",
    "instrument",
    "observatory",
    "date_obs",
    "date_obs_source",
    "frame",
    "wavelength_nm",
    "exposure_time_s",
    "is_simulated",
    "file_name",
    "sha256",
    "bytes",
    "status",
    "reason",
    "priority",
    "received_at",
    "processed_at",
    "latency_s",
    "score",
    "p_value",
    "is_degraded",
    "causes",
    "model",
    "mark",
    "sky_class",
)
"""What `table` gives of a frame, in order."""

_TABLE_NAMES = {"frame": "frame_index", "score": "quality_score"}
_LOOKED_UP = ("p_value", "causes", "model")


def table(
    db: Database,
    wanted: FrameFilter,
    *,
    limit: int,
    after: Key | None = None,
    is_ascending: bool = False,
) -> tuple[list[tuple[Any, ...]], Key | None]:
    """Frames as rows of plain values (`TABLE_COLUMNS`), and the key of the last one unless nothing follows.

    One short transaction: whoever reads a long table slowly holds nothing open between its pieces.
    """
    with db.read() as connection:
        keys = find_keys(db, connection, wanted, Page(limit + 1, after, is_ascending))
        last = keys[limit - 1] if len(keys) > limit else None
        ids = [number for _, number in keys[:limit]]
        return _table_rows(db, connection, ids), last


def _table_rows(db: Database, connection: Connection, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    if not ids:
        return []
    plain = [frames.c[_TABLE_NAMES.get(name, name)] for name in TABLE_COLUMNS if name not in _LOOKED_UP]
    plainly = connection.execute(select(*plain).where(among(db, frames.c.id, ids))).all()
    rows = {row[0]: row for row in plainly}
    said = connection.execute(
        select(
            results.c.frame_id,
            results.c.payload["p_value"].as_float(),
            results.c.payload["model"].as_string(),
        )
        .where(among(db, results.c.frame_id, ids), results.c.analysis == "quality")
        .order_by(results.c.frame_id, results.c.id)
    )
    verdicts = {row[0]: (row[1], row[2]) for row in said.all()}
    named: dict[int, str] = {}
    for frame_id, cause in connection.execute(
        select(causes.c.frame_id, causes.c.cause)
        .where(among(db, causes.c.frame_id, ids))
        .order_by(causes.c.frame_id, causes.c.probability.desc())
    ):
        named[frame_id] = f"{named[frame_id]} {cause}" if frame_id in named else cause
    at = TABLE_COLUMNS.index("p_value")
    found = []
    for number in ids:
        row = rows.get(number)
        if row is None:
            continue
        is_judged = row[at - 1] is not None
        p_value, model = verdicts.get(number, (None, None)) if is_judged else (None, None)
        found.append((*row[:at], p_value, row[at], named.get(number, ""), model, *row[at + 1 :]))
    return found


def _with_causes(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    by_frame: dict[int, list[dict[str, Any]]] = {}
    if ids:
        for row in connection.execute(
            select(causes.c.frame_id, causes.c.cause, causes.c.probability)
            .where(causes.c.frame_id.in_(ids))
            .order_by(causes.c.probability.desc())
        ):
            by_frame.setdefault(row.frame_id, []).append({"cause": row.cause, "probability": row.probability})
    for frame in rows:
        frame["causes"] = by_frame.get(frame["id"], [])
    return rows


def get(db: Database, frame_id: int) -> dict[str, Any] | None:
    """One frame with its causes, every path its bytes were seen under, and how often."""
    with db.read() as connection:
        row = connection.execute(select(*frames.c).where(frames.c.id == frame_id)).mappings().one_or_none()
        if row is None:
            return None
        frame = _with_causes(connection, [dict(row)])[0]
        seen = connection.execute(
            select(arrivals.c.path).where(arrivals.c.sha256 == frame["sha256"]).order_by(arrivals.c.id)
        ).scalars()
        frame["paths"] = [str(text_path(path)) for path in seen] or [str(text_path(frame["path"]))]
        return frame


def newest(
    db: Database,
    instrument: str,
    *,
    limit: int,
    status: Status | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[dict[str, Any]]:
    """Newest frames of an instrument by where they stand (`storage.standing`), newest first, each with its causes.

    Of a camera whose clock is ahead those are the newest that came last, whatever time they tell.

    Parameters
    ----------
    since, until : datetime or None
        Half-open span that they stand in.
    """

    def whole(stands: ColumnElement[datetime]) -> Select[Any]:
        query = select(stands.label("stands"))
        return query if status is None else query.where(frames.c.status == status)

    with db.read() as connection:
        keys = connection.execute(standing.newest(whole, instrument, limit, until, since=since))
        ids = [key.id for key in keys]
        query = select(*frames.c).where(among(db, frames.c.id, ids))
        rows = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
        return _with_causes(connection, [rows[number] for number in ids if number in rows])


def newest_scores(
    db: Database, instrument: str, since: datetime, until: datetime, *, limit: int
) -> list[dict[str, Any]]:
    """Scores of the newest frames as `newest` finds them, oldest first; without those that tell no time."""

    def scored(stands: ColumnElement[datetime]) -> Select[Any]:
        more = (frames.c.quality_score.label("score"), frames.c.is_degraded)
        return select(stands.label("stands"), *more).where(*_scored(None, None))

    with db.read() as connection:
        rows = connection.execute(standing.newest(scored, instrument, limit, until, since=since)).mappings()
        return [dict(row) for row in rows][::-1]


def quality_series(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    *,
    bin_s: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Scores over time, single or in bins of ``bin_s`` seconds, oldest first, the newest ``limit``.

    Frames without a `date_obs` have no place on a time axis and are left out.
    """
    if bin_s is None:
        return scores(db, instrument, time_from, time_to, Page(limit))[::-1]
    conditions = _scored(instrument, time_to)
    with db.read() as connection:
        if instrument is None and not db.is_sqlite:
            names = [name for name, _ in _instruments(connection)]
            conditions.append(frames.c.instrument.in_(names))  # then the index alone answers
        bins, moment = _bins(db, bin_s), frames.c.moment
        return newest_bins(connection, bins, moment, conditions, time_from, bin_s=bin_s, limit=limit)


def scores(
    db: Database,
    instrument: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    page: Page,
    received_by: datetime | None = None,
) -> list[dict[str, Any]]:
    """Scores of single frames over time, a page of them in its own order; without those that tell no time.

    Parameters
    ----------
    received_by : datetime or None
        Without frames that came later.
    """
    query = select(
        frames.c.id,
        frames.c.instrument,
        frames.c.moment.label("time"),
        frames.c.quality_score.label("score"),
        frames.c.is_degraded,
    ).where(*_scored(instrument, time_to))
    if time_from is not None:
        query = query.where(frames.c.moment >= time_from)
    if received_by is not None:
        query = query.where(frames.c.received_at <= received_by)
    with db.read() as connection:
        paged = page.of(query, frames.c.moment, frames.c.id)
        return [dict(row) for row in connection.execute(paged).mappings()]


def _scored(instrument: str | None, time_to: datetime | None) -> list[ColumnElement[bool]]:
    # `moment` is `date_obs` where there is one, and has the index.
    conditions: list[ColumnElement[bool]] = [
        frames.c.quality_score.is_not(None),
        frames.c.date_obs.is_not(None),
    ]
    if time_to is not None:
        conditions.append(frames.c.moment < time_to)
    if instrument is not None:
        conditions.append(frames.c.instrument == instrument)
    return conditions


def _bins(db: Database, bin_s: int) -> Select[Any]:
    place, start = bin_columns(db, frames.c.moment, bin_s)
    score = frames.c.quality_score
    return select(
        start,
        frames.c.instrument,
        func.count().label("frames"),
        func.avg(score).label("score"),
        func.min(score).label("score_min"),
        func.max(score).label("score_max"),
        func.count().filter(frames.c.is_degraded.is_(True)).label("degraded"),
    ).group_by(place, frames.c.instrument)


def instruments_seen(db: Database) -> list[tuple[str, str | None]]:
    """Instruments that have frames, by name, each with its pipeline's name.

    Jumps from name to name along the index instead of reading every frame.
    """
    with db.read() as connection:
        return _instruments(connection)


def _instruments(connection: Connection) -> list[tuple[str, str | None]]:
    instrument = frames.c.instrument
    seen = select(func.min(instrument).label("name")).cte("seen", recursive=True)
    following = select(func.min(instrument)).where(instrument > seen.c.name).scalar_subquery()
    seen = seen.union_all(select(following).where(seen.c.name.is_not(None)))
    family = (
        select(frames.c.family)
        .where(instrument == seen.c.name)
        .order_by(frames.c.moment.desc(), frames.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(seen.c.name, family).where(seen.c.name.is_not(None)).order_by(seen.c.name)
    ).all()
    return [(row[0], row[1]) for row in rows]


def newest_moments(
    db: Database, instruments: Sequence[str], until: datetime | None = None
) -> dict[str, datetime]:
    """Where the newest frame of each of some instruments stands (`storage.standing`), whatever became of it.

    Parameters
    ----------
    until : datetime or None
        Only frames that stand before it.
    """
    found = {}
    with db.read() as connection:
        for name in instruments:
            moment = connection.execute(
                standing.newest(lambda stands: select(stands.label("stands")), name, 1, until)
            ).scalar()
            if moment is not None:
                found[name] = moment
    return found


def newest_refusals(db: Database, limit: int) -> list[dict[str, Any]]:
    """Frames rejected or failed, the newest arrivals first."""
    found: list[dict[str, Any]] = []
    with db.read() as connection:
        for status in (Status.REJECTED, Status.FAILED):
            query = (
                select(*frames.c).where(frames.c.status == status).order_by(frames.c.id.desc()).limit(limit)
            )
            found += [dict(row) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda row: row["id"], reverse=True)[:limit]


__all__ = [
    "TABLE_COLUMNS",
    "FrameFilter",
    "counts",
    "counts_by_instrument",
    "counts_of",
    "find",
    "get",
    "instruments_seen",
    "newest",
    "newest_moments",
    "newest_refusals",
    "newest_scores",
    "overview",
    "quality_series",
    "scores",
    "table",
]
