"""What part of the Earth an all-sky camera looks over: the ground below the emission that it sees.

An emission at one height above the ellipsoid (WGS 84) is followed down to the point beneath it: geodetic
latitude and longitude, as the corner grids of skymaps give them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye
from observatory.sky import Site

Ring = NDArray[np.float64]
"""Longitudes and latitudes, shape (n, 2), degrees."""

EQUATORIAL_RADIUS_KM = 6378.137
FLATTENING = 1 / 298.257223563
DEFAULT_ALTITUDE_KM = 110.0
"""Of the lower border of green aurora (557.7 nm)."""

_AZIMUTHS = 180
_STEPS = 181
_ROUNDS = 4  # of Bowring's iteration: a millimetre after two


class NoFootprintError(UnusableInputError):
    """The camera's zenith is not in its picture, so that its field cannot be told as a shape around it."""

    def __init__(self, fisheye: Fisheye, shape: tuple[int, int]) -> None:
        super().__init__(
            f"the zenith, at pixel ({fisheye.center_x_px:.0f}, {fisheye.center_y_px:.0f}), is outside the picture of "
            f"{shape[1]} x {shape[0]} pixels: check the camera's fisheye or skymap in the settings"
        )


def points_below(
    site: Site, zenith_deg: NDArray[np.floating], azimuth_deg: NDArray[np.floating], altitude_km: float
) -> Ring:
    """Where on Earth emissions of one height stand that are seen in some directions.

    Parameters
    ----------
    zenith_deg : ndarray, shape (n,)
        0 to 90.
    azimuth_deg : ndarray, shape (n,)
        From north over east.
    altitude_km : float
        Above the ellipsoid, and above the site.

    Returns
    -------
    ndarray, shape (n, 2)
        Longitude (-180 to 180) and geodetic latitude, degrees.
    """
    zenith, azimuth = np.radians(zenith_deg), np.radians(azimuth_deg)
    latitude, longitude = np.radians(site.latitude_deg), np.radians(site.longitude_deg)
    east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
    up = np.array(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    north = np.cross(up, east)
    level = np.sin(zenith)[:, None] * (np.sin(azimuth)[:, None] * east + np.cos(azimuth)[:, None] * north)
    ray = level + np.cos(zenith)[:, None] * up
    return _geodetic(_reached(_geocentric(site), ray, altitude_km))


def _geocentric(site: Site) -> NDArray[np.float64]:
    """Place of a site in km, the z axis through the north pole."""
    latitude, longitude = np.radians(site.latitude_deg), np.radians(site.longitude_deg)
    squared = FLATTENING * (2.0 - FLATTENING)
    normal = EQUATORIAL_RADIUS_KM / np.sqrt(1.0 - squared * np.sin(latitude) ** 2)
    height = site.height_m / 1000.0
    across = (normal + height) * np.cos(latitude)
    return np.array(
        [
            across * np.cos(longitude),
            across * np.sin(longitude),
            (normal * (1.0 - squared) + height) * np.sin(latitude),
        ]
    )


def _reached(start: NDArray[np.float64], ray: NDArray[np.float64], altitude_km: float) -> NDArray[np.float64]:
    """Where rays leave the ellipsoid whose half axes are longer by the altitude.

    That is the surface of constant height within a few metres.
    """
    axes = np.array([1.0, 1.0, 1.0 - FLATTENING]) * EQUATORIAL_RADIUS_KM + altitude_km
    start_scaled, ray_scaled = start / axes, ray / axes
    a = np.sum(ray_scaled**2, axis=-1)
    b = np.sum(ray_scaled * start_scaled, axis=-1)
    c = float(np.sum(start_scaled**2)) - 1.0
    distance = (-b + np.sqrt(b**2 - a * c)) / a
    return np.asarray(start + distance[:, None] * ray)


def _geodetic(points: NDArray[np.float64]) -> Ring:
    """Longitude and geodetic latitude of points in km (Bowring 1976, Survey Review 23, 323)."""
    x, y, z = points.T
    across = np.hypot(x, y)
    squared = FLATTENING * (2.0 - FLATTENING)
    polar = EQUATORIAL_RADIUS_KM * (1.0 - FLATTENING)
    latitude = np.arctan2(z, across * (1.0 - squared))
    for _ in range(_ROUNDS):
        reduced = np.arctan2((1.0 - FLATTENING) * np.sin(latitude), np.cos(latitude))
        latitude = np.arctan2(
            z + squared / (1.0 - squared) * polar * np.sin(reduced) ** 3,
            across - squared * EQUATORIAL_RADIUS_KM * np.cos(reduced) ** 3,
        )
    return np.degrees(np.column_stack([np.arctan2(y, x), latitude]))


def footprint(
    site: Site,
    fisheye: Fisheye | None = None,
    shape: tuple[int, int] | None = None,
    *,
    altitude_km: float = DEFAULT_ALTITUDE_KM,
    elevation_min_deg: float = 10.0,
) -> Ring:
    """Border of what a camera sees of emissions at one height.

    Parameters
    ----------
    fisheye : Fisheye or None
        Where it is oriented the picture's edges cut the field; otherwise the whole circle is given.
    shape : tuple (height, width) or None
        Of the picture.
    elevation_min_deg : float
        Lower the sky is not counted: below some 10 degrees the points run away and trees stand before them.

    Returns
    -------
    ndarray, shape (180, 2)
        Longitude and latitude, degrees, anticlockwise; the last point is not the first one again.
        Longitudes run on beyond 180 rather than jump.

    Raises
    ------
    NoFootprintError
        When the zenith is not in the picture.
    """
    azimuth = np.linspace(360.0, 0.0, _AZIMUTHS, endpoint=False)  # over west: anticlockwise on a map
    lowest = 90.0 - elevation_min_deg
    if fisheye is not None:
        lowest = min(lowest, fisheye.max_zenith_deg)
    zenith = np.full(_AZIMUTHS, lowest)
    if fisheye is not None and fisheye.is_oriented and shape is not None:
        zenith = _inside(fisheye, shape, azimuth, lowest)
    ring = points_below(site, zenith, azimuth, altitude_km)
    ring[:, 0] = np.unwrap(ring[:, 0], period=360.0)
    return ring


def _inside(
    fisheye: Fisheye, shape: tuple[int, int], azimuth_deg: NDArray[np.floating], lowest_deg: float
) -> NDArray[np.float64]:
    """Zenith distance down to which the picture reaches, at each azimuth."""
    steps = np.linspace(0.0, lowest_deg, _STEPS)
    x, y = fisheye.pixel(steps[None, :], azimuth_deg[:, None])
    is_inside = (x >= -0.5) & (x <= shape[1] - 0.5) & (y >= -0.5) & (y <= shape[0] - 0.5)
    if not is_inside[:, 0].all():
        raise NoFootprintError(fisheye, shape)
    reach = np.logical_and.accumulate(is_inside, axis=1).sum(axis=1) - 1
    return np.asarray(steps[reach])


def polygons(ring: Ring) -> list[list[tuple[float, float]]]:
    """A ring as GeoJSON draws it (RFC 7946, section 3.1.9): closed, and cut where it crosses 180 degrees.

    A ring around a pole runs along 180 degrees to that pole and back.
    """
    points = [(float(x), float(y)) for x, y in ring]
    turn = points[0][0] - points[-1][0]
    if abs(turn) > 180.0:  # unwrapped, its ends lie a whole turn apart
        pole = 90.0 if np.mean(ring[:, 1]) > 0.0 else -90.0
        after = (points[0][0] - math.copysign(360.0, turn), points[0][1])
        points += [after, (after[0], pole), (points[0][0], pole)]
    pieces = []
    for shift in (-360.0, 0.0, 360.0):
        moved = [(x + shift, y) for x, y in points]
        piece = _cut(_cut(moved, -180.0, is_lower=True), 180.0, is_lower=False)
        rounded = [(round(x, 4), round(y, 4)) for x, y in piece]
        if len({x for x, _ in rounded}) > 1:  # else it but touches the meridian
            pieces.append([*rounded, rounded[0]])
    return pieces


def _cut(
    points: Sequence[tuple[float, float]], meridian: float, *, is_lower: bool
) -> list[tuple[float, float]]:
    """Part of a polygon on one side of a meridian (Sutherland & Hodgman 1974, CACM 17, 32)."""

    def is_kept(point: tuple[float, float]) -> bool:
        return point[0] >= meridian if is_lower else point[0] <= meridian

    kept: list[tuple[float, float]] = []
    for place, point in enumerate(points):
        before = points[place - 1]
        if is_kept(point) != is_kept(before):
            share = (meridian - before[0]) / (point[0] - before[0])
            kept.append((meridian, before[1] + share * (point[1] - before[1])))
        if is_kept(point):
            kept.append(point)
    return kept
