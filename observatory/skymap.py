"""Skymaps: where every pixel of a network's camera looks, as its owners calibrated it with stars.

THEMIS, REGO and TREx publish one for each camera and spell of time, as IDL save files; the same arrays may
lie in HDF5 or npz. Row 0 of the arrays is row 0 of the camera's own files.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.errors import SettingsError
from observatory.fisheye import Fisheye, Projection
from observatory.sky import Site

FloatArray = NDArray[np.float64]

_LOWEST_FITTED_DEG = 5.0  # nearer to the horizon maps are extrapolated
_LARGEST_BYTES = 1 << 29
_LEAST_PIXELS = 100


class SkymapError(SettingsError):
    """A file that settings name as a skymap is none."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path.name} cannot be used as a skymap: {why}")


@dataclass(frozen=True)
class Skymap:
    """Directions of all pixels of a camera, and places on Earth below them.

    Attributes
    ----------
    elevation_deg, azimuth_deg : ndarray, shape (height, width)
        Of the middles of the pixels; NaN where the camera sees no sky; azimuths from north over east.
    altitudes_km : ndarray, shape (n,)
        Heights above ground that were mapped, rising.
    latitude_deg, longitude_deg : ndarray, shape (n, height + 1, width + 1)
        Of the pixels' corners; longitudes -180 to 180; NaN beyond the map.
    site : Site
    site_id, imager_id : str
        Such as ``gako`` and ``themis20``.
    """

    elevation_deg: FloatArray
    azimuth_deg: FloatArray
    altitudes_km: FloatArray
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    site: Site
    site_id: str = ""
    imager_id: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the pictures that it describes."""
        return int(self.elevation_deg.shape[0]), int(self.elevation_deg.shape[1])

    def corners(self, altitude_km: float) -> tuple[FloatArray, FloatArray]:
        """Latitude and longitude of the pixels' corners for a height of the aurora.

        Between two mapped heights the places lie on straight lines: to a kilometre at 110 km of maps for 90
        and 150 km, except at the horizon.

        Raises
        ------
        ValueError
            When the height lies outside those mapped.
        """
        known = self.altitudes_km
        if not known[0] - 1e-6 <= altitude_km <= known[-1] + 1e-6:
            raise ValueError(
                f"{altitude_km:g} km: the skymap knows heights of {known[0]:g} to {known[-1]:g} km"
            )
        above = min(max(int(np.searchsorted(known, altitude_km)), 1), max(len(known) - 1, 0))
        if len(known) == 1:
            return self.latitude_deg[0], self.longitude_deg[0]
        low, high = above - 1, above
        share = (altitude_km - known[low]) / (known[high] - known[low])
        latitude = self.latitude_deg[low] + share * (self.latitude_deg[high] - self.latitude_deg[low])
        turn = _wrapped(self.longitude_deg[high] - self.longitude_deg[low])
        return latitude, _wrapped(self.longitude_deg[low] + share * turn)

    def fisheye(self) -> Fisheye:
        """The lens and its orientation that come nearest to the map.

        Raises
        ------
        ValueError
            When too few pixels look at the sky.
        """
        return _nearest_fisheye(self)


def load_skymap(path: Path) -> Skymap:
    """Read a skymap; the same file is read once.

    Raises
    ------
    SkymapError
        When it is not there, or is none.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SkymapError(path, error.strerror or str(error)) from error
    if status.st_size > _LARGEST_BYTES:
        raise SkymapError(path, f"it has {status.st_size:,} bytes")
    return _load(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _load(path: Path, _mtime_ns: int, _size: int) -> Skymap:
    read = next((reader for ending, reader in _READERS.items() if path.suffix.lower() == ending), None)
    if read is None:
        raise SkymapError(path, f"its name must end in {', '.join(_READERS)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SciPy doubts the lengths of structures in files by IDL
            arrays = read(path)
        return skymap_of(arrays)
    except SkymapError:
        raise
    except KeyError as error:
        raise SkymapError(path, f"it lacks {error.args[0]}") from error
    except Exception as error:
        raise SkymapError(path, f"{type(error).__name__}: {str(error)[:200]}") from error


def _read_sav(path: Path) -> dict[str, Any]:
    from scipy.io import readsav

    tables = readsav(str(path), python_dict=True)
    table = next((value for value in tables.values() if getattr(value, "dtype", np.dtype(int)).names), None)
    if table is None:
        return {key.lower(): value for key, value in tables.items()}
    return {name.lower(): table[0][name] for name in table.dtype.names or ()}


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name.lower(): arrays[name] for name in arrays.files}


def _read_hdf(path: Path) -> dict[str, Any]:
    import h5py  # type: ignore[import-untyped]

    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                found.__setitem__(name.rsplit("/", 1)[-1].lower(), item[()])
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".sav": _read_sav,
    ".npz": _read_npz,
    ".h5": _read_hdf,
    ".hdf5": _read_hdf,
}


