"""Series of numbers over time: points of frames or of bins, as storage gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from service.listing import PageQuery, cells_of
from service.paging import list_response
from service.tables import Column, Table, table_response

Point = dict[str, Any]

_FIRST_S = int(datetime.min.replace(tzinfo=UTC).timestamp())
_END_S = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()) + 1


def newest_points(rows: Sequence[Mapping[str, Any]], limit: int) -> tuple[list[Point], bool]:
    """The newest points, and whether there are more than were asked for.

    Parameters
    ----------
    rows : sequence of mappings
        Oldest first; one more than the limit, where there is more.
    limit : int
    """
    points = [point for row in rows[-limit:] if (point := _point_of(row)) is not None]
    return points, len(rows) > limit


def _point_of(row: Mapping[str, Any]) -> Point | None:
    """Shape a row; None for a bin that lies outside the calendar, where a broken header put it."""
    point = {str(name): value for name, value in row.items()}  # the driver's names are no plain str
    if "start" in point:
        start = point.pop("start")  # NULL when SQLite rounds the last moment of 9999 up
        if start is None or not _FIRST_S <= start < _END_S:
            return None
        point["time"] = datetime.fromtimestamp(start, UTC)
    return point


def points_as_table(
    points: Sequence[Point], name: str, columns: Sequence[Column], form: str, *, is_cut: bool
) -> Response:
    """Answer with points as a table."""
    return table_response(Table(name, columns, [cells_of(points, columns)], is_cut=is_cut), form)


def bins_response(
    request: Request,
    query: PageQuery,
    form: str,
    name: str,
    columns: Sequence[Column],
    read: Callable[[int], Sequence[Mapping[str, Any]]],
    limit: int,
    bin_s: int,
    shown: Sequence[str] | None = None,
) -> Response:
    """Answer with the newest bins of a series, which has no pages then.

    Parameters
    ----------
    form : str
        ``json`` or a table's.
    name : str
        Of the table.
    read : callable
        Takes the most bins to give, gives the newest of them, oldest first.
    limit : int
        Bins that are wanted.
    bin_s : int
        Seconds of a bin.
    shown : sequence of str, optional
        Fields of a point in JSON; all where it is not given.
    """
    points, is_truncated = newest_points(read(limit + 1), limit)
    if query.order == "desc":
        points.reverse()
    if form != "json":
        return points_as_table(points, name, columns, form, is_cut=is_truncated)
    items = points if shown is None else [{field: point[field] for field in shown} for point in points]
    return list_response(
        request, {"bin_s": bin_s, "is_truncated": is_truncated, "items": items, "next": None}
    )
