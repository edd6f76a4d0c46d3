"""Regions: lists and their formats, areas over time, tracks, outlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from observatory.analysis import EventType
from observatory.storage import products, region_catalogue
from observatory.storage.frame_keys import Key
from service import columns, examples, listing, outlines
from service.context import Context, Here
from service.described import list_answers, one_answer, problems
from service.filters import AreaQuery, RegionQuery, TimeRange
from service.formats import MEDIA_TYPES, chosen_format
from service.numbers import RowNumber
from service.paging import base_of, link_header, list_response
from service.problems import NotFoundError, ParameterError
from service.region_shapes import (
    AreaSeries,
    RegionList,
    RegionShape,
    TrackShape,
    region_as_json,
    track_as_json,
)
from service.series import points_as_table
from service.shapes import json_response
from service.tables import Column, Rows

router = APIRouter(tags=["regions"])

_PAGE = 50
_PIECE = 1000  # rows of a table that are in memory at once
_OUTLINED_PIECE = 200  # of one with the regions' outlines: some kilobytes each
_WHOLE = 1000  # regions in a file that is written in one piece: some 3 MB, 60 MB while it is made
_MEDIA_TYPES = MEDIA_TYPES | {"geojson": "application/geo+json", "ds9": "text/x-ds9-region"}
_Items = Sequence[Mapping[str, Any]]


@router.get(
    "/regions",
    responses=list_answers(RegionList, examples.REGIONS, _MEDIA_TYPES),
    response_class=Response,
)
def list_regions(request: Request, here: Here, query: Annotated[RegionQuery, Query()]) -> Response:
    """Coronal holes and active regions by filter, newest first, a page at a time, or all of them as a table.

    The next page's address is in `next` and in the `Link` header (`rel="next"`). Names are those of the
    Heliophysics Event Knowledgebase where it has one, in JSON and in `votable`, which have the outlines, too;
    `csv` and `parquet` have the numbers alone. `geojson` gives polygons (in the chosen coordinates, not of
    the Earth), `ds9` a region file.
    """
    form = chosen_format(request, query.format, _MEDIA_TYPES)
    if form in MEDIA_TYPES and form != "json":
        return _table(request, here, query, form)
    if form != "json":
        return _file(request, here, query, form)
    rows, last = _page(here, query, query.after, query.limit or _PAGE)
    following = listing.following(request, "regions", last, query.order)
    items = [region_as_json(row, base_of(request)) for row in rows]
    return list_response(request, {"items": items, "next": following}, following)


def _page(
    here: Context, query: RegionQuery, after: Key | None, limit: int, *, with_outlines: bool = True
) -> tuple[list[dict[str, Any]], Key | None]:
    rows = region_catalogue.find(
        here.db,
        query.as_filter,
        limit=limit + 1,
        after=after,
        is_ascending=query.order == "asc",
        with_outlines=with_outlines,
    )
    return listing.page_of(rows, limit, lambda row: (row["moment"], row["id"]))


def _table(request: Request, here: Context, query: RegionQuery, form: str) -> Response:
    is_outlined = form == "votable"
    chosen = _outlined_columns() if is_outlined else columns.REGIONS
    piece = _OUTLINED_PIECE if is_outlined else _PIECE

    def read(after: Key | None, limit: int) -> tuple[Rows, Key | None]:
        rows, last = _page(here, query, after, limit, with_outlines=is_outlined)
        items = [region_as_json(row) for row in rows] if is_outlined else rows
        return listing.cells_of(items, chosen), last

    return listing.table_of(request, query, form, "regions", chosen, read, piece)


def _outlined_columns() -> list[Column]:
    from observatory.region_formats import votable_fields  # with numpy: loaded by the first who asks

    kinds = {"char": "text", "double": "number"}
    ours = [column for column in columns.REGIONS if column.name in ("id", "frame_id", "track_id")]
    return ours + [
        Column(field.name, kinds[field.datatype], field.description, field.unit, field.ucd)  # type: ignore[arg-type]
        for field in votable_fields()
    ]


def _file(request: Request, here: Context, query: RegionQuery, form: str) -> Response:
    """One of the formats that are written in one piece: a page, or all that was asked for."""
    rows, cursor = _page(here, query, query.after, query.limit or _WHOLE)
    if cursor is not None and query.limit is None:
        raise ParameterError(
            "limit",
            f"more than {_WHOLE} regions for one {form} file",
            "a shorter time, more filters, or a limit of 1 to 1000 and page by page",
        )
    following = listing.following(request, "regions", cursor, query.order)
    items = [region_as_json(row, base_of(request)) for row in rows]
    suffix = {"ds9": "reg", "geojson": "geojson"}[form]
    headers = {
        "Cache-Control": "no-cache",
        "Content-Disposition": f'inline; filename="regions.{suffix}"',
    } | link_header(following)
    return Response(_WRITERS[form](items, rows, query), media_type=_MEDIA_TYPES[form], headers=headers)


# The formats' libraries are loaded by the first who asks for one.
def _ds9(items: _Items, rows: _Items, query: RegionQuery) -> bytes:
    from observatory.region_formats import ds9_regions

    if query.coordinates == "carrington":
        raise ParameterError("coordinates", "DS9 knows no Carrington coordinates", "hpc or pixel")
    is_of_pixels = query.coordinates == "pixel" or (query.coordinates is None and query.frame is not None)
    if not is_of_pixels:
        return ds9_regions(items, "hpc").encode()
    return ds9_regions(items, "image", [_height_from_top(row) for row in rows]).encode()


def _height_from_top(row: Mapping[str, Any]) -> int | None:
    """Height of a region's frame whose rows run from the top; None for one with rows from the bottom.

    Frames with rows from the top are shown as they are, all others are turned over.
    """
    if row["preview_affine"] is None:
        return None
    a, b, _, d, e, _ = row["preview_affine"]
    return round(1 / e) if a * e > b * d else None


def _geojson(items: _Items, _: _Items, query: RegionQuery) -> bytes:
    from observatory.region_formats import feature_collection

    return orjson.dumps(feature_collection(items, query.coordinates or "hpc"), option=orjson.OPT_UTC_Z)


_WRITERS: dict[str, Callable[[_Items, _Items, RegionQuery], bytes]] = {
    "ds9": _ds9,
    "geojson": _geojson,
}


@router.get("/regions/series", responses=list_answers(AreaSeries, examples.AREAS), response_class=Response)
def get_series(request: Request, here: Here, query: Annotated[AreaQuery, Query()]) -> Response:
    """Areas of coronal holes and active regions over the time of observation, oldest first.

    Shares of the visible disk at the medium threshold, of all regions of a frame together; frames in
    which nothing was found count with 0, frames without a time are left out. With `bin`, means of each
    bin. When there are more points than `limit`, the newest are given and `is_truncated` is true.
    """
    form = chosen_format(request, query.format)
    time = query.time or TimeRange()
    rows = region_catalogue.area_series(
        here.db,
        query.event_type,
        query.instrument,
        time.start,
        time.end,
        bin_s=query.bin,
        limit=query.limit + 1,
    )
    points = _newest_of_each(rows, query.limit)
    is_truncated = len(points) < len(rows)
    if form == "json":
        return list_response(request, {"bin_s": query.bin, "is_truncated": is_truncated, "items": points})
    chosen = columns.AREAS if query.bin is None else columns.BINNED_AREAS
    return points_as_table(points, "areas", chosen, form, is_cut=is_truncated)


def _newest_of_each(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The newest points of each type of event, as many as asked for, oldest first."""
    left: dict[str, int] = {}
    kept = []
    for row in reversed(rows):
        kind = row["event_type"]
        left[kind] = left.get(kind, limit) - 1
        if left[kind] >= 0:
            kept.append(row)
    return kept[::-1]


