"""What enhancement did to a frame, in numbers: granulation's contrast, unsigned flux."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.photosphere import Normalised, strips

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_NEAR_CENTRE_MU = 0.9  # contrast falls towards the limb
_QUIET = (0.90, 1.10)  # of quiet Suns, smoothed: below are pores and spots, above faculae
_SMOOTH_PX = 3.0  # a granule and a half
_AROUND_PX = 7  # a spot's halo is no quiet Sun either
_CELL_PX = 32  # a side of a small region: 16 arcsec, some fifty granules
_LEAST_PX = 400  # of a region, some ten granules
_LEAST_MU = 0.1  # nearer to the limb a pixel sees more than a chromosphere's worth of Sun
_MX_PER_KG_MM2 = 1e3 * 1e16  # gauss in a kilogauss, square centimetres in (1000 km)^2


def contrasts(
    image: FloatArray, enhanced: FloatArray, normalised: Normalised, is_certain: BoolArray
) -> tuple[float, float] | None:
    """Granulation contrast before and after: rms over mean of the quiet Sun near the disk's centre.

    As Díaz Baso & Asensio Ramos 2018 have it, in small regions with granulation alone, 32 pixels a side:
    what varies slowly (the quiet level, haloes of spots, supergranules) is no granulation. All regions count
    by their pixels.

    Parameters
    ----------
    image : ndarray (h, w)
        Continuum in quiet Suns, gaps filled.
    enhanced : ndarray (2 h, 2 w)
    is_certain : ndarray (h, w) of bool
        Where there is data on the disk.

    Returns
    -------
    tuple (before, after), 0 to 1, or None
        None where too little quiet Sun is in view.
    """
    rows, columns = _part_near_centre(normalised)
    quiet = _quiet(image[rows, columns], is_certain[rows, columns])
    squared = normalised.mu_squared(rows)
    if squared is not None:
        quiet &= squared[:, columns] > _NEAR_CENTRE_MU**2
    if int(quiet.sum()) < _LEAST_PX:
        return None
    fine = enhanced[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
    before, after = _contrast(image[rows, columns], quiet), _contrast(fine, quiet)
    return None if before is None or after is None else (before, after)


def unsigned_flux_mx(image: FloatArray, normalised: Normalised, is_certain: BoolArray) -> float | None:
    """Sum of the field's strength times the area of the pixels on the Sun, in maxwell.

    Parameters
    ----------
    image : ndarray (h, w) or (2 h, 2 w)
        Field in kilogauss, gaps filled.

    Returns
    -------
    float or None
        None where nothing tells the pixels' size.
    """
    view = normalised.view
    if view is None:
        return None
    factor = image.shape[0] // is_certain.shape[0]
    total = 0.0
    for rows in strips(is_certain.shape[0]):
        strength = np.abs(image[rows.start * factor : rows.stop * factor])
        if factor > 1:
            size = (is_certain.shape[1], rows.stop - rows.start)
            strength = np.asarray(cv2.resize(strength, size, interpolation=cv2.INTER_AREA))
        squared = normalised.mu_squared(rows)
        assert squared is not None  # there is a view
        counted = is_certain[rows] & (squared > _LEAST_MU**2)
        strength = strength[counted]
        if not view.is_equal_area:
            strength = strength / np.sqrt(squared[counted])
        total += float(strength.sum(dtype=np.float64))
    return total * view.pixel_mm**2 * _MX_PER_KG_MM2


def _part_near_centre(normalised: Normalised) -> tuple[slice, slice]:
    """Rows and columns that hold all of the quiet Sun near the disk's centre."""
    height, width = normalised.image.shape
    if normalised.view is None or height * width < 1 << 20:
        return slice(0, height), slice(0, width)
    step = 16
    x0, y0, _, _ = normalised.box
    found = [
        (y, int(xs[0]), int(xs[-1]))
        for y in range(0, height, step)
        if (
            xs := np.flatnonzero(
                normalised.view.mu_squared((x0, y0 + y, x0 + width, y0 + y + 1))[0] > _NEAR_CENTRE_MU**2
            )
        ).size
    ]
    if not found:
        return slice(0, 1), slice(0, 1)
    ys, lefts, rights = zip(*found, strict=True)
    return (
        slice(max(0, ys[0] - step), min(height, ys[-1] + step)),
        slice(max(0, min(lefts) - step), min(width, max(rights) + step)),
    )


def _quiet(image: FloatArray, is_certain: BoolArray) -> BoolArray:
    smooth = cv2.GaussianBlur(image, (0, 0), _SMOOTH_PX)
    disturbed = ((smooth < _QUIET[0]) | (smooth > _QUIET[1]) | ~is_certain).astype(np.uint8)
    side = 2 * _AROUND_PX + 1
    return np.asarray(cv2.dilate(disturbed, np.ones((side, side), np.uint8), borderValue=0) == 0)


def _contrast(image: FloatArray, quiet: BoolArray) -> float | None:
    """Rms over mean within regions; `image` of the mask's sampling or twice it. None where no region has enough."""
    factor = image.shape[0] // quiet.shape[0]
    side = factor * _CELL_PX
    total, pixels = 0.0, 0
    for first in range(0, quiet.shape[0], _CELL_PX):
        band = quiet[first : first + _CELL_PX]
        counts = np.add.reduceat(band.sum(axis=0), np.arange(0, band.shape[1], _CELL_PX))
        for cell in np.flatnonzero(counts >= _LEAST_PX):
            part = image[factor * first : factor * first + side, side * cell : side * (cell + 1)]
            mask = band[:, _CELL_PX * cell : _CELL_PX * (cell + 1)].view(np.uint8)
            finer = cv2.resize(mask, part.shape[::-1], interpolation=cv2.INTER_NEAREST)
            mean, deviation = cv2.meanStdDev(part, mask=finer)
            total += int(counts[cell]) * float(deviation[0, 0] / mean[0, 0]) ** 2
            pixels += int(counts[cell])
    return (total / pixels) ** 0.5 if pixels else None
