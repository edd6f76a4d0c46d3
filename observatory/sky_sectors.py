"""The sky in 33 sectors, for cloud maps: the zenith, and three rings of wedges.

Sectors are counted ring by ring from the zenith outwards, and within a ring from north over east.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RING_EDGES_DEG = (0.0, 20.0, 40.0, 60.0, 75.0)
"""Zenith distances; lower the sky is mostly haze, trees and lights."""
WEDGES = (1, 8, 12, 12)
COUNT = sum(WEDGES)


def sector_of(zenith_deg: NDArray[np.floating], azimuth_deg: NDArray[np.floating]) -> NDArray[np.int8]:
    """Number of the sector of each direction; -1 outside all of them."""
    ring = np.searchsorted(RING_EDGES_DEG, np.nan_to_num(zenith_deg, nan=np.inf), side="right") - 1
    is_inside = (ring >= 0) & (ring < len(WEDGES))
    ring = np.where(is_inside, ring, 0)
    wedges, first = np.asarray(WEDGES)[ring], np.concatenate([[0], np.cumsum(WEDGES)[:-1]])[ring]
    wedge = np.floor(np.mod(azimuth_deg, 360.0) / 360.0 * wedges).astype(int) % wedges
    return np.where(is_inside, first + wedge, -1).astype(np.int8)


def edges_deg(sector: int) -> tuple[float, float, float, float]:
    """Zenith distances (from, to) and azimuths (from, to) of a sector."""
    ring = int(np.searchsorted(np.cumsum(WEDGES), sector, side="right"))
    wedge = sector - sum(WEDGES[:ring])
    width = 360.0 / WEDGES[ring]
    return RING_EDGES_DEG[ring], RING_EDGES_DEG[ring + 1], wedge * width, (wedge + 1) * width
