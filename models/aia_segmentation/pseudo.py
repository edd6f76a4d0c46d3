"""Labels made from brightness alone, where nobody has drawn any (region growing).

Active regions grow from bright seeds on the limb-corrected logarithm of intensity and its roughness
(after the seeded threshold of Higgins et al. 2011, Adv. Space Res. 47, 2105); coronal holes grow
inside hand-drawn boxes from their darkest part. Such labels are weak: they train, and never test.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.preparation import HALF_WIDTH_RADII, Channel, analysis_grid

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Growth:
    """How regions grow; brightness as in `preparation`, lengths in solar radii.

    Attributes
    ----------
    smoothing_radii : float
        Gaussian before the thresholds: people draw around loops, not along them.
    texture : float
        Share of the local rms structure that is added to the brightness: active regions are as
        rough as they are bright, the quiet limb and faint loops are not.
    seed, border : float
        A region holds a place of at least `seed` and reaches out to `border`.
    seed_within_radii : float
        Nearer to the limb the long way through the corona is bright by itself.
    least_area_radii2 : float
        Smaller ones are bright points.
    widening_radii : float
        Regions are widened by this at the end.
    """

    smoothing_radii: float = 0.021
    texture: float = 0.5
    seed: float = 1.0
    border: float = 1.0
    seed_within_radii: float = 0.98
    least_area_radii2: float = 0.0057
    widening_radii: float = 0.017


#: Of 193 the values agree best with human polygons of 2013 to February 2015 (Dice 0.68; 0.70 on
#: those of March to August 2015); of 171, which shows single loops, they were set by eye.
GROWTH = {
    Channel.FE_XII: Growth(),
    Channel.FE_IX: Growth(
        smoothing_radii=0.03, texture=1.0, seed=1.5, border=1.1, seed_within_radii=0.94, widening_radii=0.01
    ),
}


def active_regions(value: FloatArray, growth: Growth | None = None) -> BoolArray:
    """Active regions of a picture by seeded threshold.

    Parameters
    ----------
    value : ndarray (side, side)
        Brightness as `preparation.brightness` gives it.
    growth : Growth, optional
    """
    growth = growth or Growth()
    side = value.shape[0]
    cells = side / (2 * HALF_WIDTH_RADII)  # in a solar radius
    grid = analysis_grid(side)
    value = value.astype(np.float32)
    sigma = growth.smoothing_radii * cells
    smooth = cv2.GaussianBlur(value, (0, 0), sigma)
    rough = np.sqrt(cv2.GaussianBlur((value - smooth) ** 2, (0, 0), sigma))
    level = smooth - limb_excess(smooth) + np.float32(growth.texture) * rough
    disk = grid.radius < 1.0
    candidates = ((level > growth.border) & disk).astype(np.uint8)
    count, labels, facts, _ = cv2.connectedComponentsWithStats(candidates, connectivity=8)
    has_seed = np.zeros(count, bool)
    has_seed[np.unique(labels[(level > growth.seed) & (grid.radius < growth.seed_within_radii)])] = True
    has_seed &= facts[:, cv2.CC_STAT_AREA] >= growth.least_area_radii2 * cells**2
    has_seed[0] = False
    found = has_seed[labels].astype(np.uint8)
    width = round(growth.widening_radii * cells)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, _ball(2))
    return (cv2.dilate(found, _ball(width)) > 0) & disk


def limb_excess(value: FloatArray) -> FloatArray:
    """How much brighter the quiet Sun is toward the limb, by the medians of rings."""
    radius = analysis_grid(value.shape[0]).radius
    edges = np.linspace(0.5, 1.0, 11)
    # A ring full of active regions must not hide them: the quiet limb rarely exceeds this.
    medians = [min(float(np.median(value[(radius >= a) & (radius < b)])), 0.4) for a, b in pairwise(edges)]
    excess = np.interp(radius, (edges[:-1] + edges[1:]) / 2, np.maximum(medians, 0.0))
    return (excess * np.clip((radius - 0.5) / 0.3, 0, 1)).astype(np.float32)


def coronal_holes_in(value: FloatArray, boxes: list[tuple[float, float, float, float]]) -> BoolArray:
    """What is dark inside hand-drawn boxes.

    Parameters
    ----------
    value : ndarray (side, side)
    boxes : list of (x0, y0, x1, y1)
        In cells of the grid.
    """
    side = value.shape[0]
    disk = analysis_grid(side).radius < 1.0
    smooth = cv2.GaussianBlur(value.astype(np.float32), (0, 0), 0.0068 * side / (2 * HALF_WIDTH_RADII))
    found = np.zeros(value.shape, bool)
    for box in boxes:
        x0, y0, x1, y1 = (int(np.clip(round(edge), 0, side)) for edge in box)
        inside = np.zeros(value.shape, bool)
        inside[y0:y1, x0:x1] = True
        inside &= disk
        if inside.sum() < 12:
            continue
        # Half of the way from the quiet Sun to the hole's floor, in logarithms: the share that
        # agrees best with masks where both exist.
        found |= inside & (smooth < min(0.55 * float(np.percentile(value[inside], 5)), -0.2))
    return _without_specks(found, 12)


def _without_specks(found: BoolArray, least: int) -> BoolArray:
    count, labels, facts, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    is_large = facts[:, cv2.CC_STAT_AREA] >= least
    is_large[0] = False
    return np.asarray(is_large[labels]) if count > 1 else found


def _ball(radius: int) -> NDArray[np.uint8]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(kernel, np.uint8)
