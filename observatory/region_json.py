"""A region as plain JSON under the names of the Heliophysics Event Knowledgebase.

Names, types and the form of polygons are those of HEK's VOEvent specification (Hurlburt et al.
2012, Solar Phys. 275, 67) as its search service answers: polygons as ``POLYGON((x y,x y))`` in
helioprojective arcseconds, Stonyhurst and Carrington degrees. What HEK has no name for stands
beside it under our own: outlines with holes and pieces, `area_msh`, `disk_fraction`, `track_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from observatory.analysis import EventType, ModelIdentity, Region, Threshold
from observatory.coordinates import RSUN_MM, SunView, to_stonyhurst

_AREA_UNIT = "Mm2"
_RINGS = ("rings_px", "rings_hpc_arcsec", "rings_carrington_deg")
_DIGITS = {"rings_px": 2, "rings_hpc_arcsec": 2, "rings_carrington_deg": 4}
_PLAIN = (
    "area_px",
    "disk_fraction",
    "probability",
    "intensity_mean",
    "intensity_median",
    "intensity_min",
    "intensity_max",
    "intensity_std",
    "area_atdiskcenter_mm2",
    "area_msh",
)
_POINTS = (
    "centroid_px",
    "centroid_hpc_arcsec",
    "centroid_stonyhurst_deg",
    "centroid_carrington_deg",
    "bounding_box_px",
)


def region_json(
    region: Region,
    *,
    date_obs: datetime | None = None,
    exposure_time_s: float | None = None,
    observatory: str | None = None,
    instrument: str | None = None,
    wavelength_nm: float | None = None,
    unit: str | None = None,
    model: ModelIdentity | None = None,
    threshold: Threshold | str | None = None,
    track_id: int | str | None = None,
) -> dict[str, Any]:
    """Return a region as a JSON object: HEK's names, then ours; unknown values are None."""
    return {
        **_what(region, date_obs, exposure_time_s),
        **_where(region, date_obs),
        **_how_large(region, unit),
        **_by_whom(observatory, instrument, wavelength_nm, model, threshold, track_id),
        **{name: _rounded(getattr(region, name), _DIGITS[name]) for name in _RINGS},
        **{name: _listed(getattr(region, name)) for name in _POINTS},
        **{name: _finite(getattr(region, name)) for name in _PLAIN},
        "threshold": None if threshold is None else str(threshold),
        "track_id": track_id,
    }


def region_from_json(stored: Mapping[str, Any]) -> Region:
    """Return the region that `region_json` wrote, to its rounding."""
    rings = {
        name: None if stored.get(name) is None else tuple(np.array(ring, np.float64) for ring in stored[name])
        for name in _RINGS
    }
    points = {name: None if stored.get(name) is None else tuple(stored[name]) for name in _POINTS}
    plain = {
        name: float("nan") if stored.get(name) is None and name.startswith("intensity") else stored.get(name)
        for name in _PLAIN
    }
    values: dict[str, Any] = {**rings, **points, **plain}
    return Region(event_type=EventType(stored["event_type"]), **values)


def _what(region: Region, date_obs: datetime | None, exposure_time_s: float | None) -> dict[str, Any]:
    end = None if date_obs is None else date_obs + timedelta(seconds=exposure_time_s or 0.0)
    return {
        "event_type": region.event_type.value,
        "event_starttime": _stamp(date_obs),
        "event_endtime": _stamp(end),
        "event_probability": round(region.probability, 4),
    }


def _stamp(moment: datetime | None) -> str | None:
    """HEK's times: UTC without a zone."""
    if moment is None:
        return None
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return text.removesuffix(".000")


def _where(region: Region, date_obs: datetime | None) -> dict[str, Any]:
    hpc, hgs, hgc = (
        region.centroid_hpc_arcsec,
        region.centroid_stonyhurst_deg,
        region.centroid_carrington_deg,
    )
    outlines = _first_outlines(region, date_obs)
    fields: dict[str, Any] = {
        "event_coordsys": "UTC-HPC-TOPO" if hpc else None,
        "event_coordunit": "arcsec,arcsec" if hpc else None,
        "event_coord1": _finite(hpc[0]) if hpc else None,
        "event_coord2": _finite(hpc[1]) if hpc else None,
    }
    for name, point in (("hpc", hpc), ("hgs", hgs), ("hgc", hgc)):
        fields[f"{name}_x"] = _finite(point[0]) if point else None
        fields[f"{name}_y"] = _finite(point[1]) if point else None
        fields[f"{name}_coord"] = f"POINT({point[0]:.4f} {point[1]:.4f})" if point else None
        ring = outlines.get(name)
        fields[f"{name}_boundcc"] = _polygon(ring)
        fields[f"{name}_bbox"] = _box_polygon(ring)
    ring = outlines.get("hpc")
    low, high = (None, None) if ring is None else (ring.min(axis=0), ring.max(axis=0))
    fields |= {
        "boundbox_c1ll": None if low is None else _finite(low[0]),
        "boundbox_c2ll": None if low is None else _finite(low[1]),
        "boundbox_c1ur": None if high is None else _finite(high[0]),
        "boundbox_c2ur": None if high is None else _finite(high[1]),
        "bound_ccnsteps": None if ring is None else len(ring),
        "bound_ccstartc1": None if ring is None else _finite(ring[0, 0]),
        "bound_ccstartc2": None if ring is None else _finite(ring[0, 1]),
        "bound_chaincode": _chain(ring),
        "chaincodetype": None if ring is None else "ordered list",
    }
    return fields


