"""Regions: lists and their formats, areas over time, tracks, outlines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from observatory.analysis import EventType
from observatory.storage import region_catalogue, results
from service import outlines
from service.context import Context, Here
from service.filters import MAX_ID, AreaQuery, RegionQuery, TimeRange, write_cursor
from service.formats import chosen_format, csv_lines
from service.paging import base_of, link_header, next_address
from service.problems import NotFoundError, ParameterError
from service.region_shapes import (
    AreaSeries,
    RegionList,
    RegionShape,
    TrackShape,
    region_as_json,
    track_as_json,
)
from service.shapes import json_response

router = APIRouter(tags=["regions"])

_PAGE = 50
_CSV_PAGE = 1000
_WHOLE = 1000  # regions in a file that is written in one piece: some 3 MB, 60 MB while it is made
_MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "votable": "application/x-votable+xml",
    "geojson": "application/geo+json",
    "ds9": "text/x-ds9-region",
}
_CONTENT: dict[str, Any] = {media_type: {} for name, media_type in _MEDIA_TYPES.items() if name != "json"}
_CSV_COLUMNS = (
    "id",
    "frame_id",
    "track_id",
    "instrument",
    "date_obs",
    "event_type",
    "number",
    "disk_fraction",
    "area_px",
    "area_msh",
    "area_atdiskcenter_mm2",
    "probability",
    "hpc_x_arcsec",
    "hpc_y_arcsec",
    "stonyhurst_longitude_deg",
    "stonyhurst_latitude_deg",
    "carrington_longitude_deg",
    "carrington_latitude_deg",
    "centroid_x_px",
    "centroid_y_px",
    "intensity_mean",
    "intensity_median",
    "intensity_min",
    "intensity_max",
    "intensity_std",
    "model_name",
    "model_version",
    "file_name",
)
_SINGLE = (
    "time",
    "event_type",
    "instrument",
    "frame_id",
    "regions",
    "disk_fraction",
    "disk_fraction_conservative",
    "disk_fraction_liberal",
    "area_msh",
)
_BINNED = (
    "time",
    "event_type",
    "instrument",
    "frames",
    "regions",
    "disk_fraction",
    "disk_fraction_min",
    "disk_fraction_max",
    "area_msh",
)
_Rows = Sequence[Mapping[str, Any]]
_CSV_TYPE = "text/csv; charset=utf-8; header=present"


@router.get("/regions", responses={200: {"model": RegionList, "content": _CONTENT}}, response_class=Response)
def list_regions(request: Request, here: Here, query: Annotated[RegionQuery, Query()]) -> Response:
    """Coronal holes and active regions by filter, newest first, a page at a time.

    The next page's address is in `next` and in the `Link` header (`rel="next"`). Names are those of the
    Heliophysics Event Knowledgebase where it has one. `geojson` gives polygons (in the chosen
    coordinates, not of the Earth), `ds9` a region file, `votable` a table for astronomers' tools.
    """
    form = chosen_format(request, query.format, _MEDIA_TYPES)
    if form == "csv":
        return _csv(request, here, query)
    if form != "json":
        return _file(request, here, query, form)
    rows, cursor = _page(here, query, query.after, query.limit or _PAGE)
    following = None if cursor is None else next_address(request, "regions", cursor)
    items = [region_as_json(row, base_of(request)) for row in rows]
    return json_response({"items": items, "next": following}, headers=link_header(following))


def _page(
    here: Context, query: RegionQuery, after: Any, limit: int, *, with_outlines: bool = True
) -> tuple[list[dict[str, Any]], str | None]:
    rows = region_catalogue.find(
        here.db,
        query.as_filter,
        limit=limit + 1,
        after=after,
        is_ascending=query.order == "asc",
        with_outlines=with_outlines,
    )
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    return rows, write_cursor(rows[-1]["moment"], rows[-1]["id"], query.order)


def _csv(request: Request, here: Context, query: RegionQuery) -> Response:
    headers = {"Cache-Control": "no-cache"}
    if query.limit is None:
        rows = _all_rows(here, query)
    else:
        page, cursor = _page(here, query, query.after, query.limit, with_outlines=False)
        headers |= link_header(None if cursor is None else next_address(request, "regions", cursor))
        rows = iter(page)
    lines = csv_lines(_CSV_COLUMNS, ([row[name] for name in _CSV_COLUMNS] for row in rows))
    return StreamingResponse(lines, media_type=_CSV_TYPE, headers=headers)


def _all_rows(here: Context, query: RegionQuery) -> Iterator[dict[str, Any]]:
    """Every page after another, each in its own short transaction."""
    after = query.after
    while True:
        rows, cursor = _page(here, query, after, _CSV_PAGE, with_outlines=False)
        yield from rows
        if cursor is None:
            return
        after = rows[-1]["moment"], rows[-1]["id"]


def _file(request: Request, here: Context, query: RegionQuery, form: str) -> Response:
    """One of the formats that are written in one piece: a page, or all that was asked for."""
    rows, cursor = _page(here, query, query.after, query.limit or _WHOLE)
    if cursor is not None and query.limit is None:
        raise ParameterError(
            "limit",
            f"more than {_WHOLE} regions for one {form} file",
            "a shorter time, more filters, or a limit of 1 to 1000 and page by page",
        )
    following = None if cursor is None else next_address(request, "regions", cursor)
    items = [region_as_json(row, base_of(request)) for row in rows]
    suffix = {"votable": "vot", "ds9": "reg", "geojson": "geojson"}[form]
    headers = {
        "Cache-Control": "no-cache",
        "Content-Disposition": f'inline; filename="regions.{suffix}"',
    } | link_header(following)
    return Response(_WRITERS[form](items, rows, query), media_type=_MEDIA_TYPES[form], headers=headers)


# The formats' libraries are loaded by the first who asks for one.
def _votable(items: _Rows, _: _Rows, __: RegionQuery) -> bytes:
    from observatory.region_formats import votable

    return votable(items)


def _ds9(items: _Rows, rows: _Rows, query: RegionQuery) -> bytes:
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


def _geojson(items: _Rows, _: _Rows, query: RegionQuery) -> bytes:
    from observatory.region_formats import feature_collection

    return orjson.dumps(feature_collection(items, query.coordinates or "hpc"), option=orjson.OPT_UTC_Z)


_WRITERS: dict[str, Callable[[_Rows, _Rows, RegionQuery], bytes]] = {
    "votable": _votable,
    "ds9": _ds9,
    "geojson": _geojson,
}


@router.get(
    "/regions/series",
    responses={200: {"model": AreaSeries, "content": {"text/csv": {}}}},
    response_class=Response,
)
def get_series(request: Request, here: Here, query: Annotated[AreaQuery, Query()]) -> Response:
    """Areas of coronal holes and active regions over the time of observation, oldest first.

    Shares of the visible disk at the medium threshold, of all regions of a frame together; frames in
    which nothing was found count with 0, frames without a time are left out. With `bin`, means of each
    bin. When there are more points than `limit`, the newest are given and `is_truncated` is true.
    """
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
    if chosen_format(request, query.format) == "csv":
        columns = _SINGLE if query.bin is None else _BINNED
        lines = csv_lines(columns, ([point[name] for name in columns] for point in points))
        return StreamingResponse(lines, media_type=_CSV_TYPE)
    return json_response({"bin_s": query.bin, "is_truncated": len(points) < len(rows), "items": points})


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


FrameId = Annotated[int, Path(ge=1, le=MAX_ID, description="number of a frame")]
EventTypeChoice = Annotated[
    EventType | None, Query(description="one of CH (coronal hole), AR (active region); both when left out")
]


@router.get(
    "/frames/{frame_id}/outlines.svg",
    responses={200: {"content": {"image/svg+xml": {}}}},
    response_class=Response,
)
def get_outlines(here: Here, frame_id: FrameId, event_type: EventTypeChoice = None) -> Response:
    """Outlines of a frame's regions as a transparent picture that lies over the frame's preview exactly."""
    found = region_catalogue.of_frame(here.db, frame_id)
    if not found:
        raise NotFoundError(f"frame {frame_id} in which regions were looked for")
    preview = next(
        (item for item in results.products_of(here.db, frame_id) if item["kind"] == "preview"), None
    )
    if preview is None or not preview["width"] or not preview["height"]:
        raise NotFoundError(f"preview of frame {frame_id} to lay outlines over")
    wanted = [one for one in found if event_type is None or one["event_type"] == event_type]
    drawing = outlines.svg(wanted, preview["width"], preview["height"])
    return Response(drawing, media_type="image/svg+xml", headers={"Cache-Control": "no-cache"})


TrackId = Annotated[int, Path(ge=1, le=MAX_ID, description="number of a track")]
RegionId = Annotated[int, Path(ge=1, le=MAX_ID, description="number of a region")]
HistoryLimit = Annotated[int, Query(ge=1, le=5000, description="1 to 5000 sightings, the newest")]


@router.get("/regions/tracks/{track_id}", responses={200: {"model": TrackShape}}, response_class=Response)
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


@router.get("/regions/{region_id}", responses={200: {"model": RegionShape}}, response_class=Response)
def get_region(request: Request, here: Here, region_id: RegionId) -> Response:
    """One region."""
    row = region_catalogue.get(here.db, region_id)
    if row is None:
        raise NotFoundError(
            f"region {region_id}", "a frame's regions get new numbers when another model looks at it again"
        )
    return json_response(region_as_json(row, base_of(request)))
