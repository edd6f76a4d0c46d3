"""Where on the sky the Sun stood: what a position means for frames of the Sun.

The Sun moves a degree a day, so a region of the sky is a part of the year, the same every year. Positions
are those of ICRS in degrees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Region = Callable[[FloatArray, FloatArray], NDArray[np.bool_]]
"""Tells for right ascensions and declinations of the Sun's centre whether its disk touches the region."""

SUN_RADIUS_DEG = 0.2711
"""Largest that its disk is seen, in January."""

_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
_DAY = timedelta(days=1)
_J2000_MJD = 51544.5
_TT_MINUS_UTC_DAY = 69.184 / 86400
_STEP_DAY = 0.1  # the Sun moves a fifth of its radius
_SLACK_DEG = 0.11  # as much, and the ephemeris' own error of 0.01


def to_mjd(moment: datetime) -> float:
    """Modified Julian Date, UTC."""
    return (moment - _MJD_0) / _DAY


def sun_place(mjd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination of the Sun's centre, to 0.01 degrees.

    Meeus 1998, Astronomical Algorithms, 2nd ed., chapter 25, low accuracy, taken back to the equinox of
    2000; the small aberration of 0.0057 degrees is in it.
    """
    century = (mjd + _TT_MINUS_UTC_DAY - _J2000_MJD) / 36525.0
    mean = 280.46646 + century * (36000.76983 + century * 0.0003032)
    anomaly = np.radians(357.52911 + century * (35999.05029 - century * 0.0001537))
    centre = (
        (1.914602 - century * (0.004817 + century * 0.000014)) * np.sin(anomaly)
        + (0.019993 - century * 0.000101) * np.sin(2 * anomaly)
        + 0.000289 * np.sin(3 * anomaly)
    )
    longitude = np.radians(mean + centre - 1.396971 * century - 0.00569)
    obliquity = np.radians(23.4392911)
    ra = np.degrees(np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))) % 360.0
    return ra, np.degrees(np.arcsin(np.sin(obliquity) * np.sin(longitude)))


def windows(regions: Sequence[Region], start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Times between two at which the Sun's disk touched one of the regions."""
    low, high = to_mjd(start), to_mjd(end)
    mjd = np.append(np.arange(low, high, _STEP_DAY), high)
    ra, declination = sun_place(mjd)
    inside = np.zeros(mjd.shape, bool)
    for region in regions:
        inside |= region(ra, declination)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(np.int8)))
    found = []
    for first, behind in zip(edges[::2], edges[1::2], strict=True):
        # Half a step more on either side, that none between two samples is lost.
        begin = max(low, mjd[first] - _STEP_DAY / 2)
        finish = min(high, mjd[behind - 1] + _STEP_DAY / 2)
        found.append((_MJD_0 + begin * _DAY, _MJD_0 + finish * _DAY))
    return found


def circle(ra: float, declination: float, radius: float) -> Region:
    """A circle of a radius in degrees."""
    centre = _unit(np.array(ra), np.array(declination))
    least = np.cos(np.radians(min(180.0, radius + SUN_RADIUS_DEG + _SLACK_DEG)))
    return lambda sun_ra, sun_dec: _unit(sun_ra, sun_dec) @ centre >= least


def box(ra: tuple[float, float], declination: tuple[float, float]) -> Region:
    """A range of right ascension, which may go through 0, and one of declination."""
    reach = SUN_RADIUS_DEG + _SLACK_DEG
    width = min(360.0, (ra[1] - ra[0]) if ra[1] >= ra[0] else ra[1] - ra[0] + 360.0)

    def touches(sun_ra: FloatArray, sun_dec: FloatArray) -> NDArray[np.bool_]:
        wide = reach / np.cos(np.radians(sun_dec))
        is_between = (sun_ra - ra[0] + wide) % 360.0 <= width + 2 * wide
        low, high = declination
        return is_between & (sun_dec >= low - reach) & (sun_dec <= high + reach)

    return touches


def polygon(corners: Sequence[tuple[float, float]]) -> Region:
    """A polygon of great circles, smaller than half the sky."""
    points = np.array([_unit(np.array(ra), np.array(dec)) for ra, dec in corners])
    nearest = np.cos(np.radians(SUN_RADIUS_DEG + _SLACK_DEG))

    def touches(sun_ra: FloatArray, sun_dec: FloatArray) -> NDArray[np.bool_]:
        sun = _unit(sun_ra, sun_dec)
        found = _is_inside(sun, points)
        for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
            found |= _nearness(sun, start, end) >= nearest
        return found

    return touches


def _unit(ra: FloatArray, declination: FloatArray) -> FloatArray:
    ra, declination = np.radians(ra), np.radians(declination)
    return np.stack(
        [np.cos(declination) * np.cos(ra), np.cos(declination) * np.sin(ra), np.sin(declination)], axis=-1
    )


def _is_inside(sun: FloatArray, corners: FloatArray) -> NDArray[np.bool_]:
    """Whether the edges go once around a point of the polygon's half of the sky."""
    middle = corners.mean(axis=0)
    turned = np.zeros(sun.shape[:-1])
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        from_sun, to_sun = np.cross(sun, start), np.cross(sun, end)
        sine = np.einsum("...i,...i->...", sun, np.cross(from_sun, to_sun))
        turned += np.arctan2(sine, np.einsum("...i,...i->...", from_sun, to_sun))
    return (np.abs(turned) > np.pi) & (sun @ middle > 0)


def _nearness(sun: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """Cosine of the distance from an edge."""
    at_corner = np.maximum(sun @ start, sun @ end)
    normal = np.cross(start, end)
    length = np.linalg.norm(normal)
    if length < 1e-12:
        return at_corner
    normal = normal / length
    is_beside = (sun @ np.cross(normal, start) >= 0) & (sun @ np.cross(end, normal) >= 0)
    beside = np.sqrt(np.clip(1.0 - np.square(sun @ normal), 0.0, 1.0))
    return np.where(is_beside, beside, at_corner)
