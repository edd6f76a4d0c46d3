"""A frame of the photosphere averaged to some 256 cells a side, where most of it is judged (numpy, OpenCV)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.plane import Plane
from observatory.frame import Pointing

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_SIDE = 256
_EDGE = 0.975  # of the radius: where the disk ends for shares of it
_RIM_CELLS = 1.5  # or so many cells within the limb: they hold a part of the sky
_CONSTANT_SIDE = {False: 4, True: 16}  # pixels that never have one value by chance: numbers, 8-bit pictures
_SAMPLED_ROWS = 768  # of which the pixels without data are counted


@dataclass(frozen=True)
class Coarse:
    """The frame in about 256 cells along its smaller side.

    Attributes
    ----------
    values : ndarray, shape (rows, columns), float32
        Mean of what is measured; 0 where nothing is.
    valid : ndarray of bool
        Cells that are mostly measured.
    constant : ndarray of bool
        Cells whose pixels all have one value.
    on_sun : ndarray of bool
        Cells on the disk, clear of the limb; of a patch all cells.
    radius : ndarray, float32, or None
        Distance from disk centre in solar radii; None for patches.
    factor : int
        Pixels along a cell.
    radius_per_px : float
        Solar radii in a pixel; 0 for patches.
    missing : float
        Share of the pixels on the Sun without data, 0 to 1.
    """

    values: FloatArray
    valid: BoolArray
    constant: BoolArray
    on_sun: BoolArray
    radius: FloatArray | None
    factor: int
    radius_per_px: float
    missing: float


def coarse_of(plane: Plane, disk: Pointing | None) -> Coarse:
    """Average a frame over square cells."""
    height, width = plane.pixels.shape
    averaged, done = plane.averaged()
    factor = done * max(1, min(averaged.shape) // _SIDE)
    rows, columns = height // factor, width // factor
    values, share = _means(averaged[: rows * factor // done, : columns * factor // done], (columns, rows))
    radius, per_px = None, 0.0 if disk is None else 1.0 / disk.radius_px
    on_sun = np.ones((rows, columns), bool)
    if disk is not None:
        x = (
            np.arange(columns, dtype=np.float32) * factor + (factor - 1) / 2 - disk.center_x_px
        ) / disk.radius_px
        y = (
            np.arange(rows, dtype=np.float32) * factor + (factor - 1) / 2 - disk.center_y_px
        ) / disk.radius_px
        radius = np.sqrt(np.square(y)[:, None] + np.square(x)[None, :], dtype=np.float32)
        on_sun = radius < min(_EDGE, 1.0 - _RIM_CELLS * factor / disk.radius_px)
    constant = _constant(plane, factor, (rows, columns))
    missing = _share_missing(plane, disk)
    return Coarse(values, share > 0.5, constant, on_sun, radius, factor, per_px, missing)


def _means(pixels: np.ndarray, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Mean of what is known of each cell and the share that is."""
    if pixels.dtype != np.float32:
        counts = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
        mean = np.asarray(cv2.resize(counts, size, interpolation=cv2.INTER_AREA), np.float32)
        return mean, np.ones(mean.shape, np.float32)
    known = (pixels == pixels).view(np.uint8) * np.uint8(255)
    share = np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    filled = pixels if share.min() == 1.0 else np.nan_to_num(pixels, nan=0.0)
    mean = np.asarray(cv2.resize(filled, size, interpolation=cv2.INTER_AREA), np.float32)
    return mean / np.maximum(share, np.float32(0.02)), share


def _constant(plane: Plane, factor: int, shape: tuple[int, int]) -> BoolArray:
    """Cells all of whose sampled pixels, sixteen at least, have one value."""
    side = max(factor, _CONSTANT_SIDE[plane.is_picture])
    step = max(1, side // 4)
    height, width = plane.pixels.shape
    rows, columns = height // side, width // side
    if rows < 1 or columns < 1:
        return np.zeros(shape, bool)
    sample = plane.pixels[: rows * side : step, : columns * side : step]
    across = -(-side // step)
    sample = sample[: rows * across, : columns * across].reshape(rows, across, columns, across)
    first = sample[:, :1, :, :1]
    constant = (sample == first).all(axis=3).all(axis=1)
    row = np.minimum((np.arange(shape[0]) * factor + factor // 2) // side, rows - 1)
    column = np.minimum((np.arange(shape[1]) * factor + factor // 2) // side, columns - 1)
    return np.asarray(constant[row[:, None], column[None, :]])


def _share_missing(plane: Plane, disk: Pointing | None) -> float:
    """Share of the pixels on the Sun that are NaN, from every few rows."""
    if plane.pixels.dtype != np.float32:
        return 0.0
    height = plane.pixels.shape[0]
    rows = np.arange(0, height, max(1, height // _SAMPLED_ROWS))
    if disk is None:
        part = plane.pixels[rows]
        return float(np.mean(part != part))
    reach = max(0.0, min(_EDGE, 1.0 - 2.0 / disk.radius_px)) * disk.radius_px
    total = lost = 0
    for row in rows:
        half = reach**2 - (row - disk.center_y_px) ** 2
        if half <= 0:
            continue
        first = max(0, round(disk.center_x_px - half**0.5))
        line = plane.pixels[row, first : max(first, round(disk.center_x_px + half**0.5))]
        total += line.size
        lost += int(np.count_nonzero(line != line))
    return lost / total if total else 0.0
