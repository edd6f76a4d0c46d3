"""Pixels that stand out from all of their neighbours, against OpenCV's dilation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.aurora.standing_out import standing_out

_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("least", [0.5, 60.0, 400.0, 1e6])
def test_pixels_that_stand_out_are_those_above_the_largest_of_their_ring(
    dtype: type[np.integer], least: float
) -> None:
    pixels = np.random.default_rng(1).normal(3000, 150, (90, 121)).astype(dtype)
    pixels[0, 3] = pixels[40, 50] = 9000  # one at the edge
    above = cv2.subtract(pixels, cv2.dilate(pixels, _RING))
    above[[0, -1]] = 0
    above[:, [0, -1]] = 0
    found = standing_out(pixels, least)
    np.testing.assert_array_equal(found, np.flatnonzero(above > least))
    assert (40 * 121 + 50 in found) == (least < 6000)
