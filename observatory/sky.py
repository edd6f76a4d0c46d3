"""Where the Sun stands in a station's sky, and when it is above or below a height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
"""POSIX seconds, UTC."""

J2000_S = 946_728_000.0  # 2000-01-01T12:00Z
_STEP_S = 300.0  # between two samples the height is all but a straight line: crossings to a second or two


@dataclass(frozen=True)
class Site:
    """A place on Earth; longitudes count eastwards."""

    latitude_deg: float
    longitude_deg: float
    height_m: float = 0.0


def sun_direction(times_s: Seconds) -> NDArray[np.float64]:
    """Apparent direction of the Sun as a unit vector, shape (n, 3), equator and equinox of date.

    To about 0.01 degrees from 1950 to 2050: the low-precision formulae of the Astronomical Almanac
    (page C5 of any year), which hold the aberration in their constants.
    """
    days = (np.asarray(times_s, np.float64) - J2000_S) / 86400.0
    mean_longitude_deg = 280.460 + 0.9856474 * days
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(mean_longitude_deg + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    obliquity = np.radians(23.439 - 0.0000004 * days)
    sine = np.sin(longitude)
    return np.stack([np.cos(longitude), np.cos(obliquity) * sine, np.sin(obliquity) * sine], axis=-1)


def sidereal_angle(times_s: Seconds) -> NDArray[np.float64]:
    """Greenwich mean sidereal time in radians, not reduced.

    IAU 1982 without its small terms (Meeus, Astronomical Algorithms, 2nd ed., equation 12.4); UTC stands
    for UT1, which is at most 0.004 degrees off.
    """
    days = (np.asarray(times_s, np.float64) - J2000_S) / 86400.0
    return np.radians(280.46061837 + 360.98564736629 * days)


def sun_elevation_deg(times_s: Seconds, site: Site) -> NDArray[np.float64]:
    """Height of the Sun's centre above the horizon in degrees, without refraction."""
    x, y, z = np.moveaxis(sun_direction(times_s), -1, 0)
    hour_angle = sidereal_angle(times_s) + np.radians(site.longitude_deg) - np.arctan2(y, x)
    latitude = np.radians(site.latitude_deg)
    sine = np.sin(latitude) * z + np.cos(latitude) * np.hypot(x, y) * np.cos(hour_angle)
    return np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))


def sun_azimuth_deg(times_s: Seconds, site: Site) -> NDArray[np.float64]:
    """Azimuth of the Sun's centre in degrees, 0 to 360, from north over east."""
    x, y, z = np.moveaxis(sun_direction(times_s), -1, 0)
    hour_angle = sidereal_angle(times_s) + np.radians(site.longitude_deg) - np.arctan2(y, x)
    latitude = np.radians(site.latitude_deg)
    north = np.cos(latitude) * z - np.sin(latitude) * np.hypot(x, y) * np.cos(hour_angle)
    return np.degrees(np.arctan2(-np.hypot(x, y) * np.sin(hour_angle), north)) % 360.0


def sun_above(site: Site, limit_deg: float, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """Spans of time, within one, in which the Sun stands above a height."""
    times = np.arange(start_s, end_s + _STEP_S, _STEP_S)
    return spans_above(times, sun_elevation_deg(times, site) - limit_deg, start_s, end_s)


def spans_above(
    times_s: Seconds, values: NDArray[np.float64], start_s: float, end_s: float
) -> list[tuple[float, float]]:
    """Spans in which sampled values are above zero; crossings lie on straight lines between samples."""
    is_above = values > 0.0
    turns = np.flatnonzero(is_above[1:] != is_above[:-1])
    share = values[turns] / (values[turns] - values[turns + 1])
    edges = list(times_s[turns] + share * (times_s[turns + 1] - times_s[turns]))
    if is_above[0]:
        edges.insert(0, start_s)
    if len(edges) % 2:
        edges.append(end_s)
    spans = zip(edges[::2], edges[1::2], strict=True)
    return [
        (max(float(begin), start_s), min(float(end), end_s))
        for begin, end in spans
        if begin < end_s and end > start_s
    ]
