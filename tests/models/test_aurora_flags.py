"""A camera's own sectors: where they lie, and what a map of cloud says in each."""

from __future__ import annotations

import numpy as np
import pytest

from models.aurora.flags import COUNT, SHAPE, by_flagged_sector, sector_map
from observatory.fisheye import Fisheye

CIRCLE = Fisheye(350.0, 242.5, 240.0)  # in the half-sized picture: the middle and the horizon of the sectors
CELLS = 96


def direction(sector: int) -> tuple[float, float]:
    """Mean place (x, y) of a sector from the middle, in pixels."""
    y, x = np.nonzero(sector_map() == sector)
    return float(x.mean() - 700), float(y.mean() - 485)


def cells(of: np.ndarray) -> np.ndarray:
    """A map of cloud on the box around the circle, from one of the camera's pixels."""
    centres = (np.arange(CELLS) + 0.5) * 960 / CELLS
    return of[np.ix_((centres + 485 - 480).astype(int), (centres + 700 - 480).astype(int))]


def test_there_are_33_sectors_each_ring_as_wide_as_the_circle_in_the_middle():
    sector = sector_map()
    assert sector.shape == SHAPE
    assert sorted(np.unique(sector)) == [-1, *range(COUNT)]
    assert [int(sector[485, 700 + x]) for x in (0, 95, 100, 200, 300, 400, 475, 485)] == [
        0, 0, 5, 13, 21, 29, 29, -1,
    ]  # fmt: skip


def test_wedges_are_counted_from_the_left_towards_the_first_rows():
    x, y = direction(25)
    assert x < 0 and y < 0 and abs(x) > abs(y)
    x, y = direction(32)
    assert x < 0 and y > 0 and abs(x) > abs(y)
    x, y = direction(27)
    assert x > 0 and y < 0 and abs(x) < abs(y)


def test_a_cloud_over_one_sector_is_found_there_and_nowhere_else():
    cloud = cells((sector_map() == 14).astype(np.float32))
    said = by_flagged_sector(cloud, CIRCLE, 2.0)
    assert int(np.argmax(said)) == 14
    assert said[14] > 0.8
    assert np.delete(said, 14).max() < 0.2


def test_a_hidden_sector_is_not_judged():
    sector = sector_map()
    hidden = np.where(sector == 7, np.nan, 0.25).astype(np.float32)
    said = by_flagged_sector(cells(hidden), CIRCLE, 2.0)
    assert np.isnan(said[7])
    assert np.delete(said, 7) == pytest.approx(0.25)
