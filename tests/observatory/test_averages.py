"""Averaging pictures to a smaller size, against OpenCV's own way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from observatory.averages import averaged

SIZES = [
    ((459, 460, 3), (257, 256)),
    ((300, 301), (299, 300)),
    ((480, 720), (192, 288)),
    ((64, 90, 3), (64, 31)),
    ((300, 300), (100, 100)),
    ((300, 200), (20, 30)),
    ((3, 200), (2, 90)),
]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize(("shape", "made"), SIZES)
def test_averages_are_those_of_opencv(
    shape: tuple[int, ...], made: tuple[int, int], dtype: type[np.generic]
) -> None:
    pixels = np.random.default_rng(4).uniform(0, 250, shape).astype(dtype)
    found = averaged(pixels, *made)
    expected = cv2.resize(pixels, made[::-1], interpolation=cv2.INTER_AREA)
    assert found.dtype == dtype
    assert found.shape == expected.shape
    apart = np.abs(found.astype(float) - expected)
    assert apart.max() <= (1.0 if np.dtype(dtype).kind in "iu" else 1e-3)
    assert np.mean(apart > 1e-3) < 5e-3  # rounding of halves


def test_whole_numbers_are_averaged_as_real_ones_where_those_are_wanted() -> None:
    pixels = np.random.default_rng(5).integers(0, 255, (90, 91, 3), np.uint8)
    found = averaged(pixels, 60, 61, np.float32)
    expected = cv2.resize(pixels.astype(np.float32), (61, 60), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found != np.rint(found)).any()


def test_a_part_of_a_picture_that_does_not_lie_in_one_piece_is_averaged_as_well() -> None:
    pixels = np.random.default_rng(6).uniform(0, 1, (200, 300)).astype(np.float32)
    np.testing.assert_array_equal(
        averaged(pixels[10:110:1, 20:200:2], 60, 50), averaged(pixels[10:110, 20:200:2].copy(), 60, 50)
    )
