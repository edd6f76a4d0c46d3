"""What is known of a frame's sky without looking at the frame: where Sun and Moon stand."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from observatory.analysis import SkyFacts
from observatory.frame import Frame
from observatory.moon import moon_illuminated, moon_position
from observatory.sky import Site, sun_elevation_deg

DAYLIGHT_DEG = -0.833
"""The Sun's height at sunrise: half its disk and 34' of refraction."""
AURORA_DEG = -6.0
"""Civil twilight: with the Sun above this no camera tells an aurora from the sky."""
AURORAL_ZONE_DEG = 60.0
"""Magnetic latitude from which on aurora is an everyday guess."""

_POLE = (
    80.65,
    -72.68,
)  # geomagnetic pole of IGRF-13 for 2020, degrees north and east; 0.4 degrees in a decade
_RARER_DEG = 10.0  # further from the pole aurora is ten times as rare


_STEP_S = 60.0  # the Moon's height is straight to a thousandth of a degree over it


def facts_of(frame: Frame) -> SkyFacts:
    """Sun and Moon over a frame's camera at the time of its exposure.

    Where the time or the place is not known, nothing of this is; the Moon's phase needs the time alone.
    """
    if frame.date_obs is None:
        return SkyFacts()
    time_s = frame.date_obs.timestamp()
    step = int(time_s // _STEP_S)
    before, after = _at(step, frame.site), _at(step + 1, frame.site)
    share = time_s / _STEP_S - step
    illuminated = before[0] + share * (after[0] - before[0])
    if frame.site is None:
        return SkyFacts(moon_illuminated=illuminated)
    sun, moon = (before[n] + share * (after[n] - before[n]) for n in (1, 2))
    turned = (after[3] - before[3] + 180.0) % 360.0 - 180.0
    return SkyFacts(
        sun_elevation_deg=sun,
        moon_elevation_deg=moon,
        moon_azimuth_deg=(before[3] + share * turned) % 360.0,
        moon_illuminated=illuminated,
        can_show_aurora=sun < AURORA_DEG,
    )


@lru_cache(maxsize=256)
def _at(step: int, site: Site | None) -> tuple[float, float, float, float]:
    """The Moon's lit share, the heights of Sun and Moon and the Moon's azimuth at a whole step of time.

    A film's images lie between two of them, and each of them is asked for by both of its neighbours.
    """
    time_s = np.array([step * _STEP_S])
    illuminated = float(moon_illuminated(time_s)[0])
    if site is None:
        return illuminated, 0.0, 0.0, 0.0
    moon, azimuth = moon_position(time_s, site)
    return illuminated, float(sun_elevation_deg(time_s, site)[0]), float(moon[0]), float(azimuth[0])


def magnetic_latitude_deg(site: Site) -> float:
    """Latitude in the field of a centred dipole, degrees; good to a degree or two for these decades."""
    latitude, longitude = np.radians((site.latitude_deg, site.longitude_deg - _POLE[1]))
    pole = np.radians(_POLE[0])
    sine = np.sin(latitude) * np.sin(pole) + np.cos(latitude) * np.cos(pole) * np.cos(longitude)
    return float(np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))))


@lru_cache(maxsize=256)
def aurora_rarity(site: Site | None) -> float:
    """How many times rarer aurora is over a place than in the auroral zone, 0 to 1; 1 where it is not known.

    Nights with aurora fall from some 100 a year at 60 degrees of magnetic latitude to 10 at 50 and one at 40
    (isochasms: Vestine 1944, Terrestrial Magnetism and Atmospheric Electricity 49, 77). Inside the zone, as
    far as the pole, nothing is changed.
    """
    if site is None:
        return 1.0
    return float(10.0 ** min((abs(magnetic_latitude_deg(site)) - AURORAL_ZONE_DEG) / _RARER_DEG, 0.0))
