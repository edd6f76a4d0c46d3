"""Bins of time: where they begin, in seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, text

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
        start = epoch - epoch % text(str(int(bin_s)))
        return start, start.label("start")
    step = text(f"interval '{int(bin_s)} seconds'")
    place: Any = func.date_bin(step, moment, text("timestamp with time zone 'epoch'"))
    return place, cast(func.floor(func.extract("epoch", place)), BigInteger).label("start")
