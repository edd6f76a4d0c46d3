"""Blurring pictures, against OpenCV's own way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from observatory.blurring import blurred


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.2, 6.0])
@pytest.mark.parametrize("shape", [(128, 128), (61, 90), (90, 61)])
def test_blurs_are_those_of_opencv(shape: tuple[int, int], sigma: float) -> None:
    picture = np.random.default_rng(4).uniform(0, 4000, shape).astype(np.float32)
    found = blurred(picture, sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cv2.GaussianBlur(picture, (0, 0), sigma), rtol=0, atol=4e-3)


def test_one_light_becomes_a_gaussian() -> None:
    picture = np.zeros((40, 40), np.float32)
    picture[20, 20] = 1.0
    found = blurred(picture, 2.0)
    rows = np.arange(-20, 20)
    across = np.exp(-(rows**2) / 8.0)
    across /= across.sum()
    np.testing.assert_allclose(found[20] / found[20].sum(), across, atol=1e-4)


def test_rows_that_are_no_line_of_memory_are_blurred_too() -> None:
    picture = np.random.default_rng(5).uniform(0, 1, (50, 80)).astype(np.float32)
    np.testing.assert_array_equal(blurred(picture.T, 1.5), blurred(picture.T.copy(), 1.5))


def test_a_picture_too_small_to_be_mirrored_is_refused() -> None:
    with pytest.raises(ValueError, match="too few to be blurred"):
        blurred(np.zeros((128, 20), np.float32), 6.0)
