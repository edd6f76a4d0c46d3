"""Where the Moon stands in a station's sky, and how much of it is lit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from observatory.sky import J2000_S, Seconds, Site, sidereal_angle, sun_direction

# Largest terms of the Moon's longitude, distance and latitude: multiples of D, M, M', F, then the
# coefficients (Meeus, Astronomical Algorithms, 2nd ed., tables 47.A and 47.B), 1e-6 degrees and metres.
_LONGITUDE_DISTANCE = np.array(
    [
        (0, 0, 1, 0, 6288774, -20905355),
        (2, 0, -1, 0, 1274027, -3699111),
        (2, 0, 0, 0, 658314, -2955968),
        (0, 0, 2, 0, 213618, -569925),
        (0, 1, 0, 0, -185116, 48888),
        (0, 0, 0, 2, -114332, -3149),
        (2, 0, -2, 0, 58793, 246158),
        (2, -1, -1, 0, 57066, -152138),
        (2, 0, 1, 0, 53322, -170733),
        (2, -1, 0, 0, 45758, -204586),
        (0, 1, -1, 0, -40923, -129620),
        (1, 0, 0, 0, -34720, 108743),
        (0, 1, 1, 0, -30383, 104755),
        (2, 0, 0, -2, 15327, 10321),
        (0, 0, 1, 2, -12528, 0),
        (0, 0, 1, -2, 10980, 79661),
        (4, 0, -1, 0, 10675, -34782),
        (0, 0, 3, 0, 10034, -23210),
        (4, 0, -2, 0, 8548, -21636),
        (2, 1, -1, 0, -7888, 24208),
        (2, 1, 0, 0, -6766, 30824),
        (1, 0, -1, 0, -5163, -8379),
        (1, 1, 0, 0, 4987, -16675),
        (2, -1, 1, 0, 4036, -12831),
        (2, 0, 2, 0, 3994, -10445),
    ],
    np.float64,
)
_LATITUDE = np.array(
    [
        (0, 0, 0, 1, 5128122),
        (0, 0, 1, 1, 280602),
        (0, 0, 1, -1, 277693),
        (2, 0, 0, -1, 173237),
        (2, 0, -1, 1, 55413),
        (2, 0, -1, -1, 46271),
        (2, 0, 0, 1, 32573),
        (0, 0, 2, 1, 17198),
        (2, 0, 1, -1, 9266),
        (0, 0, 2, -1, 8822),
        (2, -1, 0, -1, 8216),
        (2, 0, -2, -1, 4324),
        (2, 0, 1, 1, 4200),
    ],
    np.float64,
)
_MEAN_DISTANCE_KM = 385000.56
_EARTH_RADIUS_KM = 6378.137
_SUN_DISTANCE_KM = 149_597_870.7
_POLAR_SHARE = 0.99664719  # of the equatorial radius (WGS 84)


def moon_position(times_s: Seconds, site: Site) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the Moon's centre stands in the sky of a place, without refraction.

    To about 0.05 degrees from 1950 to 2050: the series of Meeus, Astronomical Algorithms (2nd ed.,
    chapter 47) without their small terms, seen from the place itself (chapter 11), as the Moon's parallax
    is up to a degree.

    Parameters
    ----------
    times_s : ndarray, shape (n,)
        POSIX seconds, UTC.
    site : Site

    Returns
    -------
    elevation_deg, azimuth_deg : ndarray, shape (n,)
        Azimuths count from north over east, 0 to 360.
    """
    direction, distance_km = _geocentric(times_s)
    seen = direction * distance_km[..., None] - _place_km(times_s, site)
    x, y, z = np.moveaxis(seen, -1, 0)
    hour_angle = sidereal_angle(times_s) + np.radians(site.longitude_deg) - np.arctan2(y, x)
    return horizontal(hour_angle, np.arctan2(z, np.hypot(x, y)), site)


def moon_illuminated(times_s: Seconds) -> NDArray[np.float64]:
    """Share of the Moon's disk that is lit, 0 to 1 (Meeus, chapter 48)."""
    direction, distance_km = _geocentric(times_s)
    to_sun = np.clip(np.sum(direction * sun_direction(times_s), axis=-1), -1.0, 1.0)
    elongation = np.arccos(to_sun)
    phase = np.arctan2(_SUN_DISTANCE_KM * np.sin(elongation), distance_km - _SUN_DISTANCE_KM * to_sun)
    return np.asarray((1.0 + np.cos(phase)) / 2.0)


def horizontal(
    hour_angle: NDArray[np.float64], declination: NDArray[np.float64], site: Site
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Elevation and azimuth (from north over east) in degrees of an hour angle and a declination in radians."""
    latitude = np.radians(site.latitude_deg)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(
        hour_angle
    )
    east = -np.cos(declination) * np.sin(hour_angle)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    return np.degrees(np.arctan2(up, np.hypot(north, east))), np.degrees(np.arctan2(east, north)) % 360.0


def _geocentric(times_s: Seconds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vector to the Moon, equator and equinox of date, shape (n, 3), and its distance in km."""
    days = (np.asarray(times_s, np.float64) - J2000_S) / 86400.0
    century = days / 36525.0
    mean_longitude = 218.3164477 + 481267.88123421 * century
    arguments = np.stack(
        [
            297.8501921 + 445267.1114034 * century,  # D, elongation from the Sun
            357.5291092 + 35999.0502909 * century,  # M, the Sun's anomaly
            134.9633964 + 477198.8675055 * century,  # M', the Moon's anomaly
            93.2720950 + 483202.0175233 * century,  # F, from the ascending node
        ],
        axis=-1,
    )
    angles = np.radians(arguments % 360.0)
    terms = angles @ _LONGITUDE_DISTANCE[:, :4].T
    longitude = np.radians(mean_longitude + np.sin(terms) @ _LONGITUDE_DISTANCE[:, 4] * 1e-6)
    distance_km = _MEAN_DISTANCE_KM + np.cos(terms) @ _LONGITUDE_DISTANCE[:, 5] * 1e-3
    latitude = np.radians(np.sin(angles @ _LATITUDE[:, :4].T) @ _LATITUDE[:, 4] * 1e-6)
    obliquity = np.radians(23.439 - 0.0000004 * days)
    flat = np.cos(latitude) * np.sin(longitude)
    direction = np.stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(obliquity) * flat - np.sin(obliquity) * np.sin(latitude),
            np.sin(obliquity) * flat + np.cos(obliquity) * np.sin(latitude),
        ],
        axis=-1,
    )
    return direction, distance_km


def _place_km(times_s: Seconds, site: Site) -> NDArray[np.float64]:
    """From the centre of the Earth to a place, equator and equinox of date (Meeus, chapter 11)."""
    latitude = np.radians(site.latitude_deg)
    reduced = np.arctan(_POLAR_SHARE * np.tan(latitude))
    height = site.height_m / 6378137.0
    along = np.cos(reduced) + height * np.cos(latitude)
    up = _POLAR_SHARE * np.sin(reduced) + height * np.sin(latitude)
    sidereal = sidereal_angle(times_s) + np.radians(site.longitude_deg)
    place = np.stack([along * np.cos(sidereal), along * np.sin(sidereal), up + 0.0 * sidereal], axis=-1)
    return np.asarray(place * _EARTH_RADIUS_KM)
