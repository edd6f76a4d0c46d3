"""Keograms and ewograms: one line of each frame, side by side in time.

A keogram shows the meridian from the northern to the southern horizon, an ewogram the circle from the
eastern over the zenith to the western horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.sky_view import as_seen

FloatArray = NDArray[np.floating]

LINE = 181
"""Points of a line: a degree apart from horizon over zenith to horizon."""

_SAMPLED = (np.uint8, np.uint16, np.int16, np.float32)  # what OpenCV samples
_ACROSS = 5  # samples across the line, whose mean is less noisy than one pixel
_HALF_WIDTH = 1.5 / 90.0  # of the radius
_OUTSIDE_RADII = 1.12  # beyond the glow at the edge of a lens
_LEAST_OUTSIDE = 64  # pixels that tell a dark level
_FULL_COUNTS = 65535.0  # of numbers that are not whole
_FAINT_COUNTS = (
    50.0  # about the noise of a 16-bit camera: fainter light is shown as it is, brighter by its log
)


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


def slices_of(frame: Frame, circle: Fisheye) -> SkySlices:
    """Cut the two lines out of a frame.

    Pictures of 8 bits keep their values. Counts are shown by their size above the dark corners of the frame,
    on a scale that is the same for all frames (asinh), so that a night's lines can be compared.

    Parameters
    ----------
    circle : Fisheye
        Geometry of the camera in pixels of the frame.
    """
    pixels = frame.pixels if frame.pixels.dtype in _SAMPLED else frame.pixels.astype(np.float32)
    x, y = _places(as_seen(circle, frame.row_order))
    cut = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    lines = np.nan_to_num(cut.astype(np.float32).reshape(_ACROSS, 2, LINE, -1).mean(axis=0))
    if pixels.dtype != np.uint8:
        lines = _brightness(lines, dark_level(frame.pixels, circle), pixels.dtype)
    if frame.sky_mask is not None:
        seen = cv2.remap(frame.sky_mask.view(np.uint8), x, y, cv2.INTER_NEAREST, borderValue=0)
        lines *= seen.reshape(_ACROSS, 2, LINE, 1)[_ACROSS // 2]
    colours = np.broadcast_to(np.rint(lines).astype(np.uint8), (2, LINE, 3))
    return SkySlices(colours[0].copy(), colours[1].copy(), circle.is_oriented)


def dark_level(pixels: np.ndarray, circle: Fisheye) -> float:
    """Counts that a camera gives where no light falls: the median outside its circle, 0 if none is there."""
    outside = pixels[_outside(circle, pixels.shape[:2])]
    outside = outside[np.isfinite(outside)]
    return float(np.median(outside)) if outside.size >= _LEAST_OUTSIDE else 0.0


def _brightness(lines: FloatArray, dark: float, dtype: np.dtype[Any]) -> FloatArray:
    full = float(np.iinfo(dtype).max) if dtype.kind in "iu" else _FULL_COUNTS
    above = np.arcsinh(np.maximum(lines - dark, 0.0) / _FAINT_COUNTS)
    return np.minimum(255.0 * above / np.arcsinh(full / _FAINT_COUNTS), 255.0)


@lru_cache(maxsize=32)
def _places(circle: Fisheye) -> tuple[FloatArray, FloatArray]:
    """Pixels (x, y) of both lines and of their neighbours on either side, shape (ACROSS, 2 * LINE)."""
    along = np.arange(LINE) - (LINE - 1) / 2
    zenith = np.tile(np.abs(along), 2)
    azimuth = np.concatenate([np.where(along < 0, start, start + 180.0) for start in (0.0, 90.0)])
    x, y = circle.pixel(zenith, azimuth)
    right, down = x - circle.center_x_px, (y - circle.center_y_px) / circle.aspect
    # Along the line from the zenith; the zenith itself has the direction of its neighbours.
    length = np.maximum(np.hypot(right, down), 1e-9)
    middle = [(LINE - 1) // 2, LINE + (LINE - 1) // 2]
    unit_x, unit_y = right / length, down / length
    unit_x[middle], unit_y[middle] = unit_x[[at + 1 for at in middle]], unit_y[[at + 1 for at in middle]]
    aside = np.linspace(-1.0, 1.0, _ACROSS)[:, None] * circle.radius_px * _HALF_WIDTH
    beyond = zenith > circle.max_zenith_deg
    x = np.where(beyond, -9.0, x - unit_y * aside)
    y = np.where(beyond, -9.0, y + unit_x * aside * circle.aspect)
    return x.astype(np.float32), y.astype(np.float32)


@lru_cache(maxsize=8)
def _outside(circle: Fisheye, shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Some of the pixels well outside of the circle."""
    step = max(1, max(shape) // 128)
    rows, columns = np.mgrid[0 : shape[0] : step, 0 : shape[1] : step]
    right = (columns - circle.center_x_px) / circle.radius_px
    down = (rows - circle.center_y_px) / (circle.radius_px * circle.aspect)
    outside = np.hypot(right, down) > _OUTSIDE_RADII
    return rows[outside], columns[outside]