def skymap_of(arrays: Mapping[str, Any]) -> Skymap:
    """Skymap from the networks' arrays by name (``full_elevation``, ``full_map_latitude`` and so on).

    Raises
    ------
    KeyError
        When one is missing.
    ValueError
        When their shapes do not fit each other.
    """
    elevation = _angles(arrays["full_elevation"], 90.0)
    azimuth = _angles(arrays["full_azimuth"], 360.0)
    altitudes = np.atleast_1d(np.asarray(arrays["full_map_altitude"], float)) / 1000.0
    latitude = _angles(arrays["full_map_latitude"], 90.0)
    longitude = _wrapped(_angles(arrays["full_map_longitude"], 360.0))
    if elevation.ndim != 2 or azimuth.shape != elevation.shape:
        raise ValueError(f"full_elevation has shape {elevation.shape}, full_azimuth {azimuth.shape}")
    wanted = (len(altitudes), elevation.shape[0] + 1, elevation.shape[1] + 1)
    if latitude.shape != wanted or longitude.shape != wanted:
        raise ValueError(f"full_map_latitude has shape {latitude.shape}; {wanted} is expected")
    if np.isfinite(elevation).sum() < _LEAST_PIXELS:
        raise ValueError("hardly a pixel of it looks at the sky")
    order = np.argsort(altitudes)
    return Skymap(
        elevation_deg=elevation,
        azimuth_deg=np.mod(azimuth, 360.0),
        altitudes_km=altitudes[order],
        latitude_deg=latitude[order],
        longitude_deg=longitude[order],
        site=Site(
            float(np.ravel(arrays["site_map_latitude"])[0]),
            float(_wrapped(np.ravel(arrays["site_map_longitude"])[0])),
            max(float(np.ravel(arrays.get("site_map_altitude", 0.0))[0]), 0.0),
        ),
        site_id=_word(arrays.get("site_uid", "")),
        imager_id=_word(arrays.get("imager_uid", "")),
    )


def _angles(values: Any, most: float) -> FloatArray:
    """Angles as numbers of our machine; NaN for what is none."""
    found = np.array(values, dtype=np.float64)
    found[~(np.abs(found) <= most)] = np.nan
    return found


def _wrapped(longitude: Any) -> Any:
    return np.mod(np.asarray(longitude, float) + 180.0, 360.0) - 180.0


def _word(value: Any) -> str:
    value = np.ravel(value)[0] if np.size(value) else ""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return re.sub(r"[^\w.-]", "", text)[:64]


# -- the lens -----------------------------------------------------------------------------------


def _nearest_fisheye(skymap: Skymap) -> Fisheye:
    """Try each projection and both senses of the azimuth; keep what leaves the least error."""
    height, width = skymap.shape
    step = max(1, max(height, width) // 48)
    rows, columns = np.mgrid[0:height:step, 0:width:step]
    zenith = 90.0 - skymap.elevation_deg[::step, ::step]
    azimuth = skymap.azimuth_deg[::step, ::step]
    is_used = (zenith < 90.0 - _LOWEST_FITTED_DEG) & np.isfinite(azimuth)
    if is_used.sum() < _LEAST_PIXELS:
        raise ValueError("too few pixels of the skymap look at the sky")
    x, y = columns[is_used].astype(float), rows[is_used].astype(float)
    candidates = [
        _fitted(x, y, zenith[is_used], azimuth[is_used], projection, is_clockwise=is_clockwise)
        for projection in Projection
        for is_clockwise in (False, True)
    ]
    return min(candidates, key=lambda one: one[0])[1]


def _fitted(
    x: FloatArray,
    y: FloatArray,
    zenith: FloatArray,
    azimuth: FloatArray,
    projection: Projection,
    *,
    is_clockwise: bool,
) -> tuple[float, Fisheye]:
    """Rms error in pixels and the lens, by least squares in the orientation's sine and cosine and the scale.

    A camera whose pixels are oblong has another scale along the columns; the orientation is then found by
    turns with the ratio of the two.
    """
    unit = Fisheye(0.0, 0.0, 1.0, projection=projection, is_clockwise=is_clockwise)
    right, down = unit.pixel(zenith, azimuth)
    aspect = 1.0
    for _ in range(20):
        # x = x0 + r (c right - s down), y / aspect = y0 + r (s right + c down)
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        top = np.stack([right, -down, ones, zeros], axis=1)
        bottom = np.stack([down, right, zeros, ones], axis=1)
        wanted = np.concatenate([x, y / aspect])
        (cosine, sine, x0, y0), *_ = np.linalg.lstsq(np.concatenate([top, bottom]), wanted, rcond=None)
        turned = sine * right + cosine * down
        new, start = np.polyfit(turned, y, 1)
        y0 = start / aspect
        if abs(new - aspect) < 1e-6:
            break
        aspect = float(new)
    radius = float(np.hypot(cosine, sine))
    turn = float(np.degrees(np.arctan2(sine, cosine)))
    lens = Fisheye(
        center_x_px=float(x0),
        center_y_px=float(y0 * aspect),
        radius_px=radius,
        radius_y_px=radius * aspect if abs(aspect - 1.0) > 1e-3 else None,
        projection=projection,
        up_azimuth_deg=float(np.mod(-turn if is_clockwise else turn, 360.0)),
        is_clockwise=is_clockwise,
        is_oriented=True,
        source="skymap",
    )
    told_x, told_y = lens.pixel(zenith, azimuth)
    return float(np.sqrt(np.mean((told_x - x) ** 2 + (told_y - y) ** 2))), lens
