"""When the Earth stands between the Solar Dynamics Observatory and the Sun.

SDO rides an inclined geosynchronous orbit at 102 degrees west. Twice a year, for three weeks that drift
through the calendar with the orbit's node, the Earth covers the Sun for up to 72 minutes a day around the
satellite's midnight. The orbit is taken as a circle whose inclination and node follow the published
two-line elements of catalogue number 36395; seasons then come out to the day as the mission's blog
announced them from 2010 to 2018 (`tests/observatory/test_sky.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from observatory.sky import Seconds, sidereal_angle, spans_above, sun_direction

# Two-line elements of 36395 (NORAD): epoch, inclination and right ascension of the node in degrees.
_ELEMENTS = (
    (datetime(2011, 1, 27, 10, 33, tzinfo=UTC), 27.9384, 183.3973),
    (datetime(2017, 6, 18, 10, 24, tzinfo=UTC), 28.7658, 140.4053),
    (datetime(2025, 6, 17, 10, 55, tzinfo=UTC), 33.8852, 91.9242),
)
_ORIGIN_S = datetime(2018, 1, 1, tzinfo=UTC).timestamp()
_YEAR_S = 365.25 * 86400.0
_EPOCHS = [(epoch.timestamp() - _ORIGIN_S) / _YEAR_S for epoch, _, _ in _ELEMENTS]
_INCLINATION_DEG = np.polyfit(_EPOCHS, [inclination for _, inclination, _ in _ELEMENTS], 2)
_NODE_DEG = np.polyfit(_EPOCHS, [node for _, _, node in _ELEMENTS], 2)
_LONGITUDE_DEG = -101.8  # mean of the three sets; it is kept to half a degree, which is two minutes

_SHADOW_DEG = 8.70 + 0.27  # asin(6378 km / 42164 km), and half the Sun: from first to last contact
#: Added to the shadow: the elements' interpolation, the atmosphere, and the instruments' return to normal.
#: It is three minutes on either side of an eclipse, and two days on either side of a season.
MARGIN_DEG = 0.8
_STEP_S = 180.0
_DAY_S = 86400


def eclipses(start_s: float, end_s: float, margin_deg: float = MARGIN_DEG) -> list[tuple[float, float]]:
    """Spans, within one, in which the Earth covers at least a part of the Sun as SDO sees it.

    Parameters
    ----------
    start_s, end_s : float
        POSIX seconds. Before 2010 there was no SDO; some years beyond the last elements (2025) the seasons
        may be off by days.
    """
    found: list[tuple[float, float]] = []
    # Whole days from noon to noon at SDO: an eclipse, near its midnight, is never cut in two.
    first, last = int((start_s - 68_000) // _DAY_S), int((end_s - 68_000) // _DAY_S)
    for day in range(first, last + 1):
        found += [
            (max(begin, start_s), min(end, end_s))
            for begin, end in _of_day(day, margin_deg)
            if begin < end_s and end > start_s
        ]
    return found


@lru_cache(maxsize=2048)
def _of_day(day: int, margin_deg: float) -> tuple[tuple[float, float], ...]:
    begin = day * _DAY_S + 68_000.0
    times = begin + np.arange(0.0, _DAY_S + _STEP_S, _STEP_S)
    return tuple(spans_above(times, _shadow_deg(times) + margin_deg, begin, begin + _DAY_S))


def _shadow_deg(times_s: Seconds) -> np.ndarray:
    """How deep in the Earth's shadow SDO is, as an angle; above 0 some of the Sun is covered."""
    years = (times_s - _ORIGIN_S) / _YEAR_S
    inclination = np.radians(np.polyval(_INCLINATION_DEG, years))
    node = np.radians(np.polyval(_NODE_DEG, years))
    along = sidereal_angle(times_s) + np.radians(_LONGITUDE_DEG) - node
    satellite = np.stack(
        [
            np.cos(node) * np.cos(along) - np.sin(node) * np.sin(along) * np.cos(inclination),
            np.sin(node) * np.cos(along) + np.cos(node) * np.sin(along) * np.cos(inclination),
            np.sin(along) * np.sin(inclination),
        ],
        axis=-1,
    )
    cosine = -np.sum(satellite * sun_direction(times_s), axis=-1)
    return _SHADOW_DEG - np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
