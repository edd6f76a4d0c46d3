"""What hides a part of the photosphere: the Earth, the Moon, or lost blocks (numpy, OpenCV)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.coarse import Coarse
from models.hmi_quality.plane import Plane
from models.hmi_quality.windows import Windows
from observatory.photosphere import LEAST_MU, limb_darkening
from observatory.sun import mu_of_radius

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_RINGS = 20
_LIT = 85.0  # percentile of a ring that is taken for its unhidden brightness
_LEAST_OF_LAW = 0.55  # a ring is never taken for darker than this share of the law: it may be hidden whole
_DARK = 0.6  # of the brightness that the ring should have; a spot is darker, but small
_BRIGHT = 0.85
_LEAST_PART = 0.002  # of the disk: spots and planets are smaller, or do not reach the limb
_ALIGNED = 0.6  # share of a hidden area's edge that runs straight along rows or columns when blocks are lost
_RUN = 6  # cells
_NOISY, _SILENT = 4.0, 0.2  # noise of a window over that of the disk's quiet ones
_PART_AT_LIMB, _PART_ANYWHERE = 5, 16  # windows
_LEAST_WINDOWS = 16
_QUIET = 12.0  # percentile that these are taken from: most of the disk may be hidden


@dataclass(frozen=True)
class Hidden:
    """Cells of the coarse frame, all on the Sun.

    Attributes
    ----------
    missing : ndarray of bool
        No data, one value only, or dark with straight edges along rows or columns.
    shadow : ndarray of bool
        Dark (of a field: noise alone), reaching the limb.
    level : float
        Brightness of disk centre, unhidden, in units of the frame; 0 for a field.
    """

    missing: BoolArray
    shadow: BoolArray
    level: float


def hidden_in(plane: Plane, coarse: Coarse, windows: Windows | None) -> Hidden:
    """Find what hides the Sun."""
    missing = coarse.on_sun & (~coarse.valid | coarse.constant)
    nothing = np.zeros_like(missing)
    if coarse.radius is None:
        seen = coarse.values[coarse.on_sun & ~missing]
        level = 0.0 if plane.is_field or not seen.size else float(np.percentile(seen, _LIT))
        return Hidden(missing, nothing, level)
    if plane.is_field:
        return Hidden(missing, _noise_alone(coarse, windows) & ~missing, 0.0)
    level, expected = _unhidden(coarse, missing)
    if level <= 0:
        return Hidden(missing, nothing, level)
    dark = coarse.on_sun & coarse.valid & (coarse.values < _DARK * expected)
    shadow = nothing
    for part in _parts_at_the_limb(dark | missing, coarse):
        if not (part & dark).any():
            continue
        if _has_straight_edges(part, coarse, expected):
            missing = missing | part
        else:
            shadow = shadow | part
    for part in _parts(dark & ~shadow & ~missing, _LEAST_PART * coarse.on_sun.sum()):
        if _has_straight_edges(part, coarse, expected):
            missing = missing | part
    # What is black in a picture has one value: a shadow too.
    return Hidden(missing & ~shadow, shadow & coarse.valid, level)


def _unhidden(coarse: Coarse, missing: BoolArray) -> tuple[float, FloatArray]:
    """Brightness of disk centre, and what each cell's should be: the bright part of its ring."""
    assert coarse.radius is not None
    law = limb_darkening(np.maximum(mu_of_radius(coarse.radius), LEAST_MU))
    seen = coarse.on_sun & ~missing
    if not seen.any():
        return 0.0, np.zeros_like(coarse.values)
    # Not divided by the law: some products have no limb darkening left.
    level = float(np.percentile(coarse.values[seen], 90))
    ring = np.minimum(np.square(coarse.radius) * _RINGS, _RINGS - 1).astype(np.int32)
    profile = np.full(_RINGS, np.nan)
    order = np.argsort(ring[seen], kind="stable")
    counts = np.bincount(ring[seen], minlength=_RINGS)
    for index, values in enumerate(np.split(coarse.values[seen][order], np.cumsum(counts)[:-1])):
        if values.size >= 8:
            profile[index] = np.percentile(values, _LIT)
    expected = np.nan_to_num(profile)[ring]
    return level, np.maximum(expected, _LEAST_OF_LAW * level * law).astype(np.float32)


