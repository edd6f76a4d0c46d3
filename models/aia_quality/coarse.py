"""A coronal frame averaged to some 256 cells a side, where most of it is judged (numpy, OpenCV)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.euv.plane import Plane
from observatory.frame import Pointing

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_COARSE_SIDE = 256


@dataclass(frozen=True)
class Coarse:
    """The frame in about 256 cells a side.

    Attributes
    ----------
    values : ndarray, shape (rows, columns), float32
    valid : ndarray of bool
        Cells that are mostly measured.
    factor : int
        Pixels along a cell.
    radius : ndarray, float32
        Distance of each cell from disk centre in solar radii.
    half : ndarray, float32
        The frame in cells of half that width, for the limb; the frame itself when that is small.
    """

    values: FloatArray
    valid: BoolArray
    factor: int
    radius: FloatArray
    half: FloatArray

    @property
    def half_factor(self) -> int:
        """Pixels along a cell of `half`."""
        return self.factor // 2 if self.factor % 2 == 0 else self.factor


def coarse_frame(plane: Plane, disk: Pointing) -> Coarse:
    """Average the frame over square cells."""
    height, width = plane.pixels.shape
    factor = max(1, min(height, width) // _COARSE_SIDE)
    rows, columns = height // factor, width // factor
    part = (slice(0, rows * factor), slice(0, columns * factor))
    pixels, valid = plane.pixels[part], np.ones((rows, columns), bool)
    if pixels.dtype not in (np.uint8, np.int16, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    if plane.is_valid is not None:
        holes = ~plane.is_valid[part]
        share = cv2.resize(
            holes.view(np.uint8) * np.uint8(255), (columns, rows), interpolation=cv2.INTER_AREA
        )
        valid = share < 128
        pixels = np.where(holes, pixels.dtype.type(0), pixels)
    finer = 2 if factor % 2 == 0 else 1
    averaged, done = plane.averaged(factor // finer)
    if done > 1:
        pixels = averaged[: rows * factor // done, : columns * factor // done]
    half = cv2.resize(pixels, (columns * finer, rows * finer), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    values = half if finer == 1 else cv2.resize(half, (columns, rows), interpolation=cv2.INTER_AREA)
    x = (np.arange(columns, dtype=np.float32) * factor + (factor - 1) / 2 - disk.center_x_px) / disk.radius_px
    y = (np.arange(rows, dtype=np.float32) * factor + (factor - 1) / 2 - disk.center_y_px) / disk.radius_px
    radius = np.sqrt(np.square(y)[:, None] + np.square(x)[None, :], dtype=np.float32)
    return Coarse(values, valid, factor, radius, half)
