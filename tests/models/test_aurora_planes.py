"""The cells of the planes that the network sees, and hot pixels, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from models.aurora.planes import clip_where, largest_of_four, sampled, scale_light
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


def test_light_is_held_against_the_middle_and_between_percentiles() -> None:
    light = np.random.default_rng(2).normal(300, 400, (16, 17)).astype(np.float32)
    ratio, stretched = np.empty((2, 16, 17), np.float32)
    scale_light(light, *np.array([9, 250, 100, 500], np.float32), ratio, stretched)
    np.testing.assert_allclose(ratio, (np.maximum(light, 0) + 9) / 250, rtol=1e-6)
    np.testing.assert_allclose(stretched, np.clip((light - 100) / 500, 0, 1), atol=1e-6)


def test_without_a_span_everything_is_at_its_foot() -> None:
    light = np.full((4, 4), 7.0, np.float32)
    ratio, stretched = np.empty((2, 4, 4), np.float32)
    scale_light(light, *np.array([1, 8, 7, np.inf], np.float32), ratio, stretched)
    np.testing.assert_array_equal([ratio, stretched], [np.ones((4, 4)), np.zeros((4, 4))])


def test_what_is_not_known_is_nothing_and_the_rest_is_clipped() -> None:
    random = np.random.default_rng(3)
    picture, known = random.normal(0, 3, (16, 17)).astype(np.float32), random.integers(0, 2, (16, 17))
    found = np.empty((16, 17), np.float32)
    clip_where(picture, np.float32(2.0), known.astype(np.float32), found)
    np.testing.assert_allclose(found, np.clip(picture / 2, -1, 1) * known, rtol=1e-6)


def test_values_are_taken_from_flat_places() -> None:
    picture = np.random.default_rng(4).normal(0, 1, (16, 17)).astype(np.float32)
    places = np.arange(0, picture.size, 3)
    np.testing.assert_array_equal(sampled(picture, places), picture.ravel()[places])
    assert sampled(picture, places[:0]).size == 0


def test_the_largest_of_four_cells_is_kept() -> None:
    fine, found = (
        np.random.default_rng(5).normal(0, 1, (16, 16)).astype(np.float32),
        np.empty((8, 8), np.float32),
    )
    largest_of_four(fine, np.float32(2.0), found)
    expected = np.clip(fine.reshape(8, 2, 8, 2).max(axis=(1, 3)) / 2.0, 0.0, 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
