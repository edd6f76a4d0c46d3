"""Where a coronal frame holds no measurement: NaN, and tiles of one value (numpy, OpenCV)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_quality.coarse import Coarse
from observatory.euv.plane import Plane
from observatory.frame import Pointing

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_TILES = 64
_LINES = 96  # rows and columns that are searched for edges
#: Share of a hole's edges that lie in line with the next row's or column's: of blocks all but the
#: corners', of a circle a fifth.
_ALIGNED = 0.6
_BLACK, _BRIGHT = 0.04, 0.3  # of the disk's level


@dataclass(frozen=True)
class Holes:
    """Cells of the coarse frame without a measurement, on the disk.

    Attributes
    ----------
    missing : ndarray of bool
        NaN, and blocks of one value.
    hidden : ndarray of bool
        Of one value, but not shaped as blocks: something stands before the Sun.
    """

    missing: BoolArray
    hidden: BoolArray


def find_holes(
    plane: Plane, disk: Pointing, coarse: Coarse, inside: BoolArray, level: float, full: float
) -> Holes:
    """Find what holds no measurement.

    In counts a tile of one value is never natural: there is noise everywhere. In pictures coronal
    holes and shadows may be clipped to black; there a black hole counts only when its edges run
    along rows or columns, as those of lost blocks do.

    Parameters
    ----------
    inside : ndarray of bool
        Cells on the disk.
    level, full : float
        Brightness of the lit disk, and the largest value.
    """
    missing = inside & ~coarse.valid
    nothing = np.zeros_like(missing)
    constant, value = _constant_tiles(plane)
    constant &= value < full
    spread = _on_coarse(constant, plane, coarse) & inside
    if not spread.any():
        return Holes(missing, nothing)
    black = coarse.values < 0.15 * level  # a grey block is no shadow
    if not (spread & black).any() or _has_straight_edges(plane, disk, constant, level):
        return Holes(missing | spread | _rims(spread, plane, coarse, inside, level), nothing)
    return Holes(missing | (spread & ~black), nothing if plane.is_picture else spread & black)


def _rims(spread: BoolArray, plane: Plane, coarse: Coarse, inside: BoolArray, level: float) -> BoolArray:
    """Black cells beside black tiles: blocks end within tiles."""
    reach = 2 * -(-max(_tile_size(plane)) // coarse.factor) + 1
    grown = cv2.dilate(spread.view(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    return grown & inside & (coarse.values < _BLACK * level)


def _constant_tiles(plane: Plane) -> tuple[BoolArray, FloatArray]:
    """Tiles that hold one value only, and that value; every few rows are looked at."""
    tall, wide = _tile_size(plane)
    height, width = plane.pixels.shape
    rows, columns = height // tall, width // wide
    step = max(1, tall // 8)
    part = plane.pixels[: rows * tall, : columns * wide].reshape(rows, tall, columns * wide)[:, ::step]
    strips = part.reshape(rows, part.shape[1], columns, wide)
    lowest, highest = strips.min(axis=3).min(axis=1), strips.max(axis=3).max(axis=1)
    return lowest == highest, lowest.astype(np.float32)


def _tile_size(plane: Plane) -> tuple[int, int]:
    height, width = plane.pixels.shape
    return min(height, max(4, height // _TILES)), min(width, max(4, width // _TILES))


def _on_coarse(tiles: BoolArray, plane: Plane, coarse: Coarse) -> BoolArray:
    """Tiles as cells of the coarse frame."""
    (tall, wide), (rows, columns) = _tile_size(plane), coarse.values.shape
    row = np.minimum((np.arange(rows) + 0.5) * coarse.factor // tall, tiles.shape[0] - 1).astype(int)
    column = np.minimum((np.arange(columns) + 0.5) * coarse.factor // wide, tiles.shape[1] - 1).astype(int)
    return np.asarray(tiles[row[:, None], column[None, :]])


def _has_straight_edges(plane: Plane, disk: Pointing, constant: BoolArray, level: float) -> bool:
    """Whether black ends at the same column in line after line, or at the same row: blocks do, shadows do not."""
    height, width = plane.pixels.shape
    step_y, step_x = max(1, height // _LINES), max(1, width // _LINES)
    tall, wide = _tile_size(plane)
    near = cv2.dilate(constant.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    place = (disk.center_x_px, disk.center_y_px)
    rows, columns = plane.pixels[step_y // 2 :: step_y], plane.pixels[:, step_x // 2 :: step_x].T
    counts = (
        _aligned_edges(rows, step_y, place[::-1], disk.radius_px, level, near, (tall, wide)),
        _aligned_edges(columns, step_x, place, disk.radius_px, level, near.T, (wide, tall)),
    )
    edges, aligned = (sum(values) for values in zip(*counts, strict=True))
    return edges >= 4 and aligned > _ALIGNED * edges


def _aligned_edges(
    lines: np.ndarray,
    step: int,
    place: tuple[float, float],
    radius: float,
    level: float,
    near: BoolArray,
    tile: tuple[int, int],
) -> tuple[int, int]:
    """Edges of constant tiles on the disk, and those that the next or last line has at the same place.

    Parameters
    ----------
    lines : ndarray, shape (n, length)
        Every `step`-th row, or column turned to a row.
    place : tuple
        Disk centre across and along the lines.
    near : ndarray of bool
        Tiles that are constant or beside such a one, turned as the lines; `tile` is their size.
    """
    black, bright = lines <= _BLACK * level, lines >= _BRIGHT * level
    edge = (black[:, :-3] & bright[:, 3:]) | (bright[:, :-3] & black[:, 3:])  # within three pixels
    line, along = np.arange(len(lines)) * step + step // 2, np.arange(edge.shape[1]) + 1.5
    y, x = (line - place[0]) / radius, (along - place[1]) / radius
    edge &= np.square(y)[:, None] + np.square(x)[None, :] < 0.93**2
    row = np.minimum(line // tile[0], near.shape[0] - 1)
    column = np.minimum(along // tile[1], near.shape[1] - 1).astype(int)
    edge &= near[row[:, None], column[None, :]]
    first = edge.copy()
    first[:, 1:] &= ~edge[:, :-1]
    wide = cv2.dilate(first.view(np.uint8), np.ones((1, 3), np.uint8)).astype(bool)
    beside = np.zeros_like(edge)
    beside[:-1] |= wide[1:]
    beside[1:] |= wide[:-1]
    return int(first.sum()), int((first & beside).sum())
