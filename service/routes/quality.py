"""Quality over time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from observatory.storage import catalogue, results
from observatory.storage.frame_keys import Key, Page
from service import columns, examples, listing
from service.context import Context, Here
from service.described import list_answers
from service.filters import QualityQuery, TimeRange
from service.formats import chosen_format
from service.paging import list_response
from service.problems import ParameterError
from service.series import newest_points, points_as_table
from service.tables import Rows, Table, pages, table_response

router = APIRouter(tags=["quality"])

_MOST = 2000
_PIECE = 2000  # rows of a table that are in memory at once


class QualityPoint(BaseModel):
    """One frame's score, or one bin of several (then `score` is their mean)."""

    time: datetime
    instrument: str
    score: float
    id: int | None = None
    is_degraded: bool | None = None
    frames: int | None = None
    score_min: float | None = None
    score_max: float | None = None
    degraded: int | None = None


class QualitySeries(BaseModel):
    """Scores, oldest first."""

    bin_s: int | None
    is_truncated: bool
    items: list[QualityPoint]


@router.get("/quality", responses=list_answers(QualitySeries, examples.QUALITY), response_class=Response)
def get_series(request: Request, here: Here, query: Annotated[QualityQuery, Query()]) -> Response:
    """Quality scores over the time of observation, oldest first; frames without a time are left out.

    With `bin`, mean, lowest and highest score of each bin. When there are more points than `limit`,
    the newest are given and `is_truncated` is true. With `as_of` the scores are those known then.
    """
    form = chosen_format(request, query.format)
    time = query.time or TimeRange()
    if query.as_of is not None and query.bin is not None:
        raise ParameterError("as_of", "bins go by the newest results", "without bin")
    if form != "json" and query.bin is None and query.limit is None:
        return table_response(Table("quality", columns.SCORES, _whole(here, query)), form)
    limit = query.limit or _MOST
    if query.as_of is not None:
        rows = list(_newest_known(here, query, limit + 1))[::-1]
    else:
        rows = catalogue.quality_series(
            here.db, query.instrument, time.start, time.end, bin_s=query.bin, limit=limit + 1
        )
    points, is_truncated = newest_points(rows, limit)
    if form == "json":
        body = {"bin_s": query.bin, "is_truncated": is_truncated, "items": points}
        return list_response(request, body)
    chosen = columns.SCORES if query.bin is None else columns.BINNED_SCORES
    return points_as_table(points, "quality", chosen, form, is_cut=is_truncated)


def _whole(here: Context, query: QualityQuery) -> Iterator[Rows]:
    """All scores of single frames as a table's rows, oldest first."""
    for points in _pages(here, query, is_ascending=True):
        yield listing.cells_of(points, columns.SCORES)


def _newest_known(here: Context, query: QualityQuery, count: int) -> Iterator[dict[str, Any]]:
    """The newest points of which something was known then, newest first: those judged later do not count."""
    return islice(chain.from_iterable(_pages(here, query, is_ascending=False)), count)


def _pages(here: Context, query: QualityQuery, *, is_ascending: bool) -> Iterator[list[dict[str, Any]]]:
    """Scores of single frames, as they were known when `as_of` says so, piece by piece."""
    time = query.time or TimeRange()

    def read(after: Key | None) -> tuple[list[dict[str, Any]], Key | None]:
        page = Page(_PIECE + 1, after, is_ascending=is_ascending)
        found = catalogue.scores(here.db, query.instrument, time.start, time.end, page, query.as_of)
        points, last = listing.page_of(found, _PIECE, lambda row: (row["time"], row["id"]))
        return points if query.as_of is None else _as_known_by(here, query.as_of, points), last

    return pages(read, None)


def _as_known_by(here: Context, as_of: datetime, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points with the scores that were known at a time, without those that were not."""
    known = results.quality_as_of(here.db, [point["id"] for point in points], as_of)
    kept = ("score", "is_degraded")
    return [
        point | {name: known[point["id"]][name] for name in kept} for point in points if point["id"] in known
    ]
