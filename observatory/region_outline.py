"""Connected regions of a probability map and their outlines to a fraction of a cell.

The map is interpolated between its cells and the outline is where it crosses the threshold, so an
outline is as smooth as the map, not as coarse as its cells. The limb is part of the same level
function: a region that reaches it ends on the circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.coordinates import CellAreas, cell_areas
from observatory.frame import Pointing

Extent = tuple[float, float, float, float]

_FINE_SIDE = 768  # cells to which the map is interpolated, as far as it is coarser
_LEAST_SHARE = 6e-5  # of the disk (or of the grid without one), as seen: slivers at the limb go
_LEAST_PIECE = 6.0  # fine cells: smaller pieces and holes of a region are noise of the map
_TOLERANCE = 0.22  # fine cells: how far a simplified outline may leave the true one


@dataclass(frozen=True)
class Patch:
    """One region on the interpolated grid.

    Attributes
    ----------
    rows, columns : slice
        Its place on the interpolated grid.
    level : ndarray, float32
        Positive inside the region, 0 on its outline.
    probability : ndarray, float32
    """

    rows: slice
    columns: slice
    level: NDArray[np.float32]
    probability: NDArray[np.float32]

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Interpolated cells of the region."""
        return self.level >= 0

    def rings(self) -> list[NDArray[np.float64]]:
        """Outlines in interpolated cells (x, y): outer ones turn positively, holes negatively.

        The largest comes first; every outer ring is followed by its holes.
        """
        chains, tree = cv2.findContours(self.inside.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        if not chains:
            return []
        lengths = [len(chain) for chain in chains]
        points = self._on_outline(np.concatenate([chain[:, 0, :] for chain in chains]))
        pieces = np.split(points, np.cumsum(lengths)[:-1])
        outer: list[tuple[float, int, NDArray[np.float64]]] = []
        holes: dict[int, list[NDArray[np.float64]]] = {}
        for index, piece in enumerate(pieces):
            ring = cv2.approxPolyDP(piece, _TOLERANCE, True)[:, 0, :].astype(np.float64)
            area = signed_area(ring)
            if len(ring) < 3 or abs(area) < _LEAST_PIECE:
                continue
            parent = int(tree[0, index, 3])
            if parent < 0:
                outer.append((abs(area), index, ring if area > 0 else ring[::-1]))
            else:
                holes.setdefault(parent, []).append(ring if area < 0 else ring[::-1])
        outer.sort(key=lambda entry: -entry[0])
        offset = np.array([self.columns.start, self.rows.start], np.float64)
        return [ring + offset for _, index, first in outer for ring in (first, *holes.get(index, []))]

    def _on_outline(self, points: NDArray[np.int32]) -> NDArray[np.float32]:
        """Move the outermost cells of the region outwards onto the level's zero: one Newton step."""
        x, y = points[:, 0], points[:, 1]
        height, width = self.level.shape
        level, here = self.level.reshape(-1), y * width + x
        left, right = (x > 0).astype(np.int32), (x < width - 1).astype(np.int32)
        below, above = (y > 0).astype(np.int32), (y < height - 1).astype(np.int32)
        slope_x = (level.take(here + right) - level.take(here - left)) / np.maximum(right + left, 1)
        slope_y = (level.take(here + above * width) - level.take(here - below * width)) / np.maximum(
            above + below, 1
        )
        steepness = np.maximum(np.square(slope_x) + np.square(slope_y), 1e-12)
        step = -level.take(here) / steepness
        length = np.abs(step) * np.sqrt(steepness)
        step *= np.minimum(1.0, 1.0 / np.maximum(length, 1e-6))  # never further than the next cell
        moved = np.stack([x + step * slope_x, y + step * slope_y], axis=-1)
        return np.ascontiguousarray(moved, np.float32)


@dataclass(frozen=True)
class Cut:
    """A map cut at a threshold.

    Attributes
    ----------
    numbers : ndarray, shape (side, side), uint16
        Region about each cell: its own cells and those that bridge its pieces; 0 for none.
    kept : tuple of int
        Numbers of the regions that are large enough.
    disk_fraction : float
        Share of the disk, as seen, that these cover.
    """

    threshold: float
    numbers: NDArray[np.uint16]
    kept: tuple[int, ...]
    disk_fraction: float


@dataclass(frozen=True)
class RegionGrid:
    """A probability map ready to be cut into regions.

    Attributes
    ----------
    probability : ndarray, shape (side, side), float32
        Continued a little beyond the limb, so that interpolation does not pull it down there.
    on_disk : ndarray of bool, shape (side, side)
        Cells whose centre lies inside the limb; all without a pointing.
    """

    probability: NDArray[np.float32]
    on_disk: NDArray[np.bool_]
    extent_px: Extent
    pointing: Pointing | None
    areas: CellAreas | None

    @classmethod
    def of(cls, probability: np.ndarray, extent_px: Extent, pointing: Pointing | None) -> RegionGrid:
        """Prepare a map; what lies beyond the limb does not count."""
        plane = np.nan_to_num(np.asarray(probability, np.float32))
        if pointing is None:
            return cls(plane, np.ones(plane.shape, bool), extent_px, None, None)
        areas = cell_areas(plane.shape[0], extent_px, pointing)
        return cls(_continued(plane, areas), areas.radius < 1.0, extent_px, pointing, areas)

    @property
    def side(self) -> int:
        """Cells along each edge."""
        return int(self.probability.shape[0])

    @property
    def factor(self) -> int:
        """Interpolated cells to a cell."""
        return max(1, round(_FINE_SIDE / self.side))

    @property
    def fine_step_px(self) -> tuple[float, float]:
        """Width and height of an interpolated cell in pixels of the frame."""
        x0, y0, x1, y1 = self.extent_px
        fine = self.side * self.factor
        return (x1 - x0) / fine, (y1 - y0) / fine

    @cached_property
    def fine_areas(self) -> CellAreas | None:
        """True areas on the interpolated grid."""
        if self.pointing is None:
            return None
        return cell_areas(self.side * self.factor, self.extent_px, self.pointing)

    @property
    def disk_px2(self) -> float:
        """Area of the disk, or of the grid where there is none, in square pixels."""
        if self.pointing is not None:
            return float(np.pi * self.pointing.radius_px**2)
        x0, y0, x1, y1 = self.extent_px
        return abs((x1 - x0) * (y1 - y0))

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Frame pixels of interpolated cells (x, y)."""
        return np.asarray((points + 0.5) * self.fine_step_px + self.extent_px[:2])

    def cut(self, threshold: float, min_area_msh: float, bridge_radii: float) -> Cut:
        """Number the regions above a threshold.

        Parameters
        ----------
        min_area_msh : float
            Least true area; without a pointing the same share of the grid.
        bridge_radii : float
            Pieces nearer to each other than this, in solar radii, are one region.
        """
        is_above = (self.probability >= threshold) & self.on_disk
        near = above = is_above.view(np.uint8)
        if self.pointing is not None and (reach := self._bridge_cells(bridge_radii)) > 0:
            near = cv2.dilate(
                above, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
            )
        count, numbers = cv2.connectedComponents(near, connectivity=8, ltype=cv2.CV_16U)
        inside = np.flatnonzero(is_above)
        of_inside = numbers.ravel().take(inside)
        seen = np.bincount(of_inside, minlength=count) * self._cell_px2 / self.disk_px2
        weights = None if self.areas is None else self.areas.msh.ravel().take(inside)
        true = seen * 1e6 if weights is None else np.bincount(of_inside, weights, count)
        is_kept = (true >= min_area_msh) & (seen >= _LEAST_SHARE)
        kept = tuple(map(int, np.flatnonzero(is_kept)))
        return Cut(threshold, numbers, kept, min(1.0, float(seen[is_kept].sum())))

    @property
    def _cell_px2(self) -> float:
        step_x, step_y = self.fine_step_px
        return abs(step_x * step_y) * self.factor**2

    def _bridge_cells(self, bridge_radii: float) -> int:
        """Half the distance to bridge: each of two pieces grows by it."""
        assert self.pointing is not None
        return round(bridge_radii * self.pointing.radius_px / (self.fine_step_px[0] * self.factor) / 2.0)

    def parts(self, cut: Cut) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """Cut out the map about every region, without its neighbours: first column, first row, map."""
        for label in cut.kept:
            left, top, width, height = cv2.boundingRect((cut.numbers == label).view(np.uint8))
            x0, y0 = max(0, left - 2), max(0, top - 2)
            x1, y1 = min(self.side, left + width + 2), min(self.side, top + height + 2)
            numbers = cut.numbers[y0:y1, x0:x1]
            of_others = (numbers != label) & (numbers != 0)
            yield x0, y0, np.where(of_others, np.float32(0.0), self.probability[y0:y1, x0:x1])

    def patches(self, cut: Cut) -> Iterator[Patch]:
        """Interpolate every region by itself."""
        factor = self.factor
        for x0, y0, part in self.parts(cut):
            fine = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
            rows = slice(y0 * factor, y0 * factor + fine.shape[0])
            columns = slice(x0 * factor, x0 * factor + fine.shape[1])
            level = fine - np.float32(cut.threshold)
            if self.fine_areas is not None:
                # As steep as a map that falls from 1 to 0 in ten cells: the two are alike at corners.
                slope = np.float32(0.1 * self._fine_cells_per_radius)
                np.minimum(level, slope * (1.0 - self.fine_areas.radius[rows, columns]), out=level)
            yield Patch(rows, columns, level, fine)

    def warp_part(
        self, x0: int, y0: int, part: NDArray[np.float32], corner: tuple[int, int], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Interpolate a part to frame pixels: `size` = (width, height) of them from `corner` on."""
        cell_x, cell_y = self.fine_step_px[0] * self.factor, self.fine_step_px[1] * self.factor
        to_cell = np.array(
            [
                [1.0 / cell_x, 0.0, (corner[0] - self.extent_px[0]) / cell_x - 0.5 - x0],
                [0.0, 1.0 / cell_y, (corner[1] - self.extent_px[1]) / cell_y - 0.5 - y0],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(part, to_cell, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.float32)

    @property
    def _fine_cells_per_radius(self) -> float:
        assert self.pointing is not None
        return self.pointing.radius_px / abs(self.fine_step_px[0])


def _continued(plane: NDArray[np.float32], areas: CellAreas) -> NDArray[np.float32]:
    """Continue a map along the radius over the limb.

    A cell at the limb averages disk and sky, and the map is 0 beyond it: interpolated, regions
    would draw back from the limb by half a cell.
    """
    where, x, y = _limb_cells(areas)
    continued = plane.copy()
    if where.size:
        continued.ravel()[where] = cv2.remap(plane, x, y, cv2.INTER_LINEAR)[:, 0]
    return continued


@lru_cache(maxsize=8)
def _limb_cells(areas: CellAreas) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Cells about the limb (flat index) and, for each, the place (x, y) inward that it continues."""
    cell = float(np.abs(np.diff(areas.radius, axis=1)).max())  # in solar radii
    where = np.flatnonzero(np.abs(areas.radius - 1.0 - cell) < 2.0 * cell)
    row, column = np.unravel_index(where, areas.radius.shape)
    shrink = (1.0 - 1.5 * cell) / areas.radius.ravel()[where]
    center_x, center_y = areas.center_cell
    x, y = center_x + (column - center_x) * shrink, center_y + (row - center_y) * shrink
    return where, x.astype(np.float32)[:, None], y.astype(np.float32)[:, None]


def signed_area(ring: np.ndarray) -> float:
    """Shoelace area of a ring (n, 2): positive when it turns from x towards y."""
    x, y = ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)
    closing = x[-1] * y[0] - x[0] * y[-1]
    return float(0.5 * (x[:-1] @ y[1:] - x[1:] @ y[:-1] + closing))
