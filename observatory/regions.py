"""From a probability map to regions: where they are, how large, how bright.

A region is what lies above a threshold on the disk and hangs together; pieces nearer to each other
than `BRIDGE_RADII` count as one (a coronal hole that a thin bright lane crosses). What is smaller
than `MIN_AREA_MSH`, with foreshortening undone, is dropped. An empty map has no regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from observatory.analysis import EventType, ModelIdentity, Region, Segmentation, Threshold
from observatory.coordinates import (
    MM2_PER_MSH,
    FloatArray,
    SunView,
    hpc_to_stonyhurst,
    pixel_to_hpc,
    to_carrington,
)
from observatory.errors import UnusableInputError
from observatory.frame import DateSource, Frame, Pointing
from observatory.region_json import region_from_json, region_json
from observatory.region_outline import Cut, Extent, Patch, RegionGrid
from observatory.sun import single_plane

__all__ = [
    "BRIDGE_RADII",
    "MIN_AREA_MSH",
    "MaskShapeError",
    "check_same_aspect",
    "find_regions",
    "mask",
    "region_from_json",
    "region_json",
    "segmentation",
]

#: Least true area. A supergranule, the mesh of the network, covers about 230 millionths; a
#: coronal hole smaller than that cannot be told from the gaps between bright loops.
MIN_AREA_MSH = {EventType.CORONAL_HOLE: 230.0, EventType.ACTIVE_REGION: 100.0}
#: Gap across which two pieces are one region, in solar radii: 10 Mm, a third of a supergranule.
BRIDGE_RADII = 0.015
_SAMPLE = 5_000  # pixels for the statistics of a region: its median is known to 2 % of its spread
_NEAR_LIMB = 0.99999  # of the radius: beyond it rounding may put a point off the Sun


class MaskShapeError(UnusableInputError):
    """A mask and a picture that cannot lie over each other."""

    def __init__(self, what: str, shape: Sequence[int], other: Sequence[int]) -> None:
        super().__init__(
            f"the {what} is {shape[1]} x {shape[0]} pixels and the picture {other[1]} x {other[0]}: "
            "they need the same aspect; crop or pad one of them"
        )


def check_same_aspect(shape: Sequence[int], other_shape: Sequence[int], what: str = "mask") -> None:
    """Refuse two pictures that differ in aspect by more than a pixel of the smaller one.

    Raises
    ------
    MaskShapeError
        When they do, or when one is empty.
    """
    height, width, other_height, other_width = (*shape[:2], *other_shape[:2])
    smallest = min(height, width, other_height, other_width)
    if smallest < 1 or abs(height / width * (other_width / other_height) - 1.0) > 1.0 / smallest:
        raise MaskShapeError(what, shape, other_shape)


def find_regions(
    probability: np.ndarray,
    extent_px: Extent,
    threshold: float,
    event_type: EventType,
    frame: Frame,
    pixels: np.ndarray | None = None,
    pointing: Pointing | None = None,
    *,
    min_area_msh: float | None = None,
    bridge_radii: float = BRIDGE_RADII,
) -> tuple[Region, ...]:
    """Cut a probability map into regions.

    Parameters
    ----------
    probability : ndarray, shape (n, n), 0-1
        NaN counts as 0, and so does what lies beyond the limb.
    extent_px : tuple (x0, y0, x1, y1)
        Edges of the map in 0-based pixels of the frame, row 0 at y0.
    threshold : float
        Least probability.
    frame : Frame
        Gives time and row order, and pixels where none are given.
    pixels : ndarray, shape (height, width), optional
        Brightness of the frame for the intensity statistics; NaN is left out. Some
        thousand pixels of a region are looked at, evenly spread over it.
    pointing : Pointing, optional
        The disk. None is patch mode: no coordinates and no true areas, and shares are of the map.
        Without a roll angle there are areas, but no coordinates on the Sun.
    min_area_msh : float, optional
        Instead of `MIN_AREA_MSH`.

    Returns
    -------
    tuple of Region
        Largest first (true area, else area as seen).
    """
    grid = RegionGrid.of(probability, extent_px, pointing)
    least = MIN_AREA_MSH[event_type] if min_area_msh is None else min_area_msh
    cut = grid.cut(threshold, least, bridge_radii)
    return _regions(grid, cut, event_type, frame, pixels)


def segmentation(
    probability: np.ndarray,
    extent_px: Extent,
    thresholds: Mapping[Threshold, float],
    event_type: EventType,
    model: ModelIdentity,
    frame: Frame,
    pixels: np.ndarray | None = None,
    pointing: Pointing | None = None,
    *,
    min_area_msh: float | None = None,
) -> Segmentation:
    """Regions at the medium threshold and the share of the disk at all; see `find_regions`."""
    grid = RegionGrid.of(probability, extent_px, pointing)
    least = MIN_AREA_MSH[event_type] if min_area_msh is None else min_area_msh
    cuts = {name: grid.cut(value, least, BRIDGE_RADII) for name, value in thresholds.items()}
    fractions = {name: cut.disk_fraction for name, cut in cuts.items()}
    regions = _regions(grid, cuts[Threshold.MEDIUM], event_type, frame, pixels)
    on_disk = np.nan_to_num(np.asarray(probability, np.float32)) * grid.on_disk
    return Segmentation(event_type, on_disk, extent_px, dict(thresholds), fractions, regions, model, pointing)


def mask(
    segmentation: Segmentation,
    shape: tuple[int, int],
    threshold: Threshold = Threshold.MEDIUM,
    *,
    frame_shape: tuple[int, int] | None = None,
    min_area_msh: float | None = None,
) -> np.ndarray:
    """Paint the regions at a threshold: uint8 (height, width), 255 inside and 0 elsewhere.

    Parameters
    ----------
    shape : tuple (height, width)
        Of the mask; rows run as the frame's.
    frame_shape : tuple (height, width), optional
        Of the frame, when the mask is of another size than that.

    Raises
    ------
    MaskShapeError
        When the mask has another aspect than the frame.
    """
    check_same_aspect(shape, frame_shape or shape)
    extent, pointing = segmentation.extent_px, segmentation.pointing
    if frame_shape is not None and frame_shape[:2] != shape[:2]:
        factor = shape[1] / frame_shape[1]
        extent, pointing = _scaled(extent, factor), _scaled_pointing(pointing, factor)
    grid = RegionGrid.of(segmentation.probability, extent, pointing)
    least = MIN_AREA_MSH[segmentation.event_type] if min_area_msh is None else min_area_msh
    cut = grid.cut(segmentation.thresholds[threshold], least, BRIDGE_RADII)
    painted = np.zeros(shape[:2], np.uint8)
    for x0, y0, part in grid.parts(cut):
        _paint(painted, grid, x0, y0, part, cut.threshold)
    return painted


def _scaled(extent: Extent, factor: float) -> Extent:
    # Edges of pixels: x is the distance from -0.5.
    x0, y0, x1, y1 = ((edge + 0.5) * factor - 0.5 for edge in extent)
    return x0, y0, x1, y1


def _scaled_pointing(pointing: Pointing | None, factor: float) -> Pointing | None:
    if pointing is None:
        return None
    return Pointing(
        (pointing.center_x_px + 0.5) * factor - 0.5,
        (pointing.center_y_px + 0.5) * factor - 0.5,
        pointing.radius_px * factor,
        pointing.rsun_arcsec,
        pointing.roll_deg,
        pointing.source,
    )


def _paint(
    painted: np.ndarray, grid: RegionGrid, x0: int, y0: int, part: np.ndarray, threshold: float
) -> None:
    """Set the pixels of one part of the map that lie above the threshold and on the disk."""
    corners = np.array([[x0, y0], [x0 + part.shape[1], y0 + part.shape[0]]]) * grid.factor
    first, last = grid.to_pixels(corners - 0.5)
    height, width = painted.shape
    left, bottom = max(0, int(np.ceil(first[0]))), max(0, int(np.ceil(first[1])))
    right, top = min(width, int(np.ceil(last[0]))), min(height, int(np.ceil(last[1])))
    if right <= left or top <= bottom:
        return
    values = grid.warp_part(x0, y0, part, (left, bottom), (right - left, top - bottom))
    inside = values >= threshold
    if grid.pointing is not None:
        x = np.arange(left, right, dtype=np.float32) - np.float32(grid.pointing.center_x_px)
        y = np.arange(bottom, top, dtype=np.float32) - np.float32(grid.pointing.center_y_px)
        inside &= np.square(x)[None, :] <= (grid.pointing.radius_px**2 - np.square(y))[:, None]
    painted[bottom:top, left:right][inside] = 255


def _regions(
    grid: RegionGrid, cut: Cut, event_type: EventType, frame: Frame, pixels: np.ndarray | None
) -> tuple[Region, ...]:
    plane = single_plane(frame.pixels) if pixels is None else pixels
    measured = [
        region
        for patch in grid.patches(cut)
        if (region := _measured(grid, patch, event_type, plane)) is not None
    ]
    placed = _placed(measured, frame, grid.pointing)
    return tuple(sorted(placed, key=lambda region: -(region.area_msh or region.area_px)))


def _measured(grid: RegionGrid, patch: Patch, event_type: EventType, plane: np.ndarray) -> Region | None:
    """What of a region needs no coordinates on the Sun; None when interpolation leaves nothing of it."""
    inside = patch.inside
    count = int(np.count_nonzero(inside))
    rings = [_within_disk(grid.to_pixels(ring), grid.pointing) for ring in patch.rings()]
    if not count or not rings:
        return None
    step_x, step_y = grid.fine_step_px
    area_px = count * abs(step_x * step_y)
    weights = inside.astype(np.float32)
    if grid.fine_areas is not None:
        weights *= grid.fine_areas.msh[patch.rows, patch.columns]
    area, centroid = _area_and_centroid(grid, patch, weights)
    area_msh = None if grid.fine_areas is None else area
    outline = np.concatenate(rings)
    low, high = outline.min(axis=0), outline.max(axis=0)
    probability = cv2.mean(patch.probability, inside.view(np.uint8))[0]
    intensity = _intensity(grid, patch, count, plane)
    return Region(
        event_type=event_type,
        rings_px=tuple(rings),
        centroid_px=centroid,
        bounding_box_px=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        area_px=area_px,
        disk_fraction=min(1.0, area_px / grid.disk_px2),
        probability=float(min(max(probability, 0.0), 1.0)),
        intensity_mean=intensity[0],
        intensity_median=intensity[1],
        intensity_min=intensity[2],
        intensity_max=intensity[3],
        intensity_std=intensity[4],
        area_atdiskcenter_mm2=None if area_msh is None else area_msh * MM2_PER_MSH,
        area_msh=area_msh,
    )


def _within_disk(ring: FloatArray, pointing: Pointing | None) -> FloatArray:
    """Bring points that interpolation left a hair beyond the limb back onto it."""
    if pointing is None:
        return ring
    center = np.array([pointing.center_x_px, pointing.center_y_px])
    reach = np.hypot(*(ring - center).T) / (pointing.radius_px * _NEAR_LIMB)
    return np.asarray(center + (ring - center) / np.maximum(reach, 1.0)[:, None])


def _area_and_centroid(
    grid: RegionGrid, patch: Patch, weights: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """Sum of weights, and where the centre of gravity of the curved surface lies, seen from the Sun's centre."""
    along_x, along_y = (
        cv2.reduce(weights, axis, cv2.REDUCE_SUM, dtype=cv2.CV_64F).ravel() for axis in (0, 1)
    )
    area = float(along_x.sum())
    total = max(area, 1e-12)
    x = float(along_x @ np.arange(len(along_x))) / total + patch.columns.start
    y = float(along_y @ np.arange(len(along_y))) / total + patch.rows.start
    point = grid.to_pixels(np.array([[x, y]]))
    if grid.pointing is None or grid.fine_areas is None:
        return area, _pair(point)
    depth = grid.fine_areas.mu[patch.rows, patch.columns]
    # Not a scalar product: BLAS would wake threads for it, which then spin for twenty milliseconds.
    towards_us = cv2.sumElems(cv2.multiply(weights, depth))[0] / total * grid.pointing.radius_px
    center = np.array([grid.pointing.center_x_px, grid.pointing.center_y_px])
    seen = point - center
    return area, _pair(center + seen * (grid.pointing.radius_px / np.hypot(np.hypot(*seen[0]), towards_us)))


