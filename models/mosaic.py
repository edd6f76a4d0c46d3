"""Several pictures of one size as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mosaic(tiles: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Tiles side by side, row by row; what is left of the last row is black.

    Parameters
    ----------
    tiles : sequence of ndarray
        One at least, all of one shape.
    columns : int
        Most tiles in a row.
    """
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    filled = [*tiles, *[np.zeros_like(tiles[0])] * (rows * columns - len(tiles))]
    return np.vstack([np.hstack(filled[n * columns : (n + 1) * columns]) for n in range(rows)])
