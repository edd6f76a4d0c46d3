"""Give a network something smooth to see where a frame has no data, or no disk."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.photosphere import Normalised, strips

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_CELL = 8  # pixels a side over which surroundings are averaged
_SPREADS = (1.0, 3.0)  # cells: near gaps from what is next to them, wide ones from further off
_LIMB_PX = (1.0, 4.0)  # inside the limb: from the frame's own pixels alone to the network's alone


def disk_weight(normalised: Normalised, rows: slice | None = None) -> FloatArray | None:
    """How far pixels lie on the disk: 1 inside, 0 at the limb and beyond; None without a view."""
    squared = normalised.mu_squared(rows)
    if squared is None or normalised.view is None:
        return None
    # Near the limb r = R sqrt(1 - mu^2) lies R mu^2 / 2 inside it.
    depth = squared * np.float32(normalised.view.radius_px / 2)
    return np.asarray(np.clip((depth - _LIMB_PX[0]) / (_LIMB_PX[1] - _LIMB_PX[0]), 0.0, 1.0), np.float32)


def certain(normalised: Normalised) -> BoolArray:
    """Where there is data wholly on the disk."""
    if normalised.view is None:
        return normalised.data_mask
    mask = np.empty_like(normalised.data_mask)
    for rows in strips(mask.shape[0]):
        weight = disk_weight(normalised, rows)
        assert weight is not None  # there is a view
        np.logical_and(normalised.data_mask[rows], weight >= 1.0, out=mask[rows])
    return mask


def fill_gaps(normalised: Normalised, is_certain: BoolArray, level: float) -> None:
    """Fill `normalised.image` in place: gaps and what lies beyond the limb, smoothly.

    Parameters
    ----------
    is_certain : ndarray (h, w) of bool
        What stays as it is.
    level : float
        What is taken where nothing is near: 1 for the continuum, 0 for the field.
    """
    if is_certain.all():
        return
    image = normalised.image
    surroundings = _surroundings(image, is_certain, level)
    for rows in strips(image.shape[0]):
        missing = ~is_certain[rows]
        if not missing.any():
            continue
        smooth = _enlarged(surroundings, rows, image.shape[1])
        weight = disk_weight(normalised, rows)
        part = image[rows]
        if weight is not None:
            # The ring inside the limb goes over from the frame's own pixels to its surroundings.
            ring = missing & normalised.data_mask[rows] & (weight > 0)
            mixed = weight[ring] * part[ring] + (1 - weight[ring]) * smooth[ring]
            part[missing] = smooth[missing]
            part[ring] = mixed
        else:
            part[missing] = smooth[missing]


def _surroundings(image: FloatArray, is_certain: BoolArray, level: float) -> FloatArray:
    """Means of cells of certain pixels, spread into cells without any."""
    height, width = image.shape
    rows, columns = -(-height // _CELL), -(-width // _CELL)
    sums, counts = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    for part in strips(height, 32 * _CELL):
        known = is_certain[part]
        values = np.where(known, image[part], np.float32(0))
        shape = (-(-known.shape[0] // _CELL) * _CELL, columns * _CELL)
        padded = np.zeros((2, *shape), np.float32)
        padded[0, : known.shape[0], :width], padded[1, : known.shape[0], :width] = values, known
        cells = slice(part.start // _CELL, part.start // _CELL + shape[0] // _CELL)
        size = (columns, shape[0] // _CELL)
        sums[cells] = cv2.resize(padded[0], size, interpolation=cv2.INTER_AREA)
        counts[cells] = cv2.resize(padded[1], size, interpolation=cv2.INTER_AREA)
    result, settled = np.full_like(sums, level), np.zeros_like(sums)
    for spread in (0.0, *_SPREADS):
        around = cv2.GaussianBlur(sums, (0, 0), spread) if spread else sums
        share = cv2.GaussianBlur(counts, (0, 0), spread) if spread else counts
        mean = around / np.maximum(share, 1e-6)
        say = np.clip(share / 0.2, 0.0, 1.0) * (1 - settled)
        result += say * (mean - level)
        settled += say
    return result


def _enlarged(cells: FloatArray, rows: slice, width: int) -> FloatArray:
    """Cells at the pixels of some rows, between their middles linearly."""
    scale = 1.0 / _CELL
    matrix = np.array(
        [[scale, 0.0, 0.5 * scale - 0.5], [0.0, scale, (rows.start + 0.5) * scale - 0.5]], np.float64
    )
    size = (width, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(cells, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
