"""A square around the Sun's disk, at any size: the common grid of all coronal analyses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.euv.plane import Plane
from observatory.frame import Pointing, RowOrder

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_LEAST_COVERED = 0.5  # share of a cell that must be measured for the cell to count


@dataclass(frozen=True)
class Gridded:
    """A frame on the common grid.

    Attributes
    ----------
    pixels : ndarray, shape (side, side), float32
        In the plane's unit; rows run as the frame's; 0 where nothing was measured.
    is_valid : ndarray of bool, shape (side, side)
    extent_px : tuple (x0, y0, x1, y1)
        Edges of the grid in 0-based pixels of the frame, row 0 of the grid at y0; for a grid
        turned north up they are those of the square before it is turned about the disk's centre.
    pointing : Pointing
        Where the disk lies on the grid itself.
    """

    pixels: FloatArray
    is_valid: BoolArray
    extent_px: tuple[float, float, float, float]
    pointing: Pointing


def on_grid(
    plane: Plane, pointing: Pointing, side: int, half_width_radii: float, *, north_up: bool = False
) -> Gridded:
    """Bring a plane to a square centred on the disk.

    Large frames are first averaged by a whole number (the one pass over all pixels), then sampled
    at twice the side with the disk exactly centred, then averaged to the side.

    Parameters
    ----------
    side : int
        Cells along a side.
    half_width_radii : float
        Half of the square's side in solar radii.
    north_up : bool
        Turn by the pointing's roll (0 when unknown), so that solar north lies towards the frame's
        upper edge: the last row of a FITS frame, the first of a picture.
    """
    half = pointing.radius_px * half_width_radii
    warp = _Warp.of(plane, pointing, side, half, pointing.roll_deg or 0.0 if north_up else 0.0)
    pixels, valid = plane.pixels, plane.is_valid
    if pixels.dtype not in (np.uint8, np.int16, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    covered = warp.covered()
    if valid is None:
        values = warp.sample(pixels, plane if pixels is plane.pixels else None)
    else:
        values = warp.sample(np.where(valid, pixels, pixels.dtype.type(0)))
        share = warp.sample(valid.view(np.uint8) * np.uint8(255)) / np.float32(255.0)
        covered &= share >= _LEAST_COVERED
        values = values / np.maximum(share, np.float32(_LEAST_COVERED))
    if not covered.all():
        values[~covered] = 0.0
    x, y = pointing.center_x_px, pointing.center_y_px
    middle = (side - 1) / 2.0
    itself = replace(
        pointing,
        center_x_px=middle,
        center_y_px=middle,
        radius_px=side / (2.0 * half_width_radii),
        roll_deg=(0.0 if pointing.roll_deg is not None else None) if north_up else pointing.roll_deg,
    )
    return Gridded(values, covered, (x - half, y - half, x + half, y + half), itself)


@dataclass(frozen=True)
class _Warp:
    """Where the cells of the doubled grid lie in the frame."""

    shape: tuple[int, int]  # of the frame
    side: int
    matrix: FloatArray  # (2, 3): doubled cell -> frame pixel
    reach: float  # half of the square that holds the turned one, pixels

    @classmethod
    def of(cls, plane: Plane, pointing: Pointing, side: int, half: float, roll_deg: float) -> _Warp:
        # Roll counts clockwise with rows upwards: seen along the array's rows it changes sense
        # where row 0 is the top.
        angle = np.deg2rad(roll_deg if plane.row_order is RowOrder.BOTTOM else -roll_deg)
        cell, middle = half / side, (2 * side - 1) / 2.0
        turn = cell * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = np.array([pointing.center_x_px, pointing.center_y_px])
        shift = centre - turn @ np.array([middle, middle])
        height, width = plane.pixels.shape
        reach = half * (abs(np.cos(angle)) + abs(np.sin(angle)))
        return cls((height, width), side, np.column_stack([turn, shift]), float(reach))

    def sample(self, pixels: np.ndarray, plane: Plane | None = None) -> FloatArray:
        """Bring an array to the grid, (side, side) float32; 0 outside the frame.

        ``plane`` is given where the array is that plane's pixels, which may have been averaged already.
        """
        turn, shift = self.matrix[:, :2], self.matrix[:, 2]
        middle = np.full(2, (2 * self.side - 1) / 2.0)
        centre = turn @ middle + shift
        factor = max(1, int(self.reach / self.side + 0.1))  # up to a tenth coarser than the doubled grid
        height, width = self.shape
        averaged, done = (pixels, 1) if plane is None else plane.averaged(factor)
        x0, y0 = (max(0, int(c - self.reach) - factor) // done * done for c in centre)
        columns = (min(width, int(centre[0] + self.reach) + 2 * factor) - x0) // factor
        rows = (min(height, int(centre[1] + self.reach) + 2 * factor) - y0) // factor
        if columns < 1 or rows < 1:
            return np.zeros((self.side, self.side), np.float32)
        left = factor // done
        part = averaged[y0 // done :, x0 // done :][: rows * left, : columns * left]
        if left > 1:
            # As float32: the mean of whole numbers would be rounded to a whole number.
            counts = part if part.dtype == np.uint8 else part.astype(np.float32, copy=False)
            part = cv2.resize(counts, (columns, rows), interpolation=cv2.INTER_AREA)
        origin = (shift - np.array([x0, y0]) + 0.5) / factor - 0.5
        doubled = cv2.warpAffine(
            part.astype(np.float32, copy=False),
            np.column_stack([turn / factor, origin]),
            (2 * self.side, 2 * self.side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(cv2.resize(doubled, (self.side, self.side), interpolation=cv2.INTER_AREA))

    def covered(self) -> BoolArray:
        """Cells whose centre lies inside the frame."""
        along = np.arange(self.side, dtype=np.float32) * 2.0 + 0.5
        height, width = self.shape
        (xx, xy, x0), (yx, yy, y0) = self.matrix.astype(np.float32)
        if xy == 0.0 == yx:  # not turned: rows and columns on their own
            x, y = xx * along + x0, yy * along + y0
            inside_x, inside_y = (x > -0.5) & (x < width - 0.5), (y > -0.5) & (y < height - 0.5)
            return np.asarray(inside_y[:, None] & inside_x[None, :])
        x = xx * along[None, :] + (xy * along[:, None] + x0)
        y = yx * along[None, :] + (yy * along[:, None] + y0)
        return np.asarray((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5))
