"""Composites: pictures of three channels in one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel

from observatory.storage import composites
from observatory.storage.frame_keys import Key
from service import columns, examples, listing
from service.context import Context, Here
from service.described import file_answers, list_answers, one_answer, redirect_answers
from service.filters import CompositeQuery, LookName, TimeRange
from service.formats import chosen_format
from service.newest import newest_composite
from service.numbers import RowNumber
from service.paging import base_of, list_response
from service.problems import NotFoundError
from service.routes.products import bytes_of
from service.shapes import API, json_response
from service.tables import Rows

router = APIRouter(tags=["composites"])

_PREFERRED_PX = 1024
_PAGE = 50
_PIECE = 500  # rows of a table that are in memory at once


class CompositeFrameShape(BaseModel):
    """One channel's frame."""

    frame_id: int
    channel: str
    instrument: str
    date_obs: datetime
    is_degraded: bool | None
    quality_score: float | None
    sha256: str
    frame_index: int
    file_name: str


class CompositePictureShape(BaseModel):
    """A composite at one size."""

    id: int
    kind: str
    media_type: str
    sha256: str
    bytes: int
    width: int | None
    height: int | None
    links: dict[str, str]


class CompositeShape(BaseModel):
    """Frames of one look that belong together in time, as one picture."""

    id: int
    look: str
    date_obs: datetime
    status: str
    reason: str | None
    is_complete: bool
    revision: int
    made_at: datetime | None
    frames: list[CompositeFrameShape]
    pictures: list[CompositePictureShape]
    payload: dict[str, Any] | None
    links: dict[str, str]


class CompositeList(BaseModel):
    """A page of composites."""

    items: list[CompositeShape]
    next: str | None


@router.get(
    "/composites", responses=list_answers(CompositeList, examples.COMPOSITES), response_class=Response
)
def list_composites(request: Request, here: Here, query: Annotated[CompositeQuery, Query()]) -> Response:
    """Composites that are made, newest first, a page at a time, or all of them as a table.

    One whose picture lacks a channel has `is_complete` false; when the channel comes, the picture is
    made again and `revision` grows. Until then, and when that fails (`reason` says why), the former
    picture stands.
    """
    form = chosen_format(request, query.format)
    if form != "json":
        return _table(request, here, query, form)
    rows, last = _page(here, query, query.after, query.limit or _PAGE)
    following = listing.following(request, "composites", last, query.order)
    items = [composite_as_json(row, base_of(request)) for row in rows]
    return list_response(request, {"items": items, "next": following}, following)


def _page(
    here: Context, query: CompositeQuery, after: Key | None, limit: int
) -> tuple[list[dict[str, Any]], Key | None]:
    time = query.time or TimeRange()
    rows = composites.find(
        here.db,
        query.look,
        time.start,
        time.end,
        limit=limit + 1,
        after=after,
        is_ascending=query.order == "asc",
    )
    return listing.page_of(rows, limit, lambda row: (row["date_obs"], row["id"]))


def _table(request: Request, here: Context, query: CompositeQuery, form: str) -> Response:
    base = base_of(request)

    def read(after: Key | None, limit: int) -> tuple[Rows, Key | None]:
        rows, last = _page(here, query, after, limit)
        return [_cells(row, base) for row in rows], last

    return listing.table_of(request, query, form, "composites", columns.COMPOSITES, read, _PIECE)


def _cells(row: dict[str, Any], base: str) -> list[Any]:
    plain = [row[name] for name in ("id", "look", "date_obs", "is_complete", "revision", "made_at")]
    members = " ".join(f"{item['channel']}:{item['frame_id']}" for item in row["frames"])
    if not row["pictures"]:
        return [*plain, members, None, None, None]
    picture = nearest_picture(row, _PREFERRED_PX)
    return [*plain, members, base + picture_path(picture), picture["width"], picture["height"]]


