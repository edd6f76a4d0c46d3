"""Pixels that stand out from all of their neighbours, against OpenCV's dilation and numpy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.aurora.points import largest_of_four, standing_out, subtract_and_sample

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


def test_what_is_left_is_sampled_and_the_largest_of_four_kept() -> None:
    random = np.random.default_rng(2)
    sharp, smooth = random.normal(0, 1, (2, 16, 16)).astype(np.float32)
    inner = random.integers(0, 2, (16, 16), np.uint8)
    places, taken = np.arange(0, 256, 3), np.empty(86, np.float32)
    left = (sharp - smooth) * inner
    subtract_and_sample(sharp.ravel(), smooth.ravel(), inner.ravel(), places, taken)
    np.testing.assert_allclose(sharp, left, rtol=1e-6)
    np.testing.assert_array_equal(taken, np.abs(sharp.ravel()[places]))
    found = np.empty((8, 8), np.float32)
    largest_of_four(sharp, np.float32(2.0), found)
    expected = np.clip(left.reshape(8, 2, 8, 2).max(axis=(1, 3)) / 2.0, 0.0, 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
