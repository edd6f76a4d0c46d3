"""Nights of all-sky cameras: keograms, ewograms, films, and the numbers beside them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from observatory.storage import night_catalogue
from observatory.storage.frame_keys import Key
from service import listing
from service.context import Context, Here
from service.described import file_answers, list_answers, one_answer
from service.formats import chosen_format
from service.night_shapes import (
    COLUMNS,
    EXAMPLE,
    EXAMPLES,
    NightList,
    NightQuery,
    NightShape,
    cells,
    night_as_json,
)
from service.numbers import RowNumber
from service.paging import base_of, list_response
from service.problems import NotFoundError, ProblemError
from service.ranges import RangedFile, has_it
from service.shapes import json_response
from service.tables import Rows

router = APIRouter(tags=["keograms"])

_PAGE = 50
_PIECE = 500  # rows of a table that are in memory at once
_SUFFIXES = {"image/png": ".png", "video/mp4": ".mp4"}
_ANEW = "no-cache"  # a night's picture is made again and again: the ETag says whether it changed


@router.get("/keograms", responses=list_answers(NightList, EXAMPLES), response_class=Response)
def list_nights(request: Request, here: Here, query: Annotated[NightQuery, Query()]) -> Response:
    """Nights of all-sky cameras whose pictures are made, newest first, or all of them as a table.

    A night lasts from noon to noon of the camera's local mean time and is named by its evening. While frames
    arrive its pictures and numbers are made again every minute or so, and `revision` grows.
    """
    form = chosen_format(request, query.format)
    base = base_of(request)
    if form != "json":
        return _table(request, here, query, form, base)
    rows, last = _page(here, query, query.after, query.limit or _PAGE)
    following = listing.following(request, "keograms", last, query.order)
    items = [night_as_json(row, base) for row in rows]
    return list_response(request, {"items": items, "next": following}, following)


def _page(
    here: Context, query: NightQuery, after: Key | None, limit: int
) -> tuple[list[dict[str, Any]], Key | None]:
    rows = night_catalogue.find(
        here.db, query.as_filter, limit=limit + 1, after=after, is_ascending=query.order == "asc"
    )
    return listing.page_of(rows, limit, lambda row: (row["start_at"], row["id"]))


def _table(request: Request, here: Context, query: NightQuery, form: str, base: str) -> Response:
    def read(after: Key | None, limit: int) -> tuple[Rows, Key | None]:
        rows, last = _page(here, query, after, limit)
        return [cells(row, base) for row in rows], last

    return listing.table_of(request, query, form, "keograms", COLUMNS, read, _PIECE)


NightId = Annotated[RowNumber, Path(description="number of a night")]
Kind = Annotated[
    Literal["keogram", "ewogram", "film"],
    Path(description="keogram, ewogram, or film once the night is over"),
]


@router.get(
    "/keograms/{night_id}",
    responses=one_answer(NightShape, EXAMPLE, "there is no night 12"),
    response_class=Response,
)
def get_night(request: Request, here: Here, night_id: NightId) -> Response:
    """One night in numbers, with the addresses of its pictures."""
    row = night_catalogue.get(here.db, night_id)
    if row is None:
        raise NotFoundError(f"night {night_id}")
    return json_response(night_as_json(row, base_of(request)))


@router.get(
    "/keograms/{night_id}/{kind}",
    responses=file_answers("there is no keogram of night 12", "image/png", "video/mp4"),
    response_class=Response,
)
def get_picture(request: Request, here: Here, night_id: NightId, kind: Kind) -> Response:
    """A night's picture as it is now, or its film. The ETag is the sha256; ranges may be asked for."""
    row = night_catalogue.picture(here.db, night_id, kind)
    if row is None:
        raise NotFoundError(f"{kind} of night {night_id}", "a film is made when the night has ended")
    etag = f'"{row["sha256"]}"'
    headers = {"ETag": etag, "Cache-Control": _ANEW}
    if request.method == "GET" and has_it(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    path = here.files.find(row["path"])
    if path is None:
        raise ProblemError(
            410, "gone", f"the {kind} of night {night_id} was removed; its next frame makes it anew"
        )
    band = f"-{row['wavelength_nm']:g}nm" if row["wavelength_nm"] else ""
    name = f"{kind}-{row['instrument']}{band}-{row['date']}{_SUFFIXES.get(row['media_type'], '')}"
    return RangedFile(
        path,
        headers=headers,
        media_type=row["media_type"],
        filename=name,
        content_disposition_type="inline",
    )
