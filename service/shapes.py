"""Rows as the JSON of the public face: built, not validated; the models document it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from observatory.storage import products, region_catalogue, results, skies
from observatory.storage.images import SKY_FAMILY
from observatory.storage.session import Database
from service.sky_shapes import SkyShape

API = "/api/v1"


class CauseShape(BaseModel):
    """One cause of degradation."""

    cause: str
    probability: float


class QualityShape(BaseModel):
    """How good a frame is."""

    score: float
    p_value: float | None
    is_degraded: bool
    causes: list[CauseShape]
    model: str | None


class FrameShape(BaseModel):
    """A frame."""

    id: int
    instrument: str | None
    observatory: str | None
    date_obs: datetime | None
    date_obs_source: str
    frame: int
    wavelength_nm: float | None
    exposure_time_s: float | None
    is_simulated: bool
    file_name: str
    sha256: str | None
    bytes: int
    status: str
    reason: str | None
    priority: str
    received_at: datetime
    processed_at: datetime | None
    latency_s: float | None
    quality: QualityShape | None
    mark: str | None
    sky: SkyShape | None
    links: dict[str, str]


class FrameDetail(FrameShape):
    """A frame with how often its bytes arrived and how often it was tried."""

    arrivals: int
    attempts: int


class FrameList(BaseModel):
    """A page of frames."""

    items: list[FrameShape]
    next: str | None


class ProductShape(BaseModel):
    """A picture or file made from a frame."""

    id: int
    frame_id: int
    kind: str
    media_type: str
    sha256: str
    bytes: int
    width: int | None
    height: int | None
    created_at: datetime
    links: dict[str, str]


class ProductList(BaseModel):
    """Products of a frame, newest first."""

    items: list[ProductShape]


_FRAME_NAMES = (
    "id",
    "instrument",
    "observatory",
    "date_obs",
    "date_obs_source",
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
    "mark",
)


_PICTURE_LINKS = {
    "preview": "preview",
    "region-map": "region_map",
    "enhanced": "enhanced",
    "compare-before": "compare_before",
    "compare-after": "compare_after",
    "cloud-map": "cloud_map",
}


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON; times end in Z."""
    return Response(
        orjson.dumps(body, option=orjson.OPT_UTC_Z),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-cache", **(headers or {})},
    )


def frames_as_json(
    db: Database, rows: Sequence[Mapping[str, Any]], base: str = "", as_of: datetime | None = None
) -> list[dict[str, Any]]:
    """Frames with their quality and the links to their pictures.

    Parameters
    ----------
    base : str
        What comes before every path, when a proxy serves us below one.
    as_of : datetime or None
        Tell the quality and the sky that were known then.
    """
    ids = [row["id"] for row in rows]
    if as_of is not None:
        known = results.quality_as_of(db, ids, as_of)
        rows = [row | _quality_columns(known.get(row["id"])) for row in map(dict, rows)]
    scored = [row["id"] for row in rows if row["quality_score"] is not None]
    payloads = results.newest_payloads(db, scored, "quality", as_of)
    pictures = products.newest(db, ids)
    of_sky = [row["id"] for row in rows if row["family"] == SKY_FAMILY]
    shown = skies.of_frames(db, of_sky) if as_of is None else results.sky_as_of(db, of_sky, as_of)
    segmented = region_catalogue.with_segmentation(db, ids)
    return [
        frame_as_json(
            row,
            payloads.get(row["id"], {}),
            pictures.get(row["id"], {}),
            base,
            is_segmented=row["id"] in segmented,
            sky=shown.get(row["id"]),
        )
        for row in rows
    ]


def _quality_columns(known: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a frame's row has of its quality, as it would have been."""
    if known is None:
        return {"quality_score": None, "is_degraded": None, "causes": []}
    return {"quality_score": known["score"], "is_degraded": known["is_degraded"], "causes": known["causes"]}


def frame_as_json(
    row: Mapping[str, Any],
    payload: Mapping[str, Any],
    pictures: Mapping[str, int],
    base: str,
    *,
    is_segmented: bool = False,
    sky: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One frame."""
    shape = {name: row[name] for name in _FRAME_NAMES}
    shape["frame"] = row["frame_index"]
    shape["quality"] = _quality(row, payload)
    shape["sky"] = sky
    path = f"{base}{API}/frames/{row['id']}"
    links = {"self": path, "results": f"{path}/results", "products": f"{path}/products"}
    for kind, name in _PICTURE_LINKS.items():
        if kind in pictures:
            links[name] = f"{base}{API}/products/{pictures[kind]}/data"
    if is_segmented:
        links["regions"] = f"{base}{API}/regions?frame={row['id']}"
        if "preview" in pictures:
            links["outlines"] = f"{path}/outlines.svg"
    if sky is not None and sky["site"] is not None:
        links["footprint"] = f"{path}/footprint"
    shape["links"] = links
    return shape


def _quality(row: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["quality_score"] is None:
        return None
    return {
        "score": row["quality_score"],
        "p_value": payload.get("p_value"),
        "is_degraded": row["is_degraded"],
        "causes": row["causes"],
        "model": payload.get("model"),
    }


def product_as_json(row: Mapping[str, Any], base: str = "") -> dict[str, Any]:
    """One product; where it lies on the server is nobody's business."""
    names = ("id", "frame_id", "kind", "media_type", "sha256", "bytes", "width", "height", "created_at")
    path = f"{base}{API}/products/{row['id']}"
    return {name: row[name] for name in names} | {
        "links": {"data": f"{path}/data", "preview": f"{path}/preview"}
    }
