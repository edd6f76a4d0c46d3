"""Keograms and ewograms: one line of each frame, side by side in time.

A keogram shows the meridian from the northern to the southern horizon, an ewogram the circle from the
eastern over the zenith to the western horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LINE = 181
"""Points of a line: a degree apart from horizon over zenith to horizon."""


@dataclass(frozen=True)
class SkySlices:
    """What one frame adds to the pictures of its night.

    Attributes
    ----------
    north_south : ndarray, shape (181, 3), uint8
        From the northern to the southern horizon; 0 where nothing is seen.
    east_west : ndarray, shape (181, 3), uint8
        From the eastern to the western horizon.
    is_oriented : bool
        Whether the camera's azimuths are known; otherwise up, down, left and right of the picture stand
        for north, south, east and west.
    """

    north_south: np.ndarray
    east_west: np.ndarray
    is_oriented: bool
