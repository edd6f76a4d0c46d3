"""The server's JSON as astropy tables: times, units and gaps where they belong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn, QTable
from astropy.time import Time

_Rows = Sequence[Mapping[str, Any]]
_EMPTY = {"int": -1, "bool": False, "str": ""}

FRAME_COLUMNS: dict[str, str | u.UnitBase] = {
    "id": "int",
    "instrument": "str",
    "observatory": "str",
    "date_obs": "time",
    "date_obs_source": "str",
    "frame": "int",
    "wavelength": u.nm,
    "exposure_time": u.s,
    "score": "float",
    "p_value": "float",
    "is_degraded": "bool",
    "causes": "str",
    "status": "str",
    "reason": "str",
    "mark": "str",
    "file_name": "str",
    "size": u.byte,
    "sha256": "str",
    "is_simulated": "bool",
    "received_at": "time",
    "processed_at": "time",
    "latency": u.s,
}
QUALITY_COLUMNS: dict[str, str | u.UnitBase] = {
    "time": "time",
    "instrument": "str",
    "id": "int",
    "score": "float",
    "is_degraded": "bool",
}
BINNED_COLUMNS: dict[str, str | u.UnitBase] = {
    "time": "time",
    "instrument": "str",
    "frames": "int",
    "score": "float",
    "score_min": "float",
    "score_max": "float",
    "degraded": "int",
}
REGION_COLUMNS: dict[str, str | u.UnitBase] = {
    "id": "int",
    "frame_id": "int",
    "track_id": "int",
    "instrument": "str",
    "date_obs": "time",
    "event_type": "str",
    "event_probability": "float",
    "hpc_x": u.arcsec,
    "hpc_y": u.arcsec,
    "stonyhurst_longitude": u.deg,
    "stonyhurst_latitude": u.deg,
    "carrington_longitude": u.deg,
    "carrington_latitude": u.deg,
    "disk_fraction": "float",
    "area_atdiskcenter": u.Mm**2,
    "area_msh": "float",
    "hpc_boundcc": "str",
    "frm_name": "str",
    "frm_versionnumber": "str",
}
_SKY_CLASSES = ("arc", "diffuse", "discrete", "cloud", "moon", "clear")
_PROBABILITIES: dict[str, str | u.UnitBase] = {f"probability_{name}": "float" for name in _SKY_CLASSES}
SKY_COLUMNS: dict[str, str | u.UnitBase] = {
    "time": "time",
    "instrument": "str",
    "frame_id": "int",
    "sky_class": "str",
    "reason": "str",
    "aurora_probability": "float",
    "cloud_cover": "float",
    "sun_elevation_deg": "float",
    "moon_elevation_deg": "float",
    **_PROBABILITIES,
    "disturbance_x_nt": "float",
    "disturbance_y_nt": "float",
    "disturbance_z_nt": "float",
    "disturbance_is_simulated": "bool",
    "disturbance_model": "str",
}
BINNED_SKY_COLUMNS: dict[str, str | u.UnitBase] = {
    "time": "time",
    "instrument": "str",
    "frames": "int",
    "sky_class": "str",
    "aurora_occurrence": "float",
    "aurora_probability": "float",
    "cloud_cover": "float",
    **_PROBABILITIES,
}


def times(words: Sequence[str | None]) -> Time:
    """UTC times of ISO 8601 words that end in Z; missing ones are masked."""
    missing = np.array([word is None for word in words], bool)
    given = [(word or "2000-01-01T00:00:00").removesuffix("Z") for word in words]
    result = Time(given, format="isot", scale="utc") if given else Time([], format="jd", scale="utc")
    result.format = "isot"
    if missing.any():
        result[missing] = np.ma.masked
    return result


def table(rows: _Rows, columns: Mapping[str, str | u.UnitBase]) -> QTable:
    """Table with the columns named, in their order; gaps are masked, or nan where there is a unit."""
    made = QTable()
    for name, kind in columns.items():
        values = [row.get(name) for row in rows]
        made[name] = times(values) if kind == "time" else _column(values, kind)
    return made


def _column(values: list[Any], kind: str | u.UnitBase) -> Any:
    if kind == "float" or not isinstance(kind, str):
        numbers = np.array([np.nan if value is None else value for value in values], float)
        return numbers if kind == "float" else numbers * kind
    missing = [value is None for value in values]
    empty = _EMPTY[kind]
    filled = [empty if value is None else value for value in values]
    return MaskedColumn(
        np.array(filled, {"int": np.int64, "bool": bool, "str": str}[kind]),
        mask=missing if any(missing) else False,
    )


def frame_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """A frame's JSON as one flat row."""
    quality = item.get("quality") or {}
    return {
        **item,
        "wavelength": item.get("wavelength_nm"),
        "exposure_time": item.get("exposure_time_s"),
        "size": item.get("bytes"),
        "latency": item.get("latency_s"),
        "score": quality.get("score"),
        "p_value": quality.get("p_value"),
        "is_degraded": quality.get("is_degraded"),
        "causes": " ".join(one["cause"] for one in quality.get("causes") or ()),
        "mark": _mark(item.get("mark")),
    }


def _mark(mark: Any) -> str | None:
    return mark.get("verdict") or mark.get("mark") if isinstance(mark, dict) else mark


def region_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """A region's JSON as one flat row."""
    x, y = item.get("centroid_hpc_arcsec") or (None, None)
    stonyhurst = item.get("centroid_stonyhurst_deg") or (None, None)
    carrington = item.get("centroid_carrington_deg") or (None, None)
    return {
        **item,
        "hpc_x": x,
        "hpc_y": y,
        "stonyhurst_longitude": stonyhurst[0],
        "stonyhurst_latitude": stonyhurst[1],
        "carrington_longitude": carrington[0],
        "carrington_latitude": carrington[1],
    }


def sky_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """A sky's JSON as one flat row."""
    row = {name: value for name, value in item.items() if name not in ("probabilities", "disturbance")}
    row |= {f"probability_{name}": value for name, value in (item.get("probabilities") or {}).items()}
    felt = item.get("disturbance") or {}
    return row | {f"disturbance_{name}": value for name, value in felt.items()}
