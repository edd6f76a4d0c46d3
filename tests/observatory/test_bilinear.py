"""Reading pictures between their pixels, against OpenCV's own way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from observatory.bilinear import Places


def _places(shape: tuple[int, int], beyond: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(6)
    height, width = shape
    x = random.uniform(-beyond, width - 1 + beyond, (40, 30)).astype(np.float32)
    y = random.uniform(-beyond, height - 1 + beyond, (40, 30)).astype(np.float32)
    x[0, :3], y[0, :3] = (0, width - 1, width - 1), (0, 0, height - 1)  # corners
    return x, y


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
@pytest.mark.parametrize(("shape", "beyond"), [((90, 121), 0.0), ((90, 121), 200.0), ((2, 2), 5.0)])
def test_what_is_read_is_what_opencv_reads(
    shape: tuple[int, int], beyond: float, dtype: type[np.generic]
) -> None:
    picture = np.random.default_rng(7).uniform(0, 9000, shape).astype(dtype)
    x, y = _places(shape, beyond)
    found = Places.of(x, y, shape).read(picture)
    exact = picture.astype(np.float32)
    expected = cv2.remap(exact, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(found[0, :3], exact[[0, 0, -1], [0, -1, -1]], rtol=1e-5)


def test_a_part_of_a_picture_and_the_other_order_of_bytes_are_read_alike() -> None:
    picture = np.random.default_rng(8).integers(0, 65535, (60, 80), np.uint16)
    places = Places.of(*_places((30, 40), 3.0), (30, 40))
    part = picture[::2, ::2]
    np.testing.assert_array_equal(places.read(part), places.read(part.copy()))
    np.testing.assert_array_equal(places.read(part.astype(">u2")), places.read(part))


def test_next_to_a_pixel_without_a_number_there_is_none() -> None:
    picture = np.ones((8, 9), np.float32)
    picture[3, 4] = np.nan
    x, y = np.array([[3.5, 4.0, 6.5]], np.float32), np.array([[2.5, 3.0, 6.5]], np.float32)
    np.testing.assert_array_equal(
        np.isnan(Places.of(x, y, picture.shape).read(picture)), [[True, True, False]]
    )