def _parts(mask: BoolArray, least_cells: float) -> list[BoolArray]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    return [labels == n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= max(least_cells, 4)]


def _parts_at_the_limb(mask: BoolArray, coarse: Coarse) -> list[BoolArray]:
    """Connected areas that reach both the limb and well into the disk."""
    assert coarse.radius is not None
    edge = float(coarse.radius[coarse.on_sun].max(initial=0.0))
    rim = coarse.on_sun & (coarse.radius > edge - 0.03)
    deep = coarse.on_sun & (coarse.radius < edge - 0.06)
    parts = _parts(mask, _LEAST_PART * coarse.on_sun.sum())
    return [part for part in parts if (part & rim).any() and (part & deep).any()]


def _has_straight_edges(part: BoolArray, coarse: Coarse, expected: FloatArray) -> bool:
    """Whether an area ends abruptly, and along rows and columns: lost blocks do, shadows do not."""
    bright = coarse.values > _BRIGHT * expected
    inner = coarse.on_sun if coarse.radius is None else coarse.on_sun & (coarse.radius < 0.93)
    edges = straight = 0
    for mask, lit, near in ((part, bright, inner), (part.T, bright.T, inner.T)):
        for shift in (1, -1):
            beyond = np.roll(mask, -shift, axis=0)
            two_on = np.roll(lit, -2 * shift, axis=0)
            edge = mask & ~beyond & near & np.roll(near, -2 * shift, axis=0)
            edge[:2] = edge[-2:] = False
            edges += int(edge.sum())
            straight += _in_runs(edge & two_on)
    return edges >= _RUN and straight > _ALIGNED * edges


def _in_runs(edge: BoolArray) -> int:
    """Cells of an edge that lie in straight runs along its rows."""
    opened = cv2.morphologyEx(edge.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, _RUN), np.uint8))
    return int(opened.sum())


def _noise_alone(coarse: Coarse, windows: Windows | None) -> BoolArray:
    """Of a field: cells of windows far noisier, or far smoother, than the disk's quiet ones, in one area."""
    hidden = np.zeros(coarse.on_sun.shape, bool)
    if windows is None or coarse.radius is None or windows.is_whole.sum() < _LEAST_WINDOWS:
        return hidden
    quiet = float(np.percentile(windows.noise[windows.is_whole], _QUIET))
    odd = windows.is_whole & ((windows.noise > _NOISY * quiet) | (windows.noise < _SILENT * quiet))
    if quiet <= 0 or not odd.any():
        return hidden
    columns, column = np.unique(windows.x_px, return_inverse=True)
    rows, row = np.unique(windows.y_px, return_inverse=True)
    grid = np.zeros((len(rows), len(columns)), np.uint8)
    grid[row[odd], column[odd]] = 1
    _, labels = cv2.connectedComponents(grid)
    label = labels[row, column]
    pitch = windows.side_px if len(columns) < 2 else float(np.median(np.diff(columns)))
    at_rim = windows.radius > windows.radius.max() - 2.0 * pitch * coarse.radius_per_px
    half = max(1, -(-round(pitch) // (2 * coarse.factor)))
    for number in range(1, int(labels.max()) + 1):
        own = label == number
        # Active regions are a few windows wide and mostly away from the limb.
        if own.sum() < (_PART_AT_LIMB if (own & at_rim).any() else _PART_ANYWHERE):
            continue
        for x, y in zip(windows.x_px[own] // coarse.factor, windows.y_px[own] // coarse.factor, strict=True):
            hidden[max(0, int(y) - half) : int(y) + half + 1, max(0, int(x) - half) : int(x) + half + 1] = (
                True
            )
    return hidden & coarse.on_sun