def _pair(points: FloatArray) -> tuple[float, float]:
    return float(points[0, 0]), float(points[0, 1])


def _intensity(
    grid: RegionGrid, patch: Patch, count: int, plane: np.ndarray
) -> tuple[float, float, float, float, float]:
    """Mean, median, least, greatest and standard deviation of the frame's pixels inside; NaN for none."""
    every = max(1, int(np.sqrt(count / _SAMPLE)))
    inside = patch.inside[::every, ::every]
    fine = np.array([[patch.columns.start, patch.rows.start]])
    first, (step_x, step_y) = grid.to_pixels(fine)[0], grid.fine_step_px
    columns = np.rint(first[0] + np.arange(inside.shape[1]) * (every * step_x)).astype(np.intp)
    rows = np.rint(first[1] + np.arange(inside.shape[0]) * (every * step_y)).astype(np.intp)
    height, width = plane.shape[:2]
    if rows[0] < 0 or columns[0] < 0 or rows[-1] >= height or columns[-1] >= width:
        in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        inside = inside[np.ix_(in_rows, in_columns)]
        rows, columns = rows[in_rows], columns[in_columns]
    if plane.flags.c_contiguous:
        values = plane.reshape(-1).take((rows[:, None] * width + columns)[inside])
    else:
        values = plane[np.ix_(rows, columns)][inside]
    values = values.astype(np.float32)
    values = values[np.isfinite(values)]
    if not values.size:
        return (float("nan"),) * 5
    values = np.sort(values).astype(np.float64)  # one pass for least, median and greatest
    mean, middle = float(values.mean()), len(values) // 2
    spread = max(float(np.square(values).mean()) - mean**2, 0.0) ** 0.5
    median = 0.5 * (values[middle] + values[-middle - 1])
    return mean, float(median), float(values[0]), float(values[-1]), spread


