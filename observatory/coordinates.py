"""From pixels to places on the Sun and back, for an observer near the Earth.

Angles are in degrees, longitudes count west, helioprojective coordinates are in arcseconds; pixels
are 0-based with centres at integers and rows as in `Frame.pixels`. Arrays of any shape go in and
float64 arrays come out, NaN where there is no such place: beyond the limb, or on the far side.

The observer stands at the Earth's centre. SDO's orbit takes it at most 0.017 degrees from there,
which is half a second of arc at the disk's centre: less than an outline is known to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observatory.errors import UnusableInputError
from observatory.frame import Pointing, RowOrder

FloatArray = NDArray[np.float64]

RSUN_MM = 695.7  # IAU 2015 resolution B3, nominal solar radius
MM2_PER_MSH = 2e-6 * np.pi * RSUN_MM**2  # one millionth of the hemisphere
RSUN_1AU_ARCSEC = 959.63  # Auwers (1891), as in AIA's headers

#: Sidereal rotation of small magnetic features in microradians per second, A + B sin^2 + C sin^4 of
#: the latitude: Howard, Harvey & Forgach 1990, Solar Phys. 130, 295. Coronal holes turn more
#: rigidly than that; the published rates differ from each other by more than from this law.
HOWARD_MICRORADIAN_PER_S = (2.894, -0.428, -0.370)
_CARRINGTON_DEG_PER_DAY = 360.0 / 25.38  # sidereal, by definition
_EARTH_DEG_PER_DAY = 0.9856  # mean motion
_POLE_DEG = (286.13, 63.87)  # right ascension, declination
_MERIDIAN_DEG = (84.176, 14.1844)  # at J2000 and per day
_LIGHT_DAYS_PER_AU = 0.0057755
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_TT_MINUS_UTC_S = 69.184  # since 2017; a few seconds less before, which is 0.0005 degrees of L0
_ARCSEC = np.pi / 648000.0


class UnknownOrientationError(UnusableInputError):
    """Nothing tells where solar north is in the picture."""

    def __init__(self) -> None:
        super().__init__(
            "the roll angle of the frame is unknown, so its pixels have no helioprojective coordinates; "
            "give CROTA2 (0 where solar north is up)"
        )


@dataclass(frozen=True)
class SunView:
    """How the Sun stands before an observer at the Earth.

    Attributes
    ----------
    date_obs : datetime
        Aware.
    b0_deg : float
        Heliographic latitude of the disk's centre.
    l0_deg : float
        Carrington longitude of the disk's centre, 0 to 360.
    distance_au : float
    rsun_arcsec : float
        Apparent radius.

    Notes
    -----
    The Sun's place is that of Meeus 1998, Astronomical Algorithms, 2nd ed., chapter 25 (low
    accuracy: 0.01 degrees); its axis and prime meridian are those of Archinal et al. 2018, Celest.
    Mech. Dyn. Astr. 130, 22, table 1, seen as the light left it.
    """

    date_obs: datetime
    b0_deg: float = field(init=False)
    l0_deg: float = field(init=False)
    distance_au: float = field(init=False)
    rsun_arcsec: float = field(init=False)

    def __post_init__(self) -> None:
        b0, l0, distance = _ephemeris(self.date_obs)
        object.__setattr__(self, "b0_deg", b0)
        object.__setattr__(self, "l0_deg", l0)
        object.__setattr__(self, "distance_au", distance)
        object.__setattr__(self, "rsun_arcsec", RSUN_1AU_ARCSEC / distance)


def _ephemeris(date_obs: datetime) -> tuple[float, float, float]:
    """B0 and L0 in degrees and the distance in au."""
    days = ((date_obs - _J2000).total_seconds() + _TT_MINUS_UTC_S) / 86400.0
    century = days / 36525.0
    mean_longitude = 280.46646 + century * (36000.76983 + century * 0.0003032)
    anomaly = np.radians(357.52911 + century * (35999.05029 - century * 0.0001537))
    eccentricity = 0.016708634 - century * (0.000042037 + century * 0.0000001267)
    centre = (
        (1.914602 - century * (0.004817 + century * 0.000014)) * np.sin(anomaly)
        + (0.019993 - century * 0.000101) * np.sin(2 * anomaly)
        + 0.000289 * np.sin(3 * anomaly)
    )
    distance = 1.000001018 * (1 - eccentricity**2) / (1 + eccentricity * np.cos(anomaly + np.radians(centre)))
    # Precession takes the equinox of date back to that of 2000; the ecliptic of the two is taken as one.
    longitude = np.radians(mean_longitude + centre - 1.396971 * century)
    obliquity = np.radians(23.4392911)
    earth = -np.array(
        [np.cos(longitude), np.sin(longitude) * np.cos(obliquity), np.sin(longitude) * np.sin(obliquity)]
    )
    pole_ra, pole_declination = np.radians(_POLE_DEG)
    node = np.array([-np.sin(pole_ra), np.cos(pole_ra), 0.0])
    pole = np.array(
        [
            np.cos(pole_declination) * np.cos(pole_ra),
            np.cos(pole_declination) * np.sin(pole_ra),
            np.sin(pole_declination),
        ]
    )
    from_node = np.degrees(np.arctan2(earth @ np.cross(pole, node), earth @ node))
    meridian = _MERIDIAN_DEG[0] + _MERIDIAN_DEG[1] * (days - _LIGHT_DAYS_PER_AU * distance)
    b0 = np.degrees(np.arcsin(earth @ pole))
    return float(b0), float((from_node - meridian) % 360.0), float(distance)


def pixel_to_hpc(
    x: ArrayLike, y: ArrayLike, pointing: Pointing, row_order: RowOrder = RowOrder.BOTTOM
) -> tuple[FloatArray, FloatArray]:
    """Helioprojective (Tx, Ty) in arcseconds of pixels.

    The tangent-plane projection is taken as flat: at 1.5 solar radii that is 0.03 arcsec.

    Raises
    ------
    UnknownOrientationError
        When the pointing has no roll angle.
    """
    cosine, sine = _roll(pointing)
    right = (np.asarray(x, np.float64) - pointing.center_x_px) * pointing.cdelt_arcsec
    up = (np.asarray(y, np.float64) - pointing.center_y_px) * pointing.cdelt_arcsec
    if row_order is RowOrder.TOP:
        up = -up
    return cosine * right - sine * up, sine * right + cosine * up


def hpc_to_pixel(
    tx_arcsec: ArrayLike, ty_arcsec: ArrayLike, pointing: Pointing, row_order: RowOrder = RowOrder.BOTTOM
) -> tuple[FloatArray, FloatArray]:
    """Pixels (x, y) of helioprojective coordinates; the inverse of `pixel_to_hpc`."""
    cosine, sine = _roll(pointing)
    tx, ty = np.asarray(tx_arcsec, np.float64), np.asarray(ty_arcsec, np.float64)
    right = (cosine * tx + sine * ty) / pointing.cdelt_arcsec
    up = (-sine * tx + cosine * ty) / pointing.cdelt_arcsec
    down_or_up = -up if row_order is RowOrder.TOP else up
    return pointing.center_x_px + right, pointing.center_y_px + down_or_up


def _roll(pointing: Pointing) -> tuple[float, float]:
    if pointing.roll_deg is None:
        raise UnknownOrientationError
    angle = np.radians(pointing.roll_deg)
    return float(np.cos(angle)), float(np.sin(angle))


def hpc_to_stonyhurst(
    tx_arcsec: ArrayLike, ty_arcsec: ArrayLike, b0_deg: float, rsun_arcsec: float = RSUN_1AU_ARCSEC
) -> tuple[FloatArray, FloatArray]:
    """Stonyhurst (longitude, latitude) where the line of sight meets the photosphere.

    Parameters
    ----------
    rsun_arcsec : float
        Apparent radius, which also says how near the observer is: perspective moves points by
        up to 0.27 degrees (Thompson 2006, A&A 449, 791).
    """
    tx, ty = np.asarray(tx_arcsec, np.float64) * _ARCSEC, np.asarray(ty_arcsec, np.float64) * _ARCSEC
    distance = 1.0 / np.sin(rsun_arcsec * _ARCSEC)
    towards = np.cos(ty) * np.cos(tx)
    with np.errstate(invalid="ignore"):
        # The nearer root of |observer + d * direction| = 1 in solar radii.
        root = np.sqrt(1.0 - np.square(distance) * (1.0 - np.square(towards)))
    reach = distance * towards - root
    west, north, near = reach * np.cos(ty) * np.sin(tx), reach * np.sin(ty), distance - reach * towards
    b0 = np.radians(b0_deg)
    latitude = np.arcsin(np.clip(north * np.cos(b0) + near * np.sin(b0), -1.0, 1.0))
    longitude = np.arctan2(west, near * np.cos(b0) - north * np.sin(b0))
    return np.degrees(longitude), np.degrees(latitude)


def stonyhurst_to_hpc(
    longitude_deg: ArrayLike, latitude_deg: ArrayLike, b0_deg: float, rsun_arcsec: float = RSUN_1AU_ARCSEC
) -> tuple[FloatArray, FloatArray]:
    """Helioprojective (Tx, Ty) in arcseconds of places on the photosphere; NaN when out of sight."""
    longitude, latitude = np.radians(longitude_deg), np.radians(latitude_deg)
    b0 = np.radians(b0_deg)
    west = np.cos(latitude) * np.sin(longitude)
    meridional = np.cos(latitude) * np.cos(longitude)
    north = np.sin(latitude) * np.cos(b0) - meridional * np.sin(b0)
    near = np.sin(latitude) * np.sin(b0) + meridional * np.cos(b0)
    distance = 1.0 / np.sin(rsun_arcsec * _ARCSEC)
    depth = np.where(near * distance >= 1.0, distance - near, np.nan)
    tx = np.arctan2(west, depth) / _ARCSEC
    ty = np.arctan2(north, np.hypot(west, depth)) / _ARCSEC
    return tx, ty


def to_carrington(stonyhurst_longitude_deg: ArrayLike, l0_deg: float) -> FloatArray:
    """Carrington longitude, 0 to 360."""
    return np.mod(np.asarray(stonyhurst_longitude_deg, np.float64) + l0_deg, 360.0)


def to_stonyhurst(carrington_longitude_deg: ArrayLike, l0_deg: float) -> FloatArray:
    """Stonyhurst longitude, -180 to 180."""
    return _half_turn(np.asarray(carrington_longitude_deg, np.float64) - l0_deg)


def _half_turn(longitude: FloatArray) -> FloatArray:
    return np.mod(longitude + 180.0, 360.0) - 180.0


def rotation_deg_per_day(
    latitude_deg: ArrayLike, *, frame: Literal["sidereal", "synodic", "carrington"] = "synodic"
) -> FloatArray:
    """Rotation at a latitude: against the stars, the Earth, or the Carrington system.

    Howard, Harvey & Forgach 1990, Solar Phys. 130, 295: `HOWARD_MICRORADIAN_PER_S`.
    """
    square = np.square(np.sin(np.radians(latitude_deg)))
    a, b, c = HOWARD_MICRORADIAN_PER_S
    sidereal = np.degrees((a + square * (b + c * square)) * 1e-6) * 86400.0
    reference = {
        "sidereal": 0.0,
        "synodic": _EARTH_DEG_PER_DAY,
        "carrington": _CARRINGTON_DEG_PER_DAY,
    }
    return np.asarray(sidereal - reference[frame], np.float64)


def rotate_stonyhurst(longitude_deg: ArrayLike, latitude_deg: ArrayLike, days: float) -> FloatArray:
    """Stonyhurst longitude `days` later (earlier when negative), -180 to 180."""
    turned = np.asarray(longitude_deg, np.float64) + rotation_deg_per_day(latitude_deg) * days
    return _half_turn(turned)


def rotate_carrington(longitude_deg: ArrayLike, latitude_deg: ArrayLike, days: float) -> FloatArray:
    """Carrington longitude `days` later, 0 to 360: the drift within the Carrington system."""
    drift = rotation_deg_per_day(latitude_deg, frame="carrington") * days
    return np.mod(np.asarray(longitude_deg, np.float64) + drift, 360.0)


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: the same map is the same object
class CellAreas:
    """What each cell of a grid covers of the Sun.

    Attributes
    ----------
    msh : ndarray, shape (side, side), float32
        True area in millionths of the hemisphere, foreshortening undone; 0 beyond the limb, and
        only the part on the disk where the limb crosses a cell.
    radius : ndarray, shape (side, side), float32
        Distance of the cell's centre from the disk's centre in solar radii.
    center_cell : tuple (x, y)
        The disk's centre in cells, centres of cells at integers.
    """

    msh: NDArray[np.float32]
    radius: NDArray[np.float32]
    center_cell: tuple[float, float]

    @cached_property
    def mu(self) -> NDArray[np.float32]:
        """Cosine of the heliocentric angle, 0 beyond the limb."""
        return np.sqrt(np.clip(1.0 - np.square(self.radius), 0.0, None))


def cell_areas(side: int, extent_px: tuple[float, float, float, float], pointing: Pointing) -> CellAreas:
    """Areas of the cells of a square grid over `extent_px` = (x0, y0, x1, y1), edges in pixels.

    Kept for the next frame: a grid that lies about the disk in the same way is the same map.
    """
    x0, y0, x1, y1 = extent_px
    edges = (
        (x0 - pointing.center_x_px) / pointing.radius_px,
        (y0 - pointing.center_y_px) / pointing.radius_px,
        (x1 - pointing.center_x_px) / pointing.radius_px,
        (y1 - pointing.center_y_px) / pointing.radius_px,
    )
    # A hundred-thousandth of the radius is less than a fiftieth of a pixel.
    rounded = (round(edges[0], 5), round(edges[1], 5), round(edges[2], 5), round(edges[3], 5))
    return _cell_areas(side, rounded, round(pointing.rsun_arcsec))


@lru_cache(maxsize=8)  # 8 MB each at 1024 cells
def _cell_areas(side: int, edges: tuple[float, float, float, float], rsun_arcsec: int) -> CellAreas:
    x = np.linspace(edges[0], edges[2], side + 1)
    y = np.linspace(edges[1], edges[3], side + 1)
    # Seen from infinity a cell covers the integral of 1 / sqrt(1 - x^2 - y^2), which along x is an
    # arc sine: exact up to the limb, where sampling 1 / mu at centres would diverge.
    sub_rows = 4
    chord = np.zeros((side, side), np.float64)
    for k in range(sub_rows):
        row = y[:-1] + (k + 0.5) / sub_rows * np.diff(y)
        half = np.sqrt(np.clip(1.0 - np.square(row), 1e-12, None))[:, None]
        angle = np.arcsin(np.clip(x[None, :] / half, -1.0, 1.0))
        chord += np.diff(angle, axis=1) * (np.abs(row) < 1.0)[:, None]
    area = chord * (np.diff(y) / sub_rows)[:, None]
    middle_x, middle_y = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
    radius = np.hypot(middle_x[None, :], middle_y[:, None])
    area *= _perspective(np.minimum(radius, 1.0), rsun_arcsec) * (1e6 / (2.0 * np.pi))
    msh, distances = area.astype(np.float32), radius.astype(np.float32)
    msh.flags.writeable = distances.flags.writeable = False
    center = (-x[0] / (x[1] - x[0]) - 0.5, -y[0] / (y[1] - y[0]) - 0.5)
    return CellAreas(msh, distances, (float(center[0]), float(center[1])))


def _perspective(radius: FloatArray, rsun_arcsec: float) -> FloatArray:
    """True area over that seen from infinity: a near observer sees the middle larger.

    With r the distance from the disk's centre, the angle at the surface is asin(r), that at the
    observer asin(r / D), and their difference is the angle at the Sun's centre.
    """
    distance = 1.0 / np.sin(rsun_arcsec * _ARCSEC)
    at_centre = np.arcsin(radius) - np.arcsin(radius / distance)
    stretch = np.where(radius > 1e-6, np.sin(at_centre) / np.maximum(radius, 1e-6), 1.0 - 1.0 / distance)
    return stretch * (1.0 - np.sqrt(1.0 - np.square(radius)) / np.sqrt(distance**2 - np.square(radius)))
