"""Frames, their results and their products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from observatory.storage import catalogue, results
from service.context import Context, Here
from service.filters import MAX_ID, FrameQuery, write_cursor
from service.formats import chosen_format, csv_lines
from service.paging import base_of, link_header, next_address
from service.problems import NotFoundError
from service.shapes import (
    FrameDetail,
    FrameList,
    ProductList,
    ResultList,
    frames_as_json,
    json_response,
    product_as_json,
    result_as_json,
)

router = APIRouter(tags=["frames"])

FrameId = Annotated[int, Path(ge=1, le=MAX_ID, description="number of a frame")]
_PAGE = 50
_CSV_PAGE = 1000
_CSV_COLUMNS = (
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
)


@router.get(
    "/frames", responses={200: {"model": FrameList, "content": {"text/csv": {}}}}, response_class=Response
)
def list_frames(request: Request, here: Here, query: Annotated[FrameQuery, Query()]) -> Response:
    """Frames by filter, newest first, a page at a time.

    The next page's address is in `next` and in the `Link` header (`rel="next"`). Pages stay stable
    while frames arrive. Times are those of the observation, or of arrival where nothing tells it.
    """
    if chosen_format(request, query.format) == "csv":
        return _csv(request, here, query)
    rows, cursor = _page(here, query, query.after, query.limit or _PAGE)
    following = None if cursor is None else next_address(request, "frames", cursor)
    body = {"items": frames_as_json(here.db, rows, base_of(request)), "next": following}
    return json_response(body, headers=link_header(following))


def _page(
    here: Context, query: FrameQuery, after: Any, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    rows = catalogue.find(
        here.db, query.as_filter, limit=limit + 1, after=after, is_ascending=query.order == "asc"
    )
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    return rows, write_cursor(rows[-1]["moment"], rows[-1]["id"], query.order)


def _csv(request: Request, here: Context, query: FrameQuery) -> Response:
    headers = {"Cache-Control": "no-cache"}
    if query.limit is None:
        rows = _all_rows(here, query)
    else:
        page, cursor = _page(here, query, query.after, query.limit)
        headers |= link_header(None if cursor is None else next_address(request, "frames", cursor))
        rows = iter(page)
    lines = csv_lines(_CSV_COLUMNS, _csv_rows(here, rows))
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8; header=present", headers=headers)


def _all_rows(here: Context, query: FrameQuery) -> Iterator[dict[str, Any]]:
    """Every page after another, each in its own short transaction."""
    after = query.after
    while True:
        rows, cursor = _page(here, query, after, _CSV_PAGE)
        yield from rows
        if cursor is None:
            return
        after = rows[-1]["moment"], rows[-1]["id"]


def _csv_rows(here: Context, rows: Iterator[dict[str, Any]]) -> Iterator[list[Any]]:
    for chunk in _chunks(rows, _CSV_PAGE):
        for frame in frames_as_json(here.db, chunk):
            quality = frame["quality"] or {}
            frame |= {name: quality.get(name) for name in ("score", "p_value", "is_degraded", "model")}
            frame["causes"] = " ".join(item["cause"] for item in quality.get("causes", ()))
            yield [frame[name] for name in _CSV_COLUMNS]


def _chunks(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@router.get("/frames/{frame_id}", responses={200: {"model": FrameDetail}}, response_class=Response)
def get_frame(request: Request, here: Here, frame_id: FrameId) -> Response:
    """One frame."""
    row = _existing(here, frame_id)
    shape = frames_as_json(here.db, [row], base_of(request))[0]
    return json_response(shape | {"arrivals": len(row["paths"]), "attempts": row["attempts"]})


@router.get("/frames/{frame_id}/results", responses={200: {"model": ResultList}}, response_class=Response)
def list_results(here: Here, frame_id: FrameId) -> Response:
    """What the analyses said of a frame, newest first, each with what made it."""
    _existing(here, frame_id)
    return json_response({"items": [result_as_json(row) for row in results.of_frame(here.db, frame_id)]})


@router.get("/frames/{frame_id}/products", responses={200: {"model": ProductList}}, response_class=Response)
def list_products(request: Request, here: Here, frame_id: FrameId) -> Response:
    """Pictures and files made from a frame, newest first."""
    _existing(here, frame_id)
    rows = results.products_of(here.db, frame_id)
    return json_response({"items": [product_as_json(row, base_of(request)) for row in rows]})


def _existing(here: Context, frame_id: int) -> dict[str, Any]:
    row = catalogue.get(here.db, frame_id)
    if row is None:
        raise NotFoundError(f"frame {frame_id}")
    return row