def _first_outlines(region: Region, date_obs: datetime | None) -> dict[str, np.ndarray]:
    """The largest outer ring in each system that is known; HEK's polygons have no holes."""
    outlines = {}
    if region.rings_hpc_arcsec:
        outlines["hpc"] = region.rings_hpc_arcsec[0]
    if region.rings_carrington_deg and date_obs is not None:
        ring = region.rings_carrington_deg[0]
        longitude = to_stonyhurst(ring[:, 0], SunView(date_obs).l0_deg)
        outlines["hgs"] = np.stack([longitude, ring[:, 1]], axis=-1)
        # A polygon across the prime meridian goes on below 0, as HEK's do.
        carrington = np.degrees(np.unwrap(np.radians(ring[:, 0])))
        outlines["hgc"] = np.stack([carrington, ring[:, 1]], axis=-1)
    return outlines


def _polygon(ring: np.ndarray | None) -> str | None:
    if ring is None:
        return None
    closed = np.concatenate([ring, ring[:1]])
    return "POLYGON((" + ",".join(f"{x:.3f} {y:.3f}" for x, y in closed) + "))"


def _box_polygon(ring: np.ndarray | None) -> str | None:
    if ring is None:
        return None
    (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
    return _polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))


def _chain(ring: np.ndarray | None) -> str | None:
    if ring is None:
        return None
    closed = np.concatenate([ring, ring[:1]])
    return ",".join(f"{value:.2f}" for value in closed.ravel())


def _how_large(region: Region, unit: str | None) -> dict[str, Any]:
    disk_mm2 = None
    if region.area_atdiskcenter_mm2 is not None:
        disk_mm2 = region.disk_fraction * np.pi * RSUN_MM**2
    return {
        "area_atdiskcenter": _finite(region.area_atdiskcenter_mm2),
        "area_raw": _finite(disk_mm2),
        "area_unit": _AREA_UNIT if disk_mm2 is not None else None,
        "event_npixels": round(region.area_px),
        "event_pixelunit": "pixels",
        "intensmin": _finite(region.intensity_min),
        "intensmax": _finite(region.intensity_max),
        "intensmean": _finite(region.intensity_mean),
        "intensmedian": _finite(region.intensity_median),
        "intensvar": _finite(region.intensity_std**2),
        "intensunit": unit,
    }


def _by_whom(
    observatory: str | None,
    instrument: str | None,
    wavelength_nm: float | None,
    model: ModelIdentity | None,
    threshold: Threshold | str | None,
    track_id: int | str | None,
) -> dict[str, Any]:
    parameters = dict(model.parameters) if model else {}
    if threshold is not None:
        parameters["threshold"] = str(threshold)
    channel = None if wavelength_nm is None else f"{wavelength_nm * 10:g}"
    return {
        "frm_name": f"Heliowatch {model.name}" if model else None,
        "frm_versionnumber": model.version if model else None,
        "frm_paramset": "; ".join(f"{name}={value}" for name, value in parameters.items()) or None,
        "frm_identifier": "heliowatch",
        "frm_humanflag": "F",
        "frm_specificid": None if track_id is None else str(track_id),
        "obs_observatory": observatory,
        "obs_instrument": instrument,
        "obs_channelid": channel,
        "obs_meanwavel": None if wavelength_nm is None else round(wavelength_nm * 10, 4),
        "obs_wavelunit": None if wavelength_nm is None else "Angstrom",
    }


def _rounded(rings: Sequence[np.ndarray] | None, digits: int) -> list[list[list[float]]] | None:
    return None if rings is None else [np.round(ring, digits).tolist() for ring in rings]


def _listed(point: Sequence[float] | None) -> list[float] | None:
    return None if point is None else [round(float(value), 4) for value in point]


def _finite(value: float | None) -> float | None:
    """Six digits and never NaN, which JSON does not have."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{value:.7g}")
