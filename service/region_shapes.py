"""Regions, tracks and areas as the JSON of the public face; the models document it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from observatory.analysis import ModelIdentity, Threshold
from observatory.region_json import region_json
from observatory.storage import region_catalogue
from service.result_shapes import ModelShape, model_as_json
from service.shapes import API


class RegionShape(BaseModel):
    """A region of one frame: our names, and those of the Heliophysics Event Knowledgebase.

    Outlines are lists of [x, y]; the first ring is the largest outer one, holes run the other way.
    """

    id: int
    frame_id: int
    track_id: int | None
    instrument: str
    date_obs: datetime | None
    event_type: str
    event_starttime: str | None
    event_endtime: str | None
    event_probability: float
    event_coordsys: str | None
    event_coordunit: str | None
    event_coord1: float | None
    event_coord2: float | None
    area_atdiskcenter: float | None
    area_atdiskcenter_mm2: float | None
    area_raw: float | None
    area_unit: str | None
    area_msh: float | None
    disk_fraction: float
    event_npixels: int
    event_pixelunit: str
    hpc_x: float | None
    hpc_y: float | None
    hpc_coord: str | None
    hpc_boundcc: str | None
    hpc_bbox: str | None
    hgs_x: float | None
    hgs_y: float | None
    hgs_coord: str | None
    hgs_boundcc: str | None
    hgs_bbox: str | None
    hgc_x: float | None
    hgc_y: float | None
    hgc_coord: str | None
    hgc_boundcc: str | None
    hgc_bbox: str | None
    boundbox_c1ll: float | None
    boundbox_c2ll: float | None
    boundbox_c1ur: float | None
    boundbox_c2ur: float | None
    bound_ccnsteps: int | None
    bound_ccstartc1: float | None
    bound_ccstartc2: float | None
    bound_chaincode: str | None
    chaincodetype: str | None
    intensmin: float | None
    intensmax: float | None
    intensmean: float | None
    intensmedian: float | None
    intensvar: float | None
    intensunit: str | None
    frm_name: str | None
    frm_versionnumber: str | None
    frm_paramset: str | None
    frm_identifier: str
    frm_humanflag: str
    frm_specificid: str | None
    obs_observatory: str | None
    obs_instrument: str | None
    obs_channelid: str | None
    obs_meanwavel: float | None
    obs_wavelunit: str | None
    centroid_px: list[float]
    centroid_hpc_arcsec: list[float] | None
    centroid_stonyhurst_deg: list[float] | None
    centroid_carrington_deg: list[float] | None
    bounding_box_px: list[float]
    area_px: float
    probability: float
    threshold: str | None
    intensity_mean: float | None
    intensity_median: float | None
    intensity_min: float | None
    intensity_max: float | None
    intensity_std: float | None
    rings_px: list[list[list[float]]]
    rings_hpc_arcsec: list[list[list[float]]] | None
    rings_carrington_deg: list[list[list[float]]] | None
    model: ModelShape
    parameters_hash: str
    software_version: str
    links: dict[str, str]


class RegionList(BaseModel):
    """A page of regions."""

    items: list[RegionShape]
    next: str | None


class AreaPoint(BaseModel):
    """What one frame, or a bin of several (then means), had of one type of event."""

    time: datetime
    event_type: str
    instrument: str
    regions: float
    disk_fraction: float
    area_msh: float | None
    frame_id: int | None = None
    disk_fraction_conservative: float | None = None
    disk_fraction_liberal: float | None = None
    frames: int | None = None
    disk_fraction_min: float | None = None
    disk_fraction_max: float | None = None


class AreaSeries(BaseModel):
    """Areas, oldest first."""

    bin_s: int | None
    is_truncated: bool
    items: list[AreaPoint]


class TrackEventShape(BaseModel):
    """A split, a merge, or the return of a track that had merged."""

    kind: str
    time: datetime
    frame_id: int
    track_id: int
    other_id: int | None


class SightingShape(BaseModel):
    """One region of a track."""

    region_id: int
    frame_id: int
    instrument: str
    time: datetime
    disk_fraction: float
    area_msh: float | None
    longitude_deg: float | None
    latitude_deg: float | None
    carrington_longitude_deg: float | None


class TrackShape(BaseModel):
    """A region followed from frame to frame."""

    id: int
    event_type: str
    first_seen: datetime
    last_seen: datetime
    sightings: int
    parent_id: int | None
    merged_into_id: int | None
    merged_at: datetime | None
    events: list[TrackEventShape]
    is_truncated: bool
    history: list[SightingShape]
    links: dict[str, str]


def region_as_json(row: Mapping[str, Any], base: str = "") -> dict[str, Any]:
    """One region, a row of `region_catalogue.find` with its outlines."""
    hek = region_json(
        region_catalogue.region_of(row),
        date_obs=row["date_obs"],
        exposure_time_s=row["exposure_time_s"],
        observatory=row["observatory"],
        instrument=row["instrument"],
        wavelength_nm=row["wavelength_nm"],
        model=ModelIdentity(row["model_name"], row["model_version"], row["model_sha256"]),
        threshold=Threshold.MEDIUM,
        track_id=row["track_id"],
    )
    ours = {name: row[name] for name in ("id", "frame_id", "track_id", "instrument", "date_obs")}
    run = {name: row[name] for name in ("parameters_hash", "software_version")}
    links = {
        "self": f"{base}{API}/regions/{row['id']}",
        "frame": f"{base}{API}/frames/{row['frame_id']}",
        "results": f"{base}{API}/frames/{row['frame_id']}/results",
    }
    if row["track_id"] is not None:
        links["track"] = f"{base}{API}/regions/tracks/{row['track_id']}"
    return ours | hek | run | {"model": model_as_json(row), "links": links}


def track_as_json(
    row: Mapping[str, Any], seen: list[dict[str, Any]], *, is_truncated: bool, base: str
) -> dict[str, Any]:
    """One track with its newest sightings, oldest first."""
    facts = {name: value for name, value in row.items() if name != "events"}
    path = f"{base}{API}/regions/tracks/{row['id']}"
    return facts | {
        "events": [_event(one) for one in row["events"]],
        "is_truncated": is_truncated,
        "history": [_sighting(one) for one in seen],
        "links": {"self": path, "regions": f"{base}{API}/regions?track={row['id']}"},
    }


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kind", "frame_id", "track_id", "other_id")
    return {"time": row["moment"]} | {name: row[name] for name in names}


def _sighting(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("frame_id", "instrument", "disk_fraction", "area_msh", "carrington_longitude_deg")
    return {
        "region_id": row["id"],
        "time": row["moment"],
        "longitude_deg": row["stonyhurst_longitude_deg"],
        "latitude_deg": row["stonyhurst_latitude_deg"],
    } | {name: row[name] for name in names}