def _placed(regions: list[Region], frame: Frame, pointing: Pointing | None) -> list[Region]:
    """Add coordinates on the Sun as far as pointing and time tell them: all points in one go."""
    if not regions or pointing is None or pointing.roll_deg is None:
        return regions
    groups = [group for region in regions for group in (*region.rings_px, np.array([region.centroid_px]))]
    cuts = np.cumsum([len(group) for group in groups])[:-1]
    x, y = np.concatenate(groups).T
    tx, ty = pixel_to_hpc(x, y, pointing, frame.row_order)
    hpc = np.split(np.stack([tx, ty], axis=-1), cuts)
    stonyhurst = carrington = None
    if frame.date_obs is not None and frame.date_obs_source is not DateSource.FILE_TIME:
        view = SunView(frame.date_obs)  # a file's own time tells no rotation
        longitude, latitude = hpc_to_stonyhurst(tx, ty, view.b0_deg, pointing.rsun_arcsec)
        stonyhurst = np.split(np.stack([longitude, latitude], axis=-1), cuts)
        carrington = np.split(np.stack([to_carrington(longitude, view.l0_deg), latitude], axis=-1), cuts)
    placed, first = [], 0
    for region in regions:
        last = first + len(region.rings_px)
        placed.append(
            replace(
                region,
                rings_hpc_arcsec=tuple(hpc[first:last]),
                centroid_hpc_arcsec=_pair(hpc[last]),
                rings_carrington_deg=tuple(carrington[first:last]) if carrington else None,
                centroid_carrington_deg=_pair(carrington[last]) if carrington else None,
                centroid_stonyhurst_deg=_pair(stonyhurst[last]) if stonyhurst else None,
            )
        )
        first = last + 1
    return placed
