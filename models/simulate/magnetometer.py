"""A simulated magnetometer that feels the simulated aurora."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky_forms import Substorm
from models.simulate.allsky_sites import SimulatedSite
from observatory.magnetometer import MagneticSeries

FloatArray = NDArray[np.float64]

_CURRENT_KM = 110.0
_MIDNIGHT_S = 12 * 3600.0
_NT_PER_KR = 13.0  # 25 kR overhead feel like some -300 nT, a common substorm
_BASE_NT = (8200.0, 1200.0, 54200.0)  # about Svalbard's


def disturbance_nt(storms: Sequence[Substorm], seconds: FloatArray, seed: int = 1) -> FloatArray:
    """What a magnetometer feels, north, east and down in nT.

    Every form carries a line current along the parallel at 110 km, as strong as it is bright: eastwards in
    the evening's quiet arcs, westwards from break-up on. A line current I at distance r gives
    mu0 I / (2 pi r); a part flows along the field and turns the disturbance eastwards.

    Parameters
    ----------
    seconds : ndarray, shape (n,)
        From local noon.

    Returns
    -------
    ndarray, shape (n, 3)
    """
    seconds = np.asarray(seconds, np.float64)
    felt = np.zeros((len(seconds), 3))
    for storm in storms:
        for row in np.flatnonzero((seconds > storm.start_s - 600) & (seconds < storm.end_s)):
            arc, bright, patches = storm.brightness_kr(float(seconds[row]))
            north_km = storm.poleward * storm.arc_km(float(seconds[row]))
            is_evening = seconds[row] < _MIDNIGHT_S - 2.0 * 3600.0
            eastward = _NT_PER_KR * (arc * (1.0 if is_evening else -0.5) - bright - 1.2 * patches)
            squared = _CURRENT_KM**2 + north_km**2
            felt[row, 0] += eastward * _CURRENT_KM**2 / squared
            felt[row, 1] += -0.25 * eastward * _CURRENT_KM / np.sqrt(squared)
            felt[row, 2] += eastward * _CURRENT_KM * north_km / squared
    return felt + _unrest(seconds, seed)


def _unrest(seconds: FloatArray, seed: int) -> FloatArray:
    """A few nT of everything else: slow waves and noise, the same for the same moment."""
    random = np.random.default_rng((seed, 31))
    waves = np.zeros((len(seconds), 3))
    for period_s, height in ((43200.0, 6.0), (9000.0, 3.0), (2100.0, 1.5), (500.0, 0.7)):
        phases = random.uniform(0, 2 * np.pi, 3)
        waves += height * np.sin(2 * np.pi * seconds[:, None] / period_s + phases)
    # Noise out of the time itself, so that a minute asked for twice answers the same.
    grain = np.modf(
        np.sin(np.floor(seconds)[:, None] * np.array([12.9898, 78.233, 37.719]) + seed) * 43758.5453
    )[0]
    return np.asarray(waves + 0.8 * grain)


def recorded(
    place: SimulatedSite, storms: Sequence[Substorm], noon_s: float, times_s: FloatArray, seed: int = 1
) -> MagneticSeries:
    """The whole field of a station as its magnetometer records it: a steady part, and what it feels.

    Parameters
    ----------
    storms, noon_s, seed
        Of the night; see `Night`.
    times_s : ndarray, shape (n,)
        POSIX seconds, rising.
    """
    field = disturbance_nt(storms, times_s - noon_s, seed) + np.asarray(_BASE_NT)
    x, y, z = field.T
    name = f"Simulated {place.name}"
    return MagneticSeries(place.name[:3].upper(), name, place.site, times_s, x, y, z, is_simulated=True)