CompositeId = Annotated[RowNumber, Path(description="number of a composite")]
PictureId = Annotated[RowNumber, Path(description="number of a composite's picture")]
Look = Annotated[LookName | None, Query(description="name of a look; any when left out")]
Size = Annotated[int, Query(ge=1, le=16384, description="wanted width in pixels; the nearest one is given")]


@router.get(
    "/composites/{composite_id}",
    responses=one_answer(CompositeShape, examples.COMPOSITE, "there is no composite 77"),
    response_class=Response,
)
def get_composite(request: Request, here: Here, composite_id: CompositeId) -> Response:
    """One composite; `status` is done, waiting or composing (made anew), or failed with its `reason`."""
    row = composites.get(here.db, composite_id)
    if row is None or row["made_at"] is None:
        raise NotFoundError(f"composite {composite_id}")
    return json_response(composite_as_json(row, base_of(request)))


@router.get(
    "/composites/pictures/{picture_id}/data",
    responses=file_answers("there is no picture 231", "image/jpeg", "image/png"),
    response_class=Response,
)
def get_picture(request: Request, here: Here, picture_id: PictureId) -> Response:
    """A picture's bytes. The ETag is their sha256; ranges may be asked for."""
    row = composites.picture(here.db, picture_id)
    if row is None:
        raise NotFoundError(
            f"picture {picture_id}", "a composite's pictures get new numbers when a late channel completes it"
        )
    name = f"composite-{row['composite_id']}-{row['width'] or row['kind']}"
    return bytes_of(request, here, row, name, f"the file of picture {picture_id} was removed")


@router.get(
    "/latest/composite.jpg",
    responses=redirect_answers("there is no composite"),
    response_class=Response,
    status_code=307,
)
def latest_picture(request: Request, here: Here, look: Look = None, size: Size = _PREFERRED_PX) -> Response:
    """Redirect to the newest composite's picture."""
    row = _newest(here, look)
    if not row["pictures"]:
        raise NotFoundError(f"picture of composite {row['id']}")
    return _to(request, picture_path(nearest_picture(row, size)))


@router.get(
    "/latest/composite.json",
    responses=redirect_answers("there is no composite"),
    response_class=Response,
    status_code=307,
)
def latest_composite(request: Request, here: Here, look: Look = None) -> Response:
    """Redirect to the newest composite."""
    return _to(request, f"{API}/composites/{_newest(here, look)['id']}")


def _newest(here: Context, look: str | None) -> dict[str, Any]:
    row = newest_composite(here, look)
    if row is None:
        raise NotFoundError("composite" if look is None else f"composite of the look {look}")
    return row


def _to(request: Request, path: str) -> Response:
    return RedirectResponse(f"{base_of(request)}{path}", 307, {"Cache-Control": "no-cache"})


def nearest_picture(row: dict[str, Any], width: int) -> dict[str, Any]:
    """The picture of a composite whose width is nearest to the one wanted, the larger of two."""
    return min(row["pictures"], key=lambda item: (abs((item["width"] or 0) - width), -(item["width"] or 0)))


def picture_path(item: dict[str, Any]) -> str:
    """Where a picture's bytes are, below the service's root."""
    return f"{API}/composites/pictures/{item['id']}/data"


def composite_as_json(row: dict[str, Any], base: str) -> dict[str, Any]:
    """One composite."""
    names = ("id", "look", "date_obs", "status", "reason", "is_complete", "revision", "made_at")
    kept = ("id", "kind", "media_type", "sha256", "bytes", "width", "height")
    links = {"self": f"{base}{API}/composites/{row['id']}"}
    if row["pictures"]:
        links["picture"] = base + picture_path(nearest_picture(row, _PREFERRED_PX))
    pictures = [
        {name: item[name] for name in kept} | {"links": {"data": base + picture_path(item)}}
        for item in row["pictures"]
    ]
    parts = {"frames": row["frames"], "pictures": pictures, "payload": row["payload"], "links": links}
    return {name: row[name] for name in names} | parts
