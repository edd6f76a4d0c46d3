"""Bins of time: where they begin, in seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, cast, func, select, text

from observatory.storage.session import Database

_FIRST_S = datetime.min.replace(tzinfo=UTC).timestamp()


def bin_start(newest: datetime, bin_s: int, bins: int) -> datetime:
    """Start of the first of so many bins that end with the one of a moment."""
    start_s = newest.timestamp() // bin_s * bin_s - (bins - 1) * bin_s
    return datetime.fromtimestamp(max(start_s, _FIRST_S), UTC)


def bin_columns(
    db: Database, moment: ColumnElement[Any], bin_s: int
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What to group by, and the seconds to give for it (labelled ``start``).

    Postgres works its epochs out in decimal arithmetic, which would cost more than reading the rows: it
    is asked for them once a bin.
    """
    if db.is_sqlite:
        epoch: Any = func.unixepoch(moment)
        width = text(str(int(bin_s)))
        start = epoch - (epoch % width + width) % width  # what is left of a time before 1970 is negative
        return start, start.label("start")
    step = text(f"interval '{int(bin_s)} seconds'")
    place: Any = func.date_bin(step, moment, text("timestamp with time zone 'epoch'"))
    return place, cast(func.floor(func.extract("epoch", place)), BigInteger).label("start")


def newest_bins(
    connection: Connection,
    bins: Select[Any],
    moment: ColumnElement[Any],
    conditions: Sequence[ColumnElement[bool]],
    time_from: datetime | None,
    *,
    bin_s: int,
    limit: int,
) -> list[dict[str, Any]]:
    """The newest bins, oldest first, from the newest backwards, so that little more is read than is given.

    Parameters
    ----------
    bins : Select
        Gives ``start`` and ``instrument`` of each bin, grouped by both (`bin_columns`), without conditions.
    conditions : sequence of conditions
        Which rows count, besides `time_from`.
    """
    found: list[dict[str, Any]] = []
    end: datetime | None = None
    width = limit
    while len(found) < limit:
        newest = _newest(connection, moment, conditions, end)
        if newest is None or (time_from is not None and newest < time_from):
            break
        start = bin_start(newest, bin_s, width)
        first = start if time_from is None else max(start, time_from)
        query = bins.where(*conditions, moment >= first)
        if end is not None:
            query = query.where(moment < end)
        # The driver's names are no plain str.
        rows = [
            {str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()
        ]
        found += sorted(rows, key=_from_newest)[: limit - len(found)]
        end, width = first, 2 * width  # where frames are sparse the windows grow
    return sorted(found, key=_from_newest, reverse=True)


def _newest(
    connection: Connection,
    moment: ColumnElement[Any],
    conditions: Sequence[ColumnElement[bool]],
    before: datetime | None,
) -> datetime | None:
    query = select(moment).where(*conditions).order_by(moment.desc()).limit(1)
    if before is not None:
        query = query.where(moment < before)
    return connection.execute(query).scalar()


def _from_newest(row: Mapping[str, Any]) -> tuple[int, str]:
    return -(row["start"] or 0), row["instrument"] or ""


def instruments_of(connection: Connection, name: ColumnElement[str]) -> list[str]:
    """Instruments that a table has rows of, by jumps along its index."""
    seen = select(func.min(name).label("name")).cte("seen", recursive=True)
    following = select(func.min(name)).where(name > seen.c.name).scalar_subquery()
    seen = seen.union_all(select(following).where(seen.c.name.is_not(None)))
    return list(connection.execute(select(seen.c.name).where(seen.c.name.is_not(None))).scalars())