FrameId = Annotated[RowNumber, Path(description="number of a frame")]
EventTypeChoice = Annotated[
    EventType | None, Query(description="one of CH (coronal hole), AR (active region); both when left out")
]


@router.get(
    "/frames/{frame_id}/outlines.svg",
    responses={
        200: {"content": {"image/svg+xml": {}}},
        **problems(_404="there is no frame 4711 in which regions were looked for"),
    },
    response_class=Response,
)
def get_outlines(here: Here, frame_id: FrameId, event_type: EventTypeChoice = None) -> Response:
    """Outlines of a frame's regions as a transparent picture that lies over the frame's preview exactly."""
    found = region_catalogue.of_frame(here.db, frame_id)
    if not found:
        raise NotFoundError(f"frame {frame_id} in which regions were looked for")
    preview = next((item for item in products.of_frame(here.db, frame_id) if item["kind"] == "preview"), None)
    if preview is None or not preview["width"] or not preview["height"]:
        raise NotFoundError(f"preview of frame {frame_id} to lay outlines over")
    wanted = [one for one in found if event_type is None or one["event_type"] == event_type]
    drawing = outlines.svg(wanted, preview["width"], preview["height"])
    return Response(drawing, media_type="image/svg+xml", headers={"Cache-Control": "no-cache"})


TrackId = Annotated[RowNumber, Path(description="number of a track")]
RegionId = Annotated[RowNumber, Path(description="number of a region")]
HistoryLimit = Annotated[int, Query(ge=1, le=5000, description="1 to 5000 sightings, the newest")]


@router.get(
    "/regions/tracks/{track_id}",
    responses=one_answer(TrackShape, examples.TRACK, "there is no track 12"),
    response_class=Response,
)
def get_track(request: Request, here: Here, track_id: TrackId, limit: HistoryLimit = 500) -> Response:
    """One region followed from frame to frame: where it came from, what became of it, its newest sightings."""
    row = region_catalogue.track(here.db, track_id)
    if row is None:
        raise NotFoundError(f"track {track_id}")
    seen = region_catalogue.find(
        here.db, region_catalogue.RegionFilter(track_id=track_id), limit=limit + 1, with_outlines=False
    )
    shaped = track_as_json(row, seen[:limit][::-1], is_truncated=len(seen) > limit, base=base_of(request))
    return json_response(shaped)


@router.get(
    "/regions/{region_id}",
    responses=one_answer(RegionShape, examples.REGION, "there is no region 301"),
    response_class=Response,
)
def get_region(request: Request, here: Here, region_id: RegionId) -> Response:
    """One region."""
    row = region_catalogue.get(here.db, region_id)
    if row is None:
        raise NotFoundError(
            f"region {region_id}", "a frame's regions get new numbers when another model looks at it again"
        )
    return json_response(region_as_json(row, base_of(request)))
