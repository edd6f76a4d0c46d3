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
from service import columns, examples, listing
from service.context import Context, Here
from service.described import list_answers
from service.filters import EnhancementQuery, TimeRange
from service.formats import chosen_format
from service.paging import list_response
from service.problems import ParameterError
from service.series import bins_response
from service.tables import Rows

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
    following = listing.following(request, "enhancement", last, query.order)
    body = {"bin_s": None, "is_truncated": last is not None, "items": rows, "next": following}
    return list_response(request, body, following)


def _page(
    here: Context, query: EnhancementQuery, after: Key | None, limit: int
) -> tuple[list[dict[str, Any]], Key | None]:
    time = query.time or TimeRange()
    page = Page(limit + 1, after, query.order == "asc")
    rows = enhancements.series(here.db, query.instrument, time.start, time.end, query.outcome, page)
    return listing.page_of(rows, limit, enhancements.key_of)


def _table(request: Request, here: Context, query: EnhancementQuery, form: str) -> Response:
    def read(after: Key | None, limit: int) -> tuple[Rows, Key | None]:
        rows, last = _page(here, query, after, limit)
        return listing.cells_of(rows, columns.ENHANCEMENTS), last

    return listing.table_of(request, query, form, "enhancement", columns.ENHANCEMENTS, read, _PIECE)


def _bins(request: Request, here: Context, query: EnhancementQuery, bin_s: int, form: str) -> Response:
    if query.cursor is not None:
        raise ParameterError("cursor", "bins have no pages", "without bin; or a shorter time")
    if query.outcome is not EnhancementOutcome.ENHANCED:
        raise ParameterError("outcome", f"frames {query.outcome} have no numbers to bin", "without bin")
    time = query.time or TimeRange()

    def read(limit: int) -> list[dict[str, Any]]:
        return enhancements.binned(here.db, query.instrument, time.start, time.end, bin_s=bin_s, limit=limit)

    limit, chosen = query.limit or _PAGE, columns.BINNED_ENHANCEMENTS
    return bins_response(request, query, form, "enhancement", chosen, read, limit, bin_s)
