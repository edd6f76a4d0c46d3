"""Frames and their products."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from observatory.storage import catalogue, products
from observatory.storage.frame_keys import Key
from service import columns, examples, listing
from service.context import Context, Here
from service.described import list_answers, one_answer
from service.filters import AsOfQuery, FrameQuery
from service.formats import chosen_format
from service.numbers import RowNumber
from service.paging import base_of, list_response
from service.problems import NotFoundError, ParameterError
from service.shapes import (
    FrameDetail,
    FrameList,
    ProductList,
    frames_as_json,
    json_response,
    product_as_json,
)
from service.tables import Rows

router = APIRouter(tags=["frames"])

FrameId = Annotated[RowNumber, Path(description="number of a frame")]
_PAGE = 50
_PIECE = 2000  # rows of a table that are in memory at once


@router.get("/frames", responses=list_answers(FrameList, examples.FRAMES), response_class=Response)
def list_frames(request: Request, here: Here, query: Annotated[FrameQuery, Query()]) -> Response:
    """Frames by filter, newest first, a page at a time, or all of them as a table.

    The next page's address is in `next` and in the `Link` header (`rel="next"`). Pages stay stable
    while frames arrive. Times are those of the observation, or of arrival where nothing tells it. With
    `as_of` the quality is what was known of it then, null where nothing was.
    """
    form = chosen_format(request, query.format)
    known_by = query.known_by
    if form != "json":
        if known_by is not None:
            raise ParameterError("as_of", f"{form} goes by the newest results", "format=json")
        return _table(request, here, query, form)
    limit = query.limit or _PAGE
    with here.db.snapshot():
        rows = catalogue.find(
            here.db,
            query.as_filter,
            limit=limit + 1,
            after=query.after,
            is_ascending=query.order == "asc",
        )
        rows, last = listing.page_of(rows, limit, lambda row: (row["moment"], row["id"]))
        items = frames_as_json(here.db, rows, base_of(request), known_by)
    following = listing.following(request, "frames", last, query.order)
    body = {"items": items, "next": following}
    return list_response(request, body, following)


def _table(request: Request, here: Context, query: FrameQuery, form: str) -> Response:
    wanted, is_ascending = query.as_filter, query.order == "asc"

    def read(after: Key | None, limit: int) -> tuple[Rows, Key | None]:
        return catalogue.table(here.db, wanted, limit=limit, after=after, is_ascending=is_ascending)

    return listing.table_of(request, query, form, "frames", columns.FRAMES, read, _PIECE)


_NO_FRAME = "there is no frame 4711"


@router.get(
    "/frames/{frame_id}",
    responses=one_answer(FrameDetail, examples.FRAME_DETAIL, _NO_FRAME),
    response_class=Response,
)
def get_frame(
    request: Request, here: Here, frame_id: FrameId, query: Annotated[AsOfQuery, Query()]
) -> Response:
    """One frame; with `as_of` its quality and sky are those known then."""
    with here.db.snapshot():
        row = _existing(here, frame_id)
        shape = frames_as_json(here.db, [row], base_of(request), query.as_of)[0]
    return json_response(shape | {"arrivals": len(row["paths"]), "attempts": row["attempts"]})


@router.get(
    "/frames/{frame_id}/products",
    responses=one_answer(ProductList, examples.PRODUCTS, _NO_FRAME),
    response_class=Response,
)
def list_products(request: Request, here: Here, frame_id: FrameId) -> Response:
    """Pictures and files made from a frame, newest first."""
    _existing(here, frame_id)
    rows = products.of_frame(here.db, frame_id)
    return json_response({"items": [product_as_json(row, base_of(request)) for row in rows]})


def _existing(here: Context, frame_id: int) -> dict[str, Any]:
    row = catalogue.get(here.db, frame_id)
    if row is None:
        raise NotFoundError(f"frame {frame_id}")
    return row
