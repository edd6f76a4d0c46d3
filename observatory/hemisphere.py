"""Footprints of regions on an equal-area map of the hemisphere that faces the Earth.

Lambert's azimuthal map about the middle of the disk: a cell is the same area everywhere, so shared
cells are shared area on the Sun, and the poles and the prime meridian are places like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.coordinates import SunView, rotation_deg_per_day

Cells = NDArray[np.intp]

_SIDE = 384  # cells across: 0.42 degrees, a tenth of the smallest region's area each
_MIDDLE = (_SIDE - 1) / 2.0
_CELLS_PER_RADIUS = _SIDE / 2.0 / np.sqrt(2.0)  # the hemisphere's rim lies at the square root of 2
#: Area of a cell in millionths of the hemisphere.
CELL_MSH = 1e6 / (2.0 * np.pi) / _CELLS_PER_RADIUS**2


class Hemisphere:
    """The map at one moment."""

    def __init__(self, date_obs: datetime) -> None:
        view = SunView(date_obs)
        self._date_obs = date_obs
        self._l0_deg, self._b0 = view.l0_deg, np.radians(view.b0_deg)

    def cells(self, rings_carrington_deg: Sequence[NDArray[np.float64]], seen_at: datetime) -> Cells:
        """Visible cells (flat index) of outlines once rotation has carried them to this moment."""
        days = self._days_since(seen_at)
        rings = [np.rint(self._project(ring, days) * 16.0).astype(np.int32) for ring in rings_carrington_deg]
        every = np.concatenate(rings) >> 4
        low = np.clip(every.min(axis=0) - 1, 0, _SIDE - 1)
        width, height = np.clip(every.max(axis=0) + 3, 1, _SIDE) - low
        if width <= 0 or height <= 0:
            return np.empty(0, np.intp)
        painted = np.zeros((height, width), np.uint8)
        cv2.fillPoly(painted, [ring - 16 * low for ring in rings], 1, cv2.LINE_8, 4)
        painted &= _visible()[low[1] : low[1] + height, low[0] : low[0] + width]
        y, x = np.nonzero(painted)
        return (y + low[1]) * _SIDE + x + low[0]

    def angle_from_centre_deg(self, place_carrington_deg: tuple[float, float], seen_at: datetime) -> float:
        """Angle between a place (longitude, latitude), carried to this moment, and the disk's centre."""
        x, y = self._project(np.array([place_carrington_deg]), self._days_since(seen_at))[0]
        reach = np.hypot(x - _MIDDLE, y - _MIDDLE) / _CELLS_PER_RADIUS
        return float(np.degrees(2.0 * np.arcsin(min(reach / 2.0, 1.0))))

    def _days_since(self, moment: datetime) -> float:
        return (self._date_obs - moment).total_seconds() / 86400.0

    def _project(self, ring: NDArray[np.float64], days: float) -> NDArray[np.float64]:
        """Cells (x, y) of an outline."""
        drift = rotation_deg_per_day(ring[:, 1], frame="carrington") * days
        longitude = np.radians(ring[:, 0] + drift - self._l0_deg)
        latitude = np.radians(ring[:, 1])
        west = np.cos(latitude) * np.sin(longitude)
        meridional = np.cos(latitude) * np.cos(longitude)
        north = np.cos(self._b0) * np.sin(latitude) - np.sin(self._b0) * meridional
        near = np.sin(self._b0) * np.sin(latitude) + np.cos(self._b0) * meridional
        stretch = np.sqrt(2.0 / np.maximum(1.0 + near, 0.02))  # the antipode is a circle, not a point
        plane = np.stack([stretch * west, stretch * north], axis=-1)
        return np.asarray(plane * _CELLS_PER_RADIUS + _MIDDLE)


def shared_cells(ones: Sequence[Cells], others: Sequence[Cells]) -> NDArray[np.intp]:
    """Count the cells in common of every one with every other, shape (len(ones), len(others)).

    The others are regions of one frame: where their rims overlap the later one counts.
    """
    numbered = np.zeros(_SIDE * _SIDE, np.int32)
    for number, cells in enumerate(others):
        numbered[cells] = number + 1
    counts = np.zeros((len(ones), len(others)), np.intp)
    for row, cells in enumerate(ones):
        counts[row] = np.bincount(numbered[cells], minlength=len(others) + 1)[1:]
    return counts


@lru_cache(maxsize=1)
def _visible() -> NDArray[np.uint8]:
    apart = np.arange(_SIDE) - _MIDDLE
    return (np.hypot(apart[None, :], apart[:, None]) <= _SIDE / 2.0).astype(np.uint8)
