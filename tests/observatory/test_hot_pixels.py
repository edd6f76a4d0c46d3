"""Single pixels that no lens can have drawn."""

from __future__ import annotations

import numpy as np
import pytest

from observatory.hot_pixels import without_hot_pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_hot_pixels_are_those_that_a_plain_reading_of_the_rule_finds(dtype: type[np.generic]) -> None:
    random = np.random.default_rng(6)
    picture = random.normal(60, 1.0, (40, 50))
    hot = [(7, 9), (20, 30), (33, 5)]
    for row, column in hot:
        picture[row, column] = 120.0
    picture[12, 40:42] = 120.0  # two beside each other: the one is the other's wing
    picture[0, 3] = picture[25, 0] = 120.0  # whose neighbours are not all known
    given = picture.astype(dtype)
    found = without_hot_pixels(given)
    assert found.dtype == dtype
    assert sorted(map(tuple, np.argwhere(found != given).tolist())) == hot
    for row, column in hot:
        near = np.sort(np.delete(given[row - 1 : row + 2, column - 1 : column + 2].ravel(), 4).astype(float))
        assert found[row, column] == int((near[3] + near[4]) / 2)
