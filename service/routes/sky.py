"""Aurora and cloud over time, and what part of the Earth a frame looks over."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from observatory.footprint import DEFAULT_ALTITUDE_KM, NoFootprintError, Ring, footprint, polygons
from observatory.sky import Site
from observatory.storage import catalogue, skies, sky_series
from observatory.storage.frame_keys import Key, Page
from observatory.storage.sky_series import SkyChoice
from service import columns, examples, listing
from service.context import Context, Here
from service.described import list_answers, problems
from service.filters import SkyQuery, TimeRange
from service.formats import chosen_format
from service.numbers import RowNumber
from service.paging import list_response
from service.problems import NotFoundError, ParameterError
from service.series import bins_response
from service.sky_shapes import FootprintShape, SkySeries
from service.tables import Rows

router = APIRouter(tags=["sky"])

_PAGE = 2000  # of points as JSON, and of bins
_PIECE = 2000  # rows of a table that are in memory at once
_GEOJSON = "application/geo+json"
_POINT = (
    *("time", "instrument", "frame_id", "sky_class", "reason", "probabilities", "aurora_probability"),
    *("cloud_cover", "sun_elevation_deg", "moon_elevation_deg"),
)
_BIN = (
    *("time", "instrument", "frames", "sky_class", "aurora_occurrence", "probabilities"),
    *("aurora_probability", "cloud_cover"),
)


@router.get("/sky", responses=list_answers(SkySeries, examples.SKY), response_class=Response)
def get_series(request: Request, here: Here, query: Annotated[SkyQuery, Query()]) -> Response:
    """What all-sky frames showed, over the time of observation; frames without a time are left out.

    Newest first, a page at a time, or all as a table. `sky_class=aurora` gives arc, diffuse and discrete
    together, `sky_class=none` the frames whose sky cannot be judged, with the reason; left out, all that could
    be judged. With `bin`, the commonest class, how many frames show aurora, and means; then the newest bins are
    given, and there are no pages.
    """
    form = chosen_format(request, query.format)
    if query.bin is not None:
        return _bins(request, here, query, query.bin, form)
    if form != "json":
        return _table(request, here, query, form)
    rows, last = _page(here, query, query.after, query.limit or _PAGE)
    following = listing.following(request, "sky", last, query.order)
    items = [_point(row) for row in rows]
    body = {"bin_s": None, "is_truncated": last is not None, "items": items, "next": following}
    return list_response(request, body, following)


def _point(row: dict[str, Any]) -> dict[str, Any]:
    names = ("x_nt", "y_nt", "z_nt", "is_simulated")
    is_felt = row["disturbance_x_nt"] is not None
    felt = {name: row[f"disturbance_{name}"] for name in names} if is_felt else None
    return {name: row[name] for name in _POINT} | {"disturbance": felt}


def _page(
    here: Context, query: SkyQuery, after: Key | None, limit: int
) -> tuple[list[dict[str, Any]], Key | None]:
    time = query.time or TimeRange()
    page = Page(limit + 1, after, query.order == "asc")
    rows = sky_series.series(here.db, query.instrument, time.start, time.end, query.sky_class, page)
    return listing.page_of(rows, limit, sky_series.key_of)


def _table(request: Request, here: Context, query: SkyQuery, form: str) -> Response:
    def read(after: Key | None, limit: int) -> tuple[Rows, Key | None]:
        rows, last = _page(here, query, after, limit)
        return listing.cells_of(rows, columns.SKIES), last

    return listing.table_of(request, query, form, "sky", columns.SKIES, read, _PIECE)


def _bins(request: Request, here: Context, query: SkyQuery, bin_s: int, form: str) -> Response:
    if query.cursor is not None:
        raise ParameterError("cursor", "bins have no pages", "without bin; or a shorter time")
    if query.sky_class is SkyChoice.NONE:
        raise ParameterError("sky_class", "skies that cannot be judged have no numbers to bin", "without bin")
    time = query.time or TimeRange()

    def read(limit: int) -> list[dict[str, Any]]:
        return sky_series.binned(
            here.db, query.instrument, time.start, time.end, query.sky_class, bin_s=bin_s, limit=limit
        )

    limit, chosen = query.limit or _PAGE, columns.BINNED_SKIES
    return bins_response(request, query, form, "sky", chosen, read, limit, bin_s, shown=_BIN)


FrameId = Annotated[RowNumber, Path(description="number of a frame")]
Altitude = Annotated[
    float,
    Query(
        ge=50,
        le=1000,
        allow_inf_nan=False,
        description="height of the emission, 50 to 1000 km; 110 is green aurora's",
    ),
]
LeastElevation = Annotated[
    float,
    Query(ge=0, le=80, allow_inf_nan=False, description="0 to 80 degrees: sky that is lower is not counted"),
]


@router.get(
    "/frames/{frame_id}/footprint",
    responses={
        200: {"model": FootprintShape, "content": {_GEOJSON: {}}},
        **problems(_404="there is no footprint of frame 4711; nothing tells where its camera stands"),
    },
    response_class=Response,
)
def get_footprint(
    here: Here,
    frame_id: FrameId,
    altitude_km: Altitude = DEFAULT_ALTITUDE_KM,
    elevation_min: LeastElevation = 10.0,
) -> Response:
    """The part of the Earth over which a frame shows emissions of one height, as GeoJSON (WGS 84).

    From the site and the camera's geometry (settings, header or skymap). Where the camera's azimuths are not
    known (`is_oriented`), it is the whole circle around the site.
    """
    row = catalogue.get(here.db, frame_id)
    if row is None:
        raise NotFoundError(f"frame {frame_id}")
    place = skies.place_of(here.db, frame_id) or skies.Place(None, None, None)
    site = place.site or _site_of(here, row["instrument"])
    if site is None:
        hint = "nothing tells where its camera stands: set `site` of its instrument"
        raise NotFoundError(f"footprint of frame {frame_id}", hint)
    try:
        ring = footprint(
            site, place.fisheye, place.shape, altitude_km=altitude_km, elevation_min_deg=elevation_min
        )
    except NoFootprintError as error:
        raise NotFoundError(f"footprint of frame {frame_id}", str(error)) from error
    feature = {
        "type": "Feature",
        "id": frame_id,
        "geometry": _geometry(ring),
        "properties": {
            "frame_id": frame_id,
            "instrument": row["instrument"],
            "date_obs": row["date_obs"],
            "altitude_km": altitude_km,
            "elevation_min_deg": elevation_min,
            "is_oriented": place.fisheye is not None and place.fisheye.is_oriented,
            "site": [(site.longitude_deg + 180.0) % 360.0 - 180.0, site.latitude_deg],
        },
    }
    return Response(
        orjson.dumps(feature, option=orjson.OPT_UTC_Z),
        media_type=_GEOJSON,
        headers={"Cache-Control": "no-cache"},
    )


def _site_of(here: Context, instrument: str | None) -> Site | None:
    station = here.settings.instruments.get(instrument or "")
    return None if station is None or station.site is None else station.site.as_site


def _geometry(ring: Ring) -> dict[str, Any]:
    pieces = polygons(ring)
    if len(pieces) == 1:
        return {"type": "Polygon", "coordinates": [pieces[0]]}
    return {"type": "MultiPolygon", "coordinates": [[piece] for piece in pieces]}
