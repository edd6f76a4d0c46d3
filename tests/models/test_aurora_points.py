"""Hot pixels, and points that stand out from their surroundings, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from models.aurora.points import largest_of_four, subtract_and_sample
from models.aurora.preparation import without_hot_pixels


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_pixels_without_wings_are_set_to_their_surroundings(dtype: type[np.integer]) -> None:
    pixels = np.random.default_rng(1).normal(3000, 50, (90, 121)).astype(dtype)
    pixels[40, 50] = 9000  # hot
    pixels[20, 70], pixels[20, 71] = 9000, 4500  # a star has a wing
    pixels[60, 30] = 3600  # within the noise
    pixels[0, 3] = pixels[89, 3] = pixels[5, 0] = pixels[5, 120] = 9000  # at the edge nobody can tell
    ring = np.sort(pixels[39:42, 49:52].ravel())[:-1]
    expected = pixels.copy()
    expected[40, 50] = np.float32(0.5) * (ring[3].astype(np.float32) + ring[4])
    np.testing.assert_array_equal(without_hot_pixels(pixels), expected)


def test_where_noise_is_larger_than_what_numbers_hold_nothing_is_hot() -> None:
    pixels = np.random.default_rng(4).integers(0, 65535, (90, 121), np.uint16)
    np.testing.assert_array_equal(without_hot_pixels(pixels), pixels)


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
