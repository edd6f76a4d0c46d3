"""Run a network that doubles the sampling over a picture of any size, tile by tile.

Tiles of one shape overlap by the network's halo and a little more, over which two neighbours are
blended; what a network of an honest halo makes of a tile's inside does not depend on the tile. The
result is the only large array: tiles are cut, run and added to it one batch after another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, product

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Run = Callable[[FloatArray], FloatArray]
"""A network: (n, 1, h, w) to (n, 1, 2 h, 2 w)."""

_LEAST_BLEND_PX = 2


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut.

    Attributes
    ----------
    tile_px : int
        Most rows and columns of a tile, margins and all.
    halo_px : int
        Input pixels on each side that reach an output pixel.
    multiple : int
        Tiles begin at multiples of this and their sides are multiples of it: the network's strides.
    batch : int
        Tiles a call.
    threads : int
        Calls beside each other.
    shift_px : tuple (y, x)
        Moves the grid up and left; multiples of `multiple`.
    """

    tile_px: int = 512
    halo_px: int = 16
    multiple: int = 4
    batch: int = 1
    threads: int = 1
    shift_px: tuple[int, int] = (0, 0)

    @property
    def margin_px(self) -> int:
        """What a tile sees on each side of its own part."""
        return _rounded_up(self.halo_px + _LEAST_BLEND_PX, self.multiple)

    @property
    def blend_px(self) -> int:
        """How far each tile reaches into its neighbour's part."""
        return self.margin_px - self.halo_px

    def axis(self, length: int, shift: int) -> Axis:
        """Cut one axis of a picture."""
        most = max(self.tile_px - 2 * self.margin_px, self.multiple, 2 * self.blend_px)
        count = -(-length // most)
        step = _rounded_up(-(-length // count), self.multiple)
        step = max(step, _rounded_up(2 * self.blend_px, self.multiple))
        starts = tuple(range(-(shift % step), length, step))
        return Axis(length, starts, step, self.margin_px, self.blend_px)


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis, in input pixels."""

    length: int
    starts: tuple[int, ...]
    step: int
    margin: int
    blend: int

    @property
    def tile(self) -> int:
        """Side of a tile."""
        return self.step + 2 * self.margin

    def part(self, start: int) -> tuple[int, int]:
        """Pixels of the picture that a tile has a say in, first and one after the last."""
        return max(0, start - self.blend), min(self.length, start + self.step + self.blend)

    def weights(self, start: int) -> FloatArray:
        """Its say at each of the output's pixels there: ramps that add up to 1 with its neighbours'."""
        first, last = self.part(start)
        at = np.arange(2 * first, 2 * last) + 0.5
        width = 4.0 * self.blend
        weights = np.ones(at.size)
        if start > 0:
            weights = np.clip((at - 2 * (start - self.blend)) / width, 0.0, 1.0)
        end = start + self.step
        if end < self.length:
            weights = np.minimum(weights, np.clip((2 * (end + self.blend) - at) / width, 0.0, 1.0))
        return weights.astype(np.float32)


@dataclass(frozen=True)
class _Tile:
    y: int
    x: int


def enhance_tiled(
    image: FloatArray,
    run: Run,
    tiling: Tiling,
    *,
    is_wanted: NDArray[np.bool_] | None = None,
    fill: float = 0.0,
) -> FloatArray:
    """Run a network over a picture.

    Parameters
    ----------
    image : ndarray (h, w), float32
        Without gaps; at its edges the network sees it mirrored.
    run : callable
        The network; called from `tiling.threads` threads.
    tiling : Tiling
    is_wanted : ndarray (h, w) of bool, optional
        Tiles without a wanted pixel are not run.
    fill : float
        What stands in the result there.

    Returns
    -------
    ndarray (2 h, 2 w), float32
    """
    height, width = image.shape
    rows, columns = (
        tiling.axis(length, shift) for length, shift in zip((height, width), tiling.shift_px, strict=True)
    )
    tiles = [
        _Tile(y, x)
        for y, x in product(rows.starts, columns.starts)
        if is_wanted is None or is_wanted[slice(*rows.part(y)), slice(*columns.part(x))].any()
    ]
    is_whole = len(tiles) == len(rows.starts) * len(columns.starts)
    # Filled, not made of zeros: then the system gives large pages, at a tenth of the time for a full disk.
    out: FloatArray = np.empty((2 * height, 2 * width), np.float32)
    out.fill(0.0)
    lock = threading.Lock()

    def work(batch: list[_Tile]) -> None:
        cuts = [_cut(image, tile.y - rows.margin, tile.x - columns.margin, rows, columns) for tile in batch]
        # A batch that is short would be another shape, for which the runtime plans anew.
        cuts += cuts[-1:] * (tiling.batch - len(cuts))
        made = np.require(run(np.stack(cuts)[:, None]), np.float32, "W")
        for tile, one in zip(batch, made, strict=False):
            _add(out, one[0], tile, rows, columns, lock)

    if tiling.threads == 1:
        for batch in _batches(tiles, tiling.batch):
            work(batch)
    else:
        with ThreadPoolExecutor(tiling.threads, thread_name_prefix="tiles") as pool:
            for _ in pool.map(work, _batches(tiles, tiling.batch)):
                pass
    if not is_whole and fill:
        _fill_skipped(out, set(tiles), rows, columns, fill)
    return out


def _batches(tiles: list[_Tile], size: int) -> Iterator[list[_Tile]]:
    left = iter(tiles)
    while batch := list(islice(left, size)):
        yield batch


def _cut(image: FloatArray, y: int, x: int, rows: Axis, columns: Axis) -> FloatArray:
    """One tile, mirrored where it reaches beyond the picture."""
    height, width = image.shape
    top, left = max(0, -y), max(0, -x)
    bottom, right = max(0, y + rows.tile - height), max(0, x + columns.tile - width)
    part = image[y + top : y + rows.tile - bottom, x + left : x + columns.tile - right]
    if not (top or left or bottom or right):
        return part
    return np.asarray(cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REFLECT_101), np.float32)


def _add(
    out: FloatArray, made: FloatArray, tile: _Tile, rows: Axis, columns: Axis, lock: threading.Lock
) -> None:
    """Add a tile's result, weighted where it overlaps its neighbours'."""
    (y0, y1), (x0, x1) = rows.part(tile.y), columns.part(tile.x)
    top, left = 2 * (y0 - tile.y + rows.margin), 2 * (x0 - tile.x + columns.margin)
    part = made[top : top + 2 * (y1 - y0), left : left + 2 * (x1 - x0)]
    for weights, lines in ((rows.weights(tile.y), part), (columns.weights(tile.x), part.T)):
        sloping = np.flatnonzero(weights < 1.0)
        lines[sloping] *= weights[sloping, None]
    target = out[2 * y0 : 2 * y1, 2 * x0 : 2 * x1]
    with lock:  # ramps of neighbours meet
        np.add(target, part, out=target)


def _fill_skipped(out: FloatArray, done: set[_Tile], rows: Axis, columns: Axis, fill: float) -> None:
    for y, x in product(rows.starts, columns.starts):
        if _Tile(y, x) in done:
            continue
        (y0, y1), (x0, x1) = rows.part(y), columns.part(x)
        weights = rows.weights(y)[:, None] * columns.weights(x)[None, :]
        out[2 * y0 : 2 * y1, 2 * x0 : 2 * x1] += np.float32(fill) * weights


def _rounded_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
