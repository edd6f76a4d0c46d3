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
_LEAST_KNOWN = 0.25  # share of a cell: below it the cells around tell more


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
    pixels = plane.pixels[part]
    if pixels.dtype not in (np.uint8, np.int16, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    finer = 2 if factor % 2 == 0 else 1
    size, half_size = (columns, rows), (columns * finer, rows * finer)
    if plane.is_valid is None:
        averaged, done = plane.averaged(factor // finer)
        if done > 1:
            pixels = averaged[: rows * factor // done, : columns * factor // done]
        half, valid = _mean(pixels, half_size), np.ones((rows, columns), bool)
        values = half if finer == 1 else _mean(half, size)
    else:
        filled = np.where(plane.is_valid[part], pixels, pixels.dtype.type(0))
        known = plane.is_valid[part].view(np.uint8) * np.uint8(255)
        values, share = _mean_of_known(filled, known, size)
        half, share_of_half = _mean_of_known(filled, known, half_size)
        around = cv2.resize(values, half_size, interpolation=cv2.INTER_NEAREST)
        half, valid = np.where(share_of_half < _LEAST_KNOWN, around, half), share > 0.5
    x = (np.arange(columns, dtype=np.float32) * factor + (factor - 1) / 2 - disk.center_x_px) / disk.radius_px
    y = (np.arange(rows, dtype=np.float32) * factor + (factor - 1) / 2 - disk.center_y_px) / disk.radius_px
    radius = np.sqrt(np.square(y)[:, None] + np.square(x)[None, :], dtype=np.float32)
    return Coarse(values, valid, factor, radius, half)


def _mean(pixels: np.ndarray, size: tuple[int, int]) -> FloatArray:
    # OpenCV rounds the mean of whole numbers to whole numbers: half a count is much in a faint channel.
    counts = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32, copy=False)
    return np.asarray(cv2.resize(counts, size, interpolation=cv2.INTER_AREA), np.float32)


def _mean_of_known(
    filled: np.ndarray, known: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    """Mean of what is known of each cell, and its share; ``filled`` is 0 where ``known`` is, else 255."""
    share = _mean(known, size) / np.float32(255.0)
    return _mean(filled, size) / np.maximum(share, np.float32(_LEAST_KNOWN)), share
