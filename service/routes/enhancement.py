"""Enhancement over time: contrast, flux and how well the result stands up to the frame."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from observatory.storage import enhancements
from observatory.storage.enhancements import EnhancementOutcome
from observatory.storage.frame_keys import Key, Page
from service import columns, examples
from service.context import Context, Here
from service.described import list_answers
from service.filters import EnhancementQuery, TimeRange, write_cursor
from service.formats import chosen_format
from service.paging import link_header, list_response, next_address
from service.problems import ParameterError
from service.routes.quality import point_of
from service.tables import Rows, Table, pages, table_response

router = APIRouter(tags=["enhancement"])

_PAGE = 2000  # of points as JSON, and of bins
_PIECE = 2000  # rows of a table that are in memory at once


class EnhancementPoint(BaseModel):
    """One frame's numbers, or the means of one bin of several.

    Contrast is that of the granulation (rms over mean of the quiet Sun), flux the sum of |B| over the area in
    maxwell; `residual` and `noise` are in units of the quiet Sun, or in kG; what a frame does not have is null.
    """

    time: datetime
    instrument: str
    contrast_before: float | None
    contrast_after: float | None
    unsigned_flux_before_mx: float | None
    unsigned_flux_after_mx: float | None
    residual: float | None
    noise: float | None
    trusted_fraction: float | None
    frame_id: int | None = None
    quantity: str | None = None
    outcome: EnhancementOutcome | None = None
    reason: str | None = None
    frames: int | None = None


class EnhancementSeries(BaseModel):
    """Numbers over time. `is_truncated`: there are more than were asked for."""

    bin_s: int | None
    is_truncated: bool
    items: list[EnhancementPoint]
    next: str | None


@router.get(
    "/enhancement",
    responses=list_answers(EnhancementSeries, examples.ENHANCEMENTS),
    response_class=Response,
)
def get_series(request: Request, here: Here, query: Annotated[EnhancementQuery, Query()]) -> Response:
    """What enhancement did to frames, over the time of observation; frames without a time are left out.

    Newest first, a page at a time, or all as a table. `outcome=refused` lists the frames that a network
    may not be asked about, `outcome=skipped` those that there was no time for. With `bin`, the means of
    each bin; then the newest bins are given, and there are no pages.
    """
    form = chosen_format(request, query.format)
    if query.bin is not None:
        return _bins(request, here, query, query.bin, form)
    if form != "json":
        return _table(request, here, query, form)
    rows, last = _page(here, query, query.after, query.limit or _PAGE)
    following = _following(request, query, last)
    body = {"bin_s": None, "is_truncated": last is not None, "items": rows, "next": following}
    return list_response(request, body, following)


def _page(
    here: Context, query: EnhancementQuery, after: Key | None, limit: int
) -> tuple[list[dict[str, Any]], Key | None]:
    time = query.time or TimeRange()
    page = Page(limit + 1, after, query.order == "asc")
    rows = enhancements.series(here.db, query.instrument, time.start, time.end, query.outcome, page)
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], enhancements.key_of(rows[limit - 1])


def _following(request: Request, query: EnhancementQuery, last: Key | None) -> str | None:
    return None if last is None else next_address(request, "enhancement", write_cursor(*last, query.order))


def _table(request: Request, here: Context, query: EnhancementQuery, form: str) -> Response:
    def read(after: Key | None, limit: int = _PIECE) -> tuple[Rows, Key | None]:
        rows, last = _page(here, query, after, limit)
        return [[row[column.name] for column in columns.ENHANCEMENTS] for row in rows], last

    if query.limit is None:
        return table_response(Table("enhancement", columns.ENHANCEMENTS, pages(read, query.after)), form)
    rows, last = read(query.after, query.limit)
    table = Table("enhancement", columns.ENHANCEMENTS, [rows], is_cut=last is not None)
    return table_response(table, form, link_header(_following(request, query, last)))


def _bins(request: Request, here: Context, query: EnhancementQuery, bin_s: int, form: str) -> Response:
    if query.cursor is not None:
        raise ParameterError("cursor", "bins have no pages", "without bin; or a shorter time")
    if query.outcome is not EnhancementOutcome.ENHANCED:
        raise ParameterError("outcome", f"frames {query.outcome} have no numbers to bin", "without bin")
    time, limit = query.time or TimeRange(), query.limit or _PAGE
    rows = enhancements.binned(here.db, query.instrument, time.start, time.end, bin_s=bin_s, limit=limit + 1)
    is_truncated = len(rows) > limit
    points = [point for row in rows[-limit:] if (point := point_of(row)) is not None]
    if query.order == "desc":
        points.reverse()
    if form == "json":
        body = {"bin_s": bin_s, "is_truncated": is_truncated, "items": points, "next": None}
        return list_response(request, body)
    chosen = columns.BINNED_ENHANCEMENTS
    cells = [[point[column.name] for column in chosen] for point in points]
    return table_response(Table("enhancement", chosen, [cells], is_cut=is_truncated), form)
