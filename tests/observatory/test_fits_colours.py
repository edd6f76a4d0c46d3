"""Colours in FITS files of small cameras: a mosaic of filters, or three planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from observatory.errors import UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments import Limits, open_bytes
from observatory.instruments.formats import open_container
from tests.making import fits_bytes, tiled_fits_bytes
from tests.skies import behind

LIMITS = Limits()
HEIGHT, WIDTH = 24, 31


def colours() -> np.ndarray:
    """Red, green and blue that differ in level and slope, top row first; means of neighbours are exact."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([20 + 2 * x + y, 150 - x + 2 * y, 90 + x - 3 * y], axis=-1)


def read(data: bytes) -> np.ndarray:
    return open_container(data, LIMITS).pixels()


def assert_has_colours(found: np.ndarray, expected: np.ndarray) -> None:
    """At the edges colours come from one side only."""
    inside = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(found[inside].astype(float), expected[inside], atol=1.0)
    np.testing.assert_allclose(found.astype(float), expected, atol=8.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("mosaic", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_a_mosaic_becomes_the_colours_behind_it(mosaic: str, dtype: type[np.generic]) -> None:
    stored = behind(mosaic, colours()).astype(dtype)
    found = read(fits_bytes(stored, {"BAYERPAT": mosaic}))
    assert found.dtype == (dtype if np.issubdtype(dtype, np.unsignedinteger) else np.float32)
    assert_has_colours(found, colours())


@pytest.mark.parametrize(
    "cards",
    [
        {"COLORTYP": "GBRG"},
        {"BAYERPAT": "RGGB", "YBAYROFF": 1},
        {"BAYERPAT": "BGGR", "XBAYROFF": 1, "YBAYROFF": 0},
        {"BAYERPAT": "grbg ", "XBAYROFF": 1, "YBAYROFF": 1, "ROWORDER": "TOP-DOWN"},
    ],
)
def test_keywords_that_name_and_shift_the_mosaic(cards: dict[str, Any]) -> None:
    stored = behind("GBRG", colours()).astype(np.uint16)
    assert_has_colours(read(fits_bytes(stored, cards)), colours())


@pytest.mark.parametrize("height", [HEIGHT, HEIGHT - 1])
def test_rows_that_are_stored_upwards_turn_the_mosaic_over(height: int) -> None:
    picture = colours()[:height]
    stored = behind("RGGB", picture)[::-1].astype(np.uint16)
    found = open_container(fits_bytes(stored, {"BAYERPAT": "RGGB", "ROWORDER": "BOTTOM-UP"}), LIMITS)
    assert found.row_order is RowOrder.BOTTOM
    assert_has_colours(found.pixels(), picture[::-1])


def test_words_that_name_no_mosaic_leave_the_picture_grey() -> None:
    stored = behind("RGGB", colours()).astype(np.uint16)
    for cards in ({"BAYERPAT": "TRUE"}, {"BAYERPAT": ""}, {"COLORTYP": "CMYG"}, {"XBAYROFF": 1}):
        np.testing.assert_array_equal(read(fits_bytes(stored, cards)), stored)
    np.testing.assert_array_equal(read(fits_bytes(stored[:1], {"BAYERPAT": "RGGB"})), stored[:1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_three_planes_are_red_green_and_blue(dtype: type[np.generic]) -> None:
    planes = np.moveaxis(colours(), -1, 0).astype(dtype)
    for data in (fits_bytes(planes), tiled_fits_bytes(planes), fits_bytes(planes, {"BAYERPAT": "RGGB"})):
        container = open_container(data, LIMITS)
        assert container.shape() == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(container.pixels(), colours().astype(dtype))


@pytest.mark.parametrize(
    ("planes", "cards"),
    [(5, {}), (2, {}), (3, {"CTYPE3": "STOKES"}), (3, {"CTYPE1": "HPLN-TAN"}), (3, {"CRPIX2": 12.0})],
)
def test_planes_that_are_no_colours_are_refused(planes: int, cards: dict[str, Any]) -> None:
    with pytest.raises(
        UnreadableFileError, match=f"{WIDTH} x {HEIGHT} x {planes}.*one flat image is expected"
    ):
        open_container(fits_bytes(np.ones((planes, HEIGHT, WIDTH), np.uint16), cards), LIMITS)


def test_the_top_row_comes_first_where_the_header_says_so_and_has_no_coordinates() -> None:
    stored = np.ones((HEIGHT, WIDTH), np.uint16)
    for cards, order in (
        ({"ROWORDER": "TOP-DOWN"}, RowOrder.TOP),
        ({"ROWORDER": "TOP-DOWN", "CRPIX2": 12.0}, RowOrder.BOTTOM),
        ({"ROWORDER": "BOTTOM-UP"}, RowOrder.BOTTOM),
        ({}, RowOrder.BOTTOM),
    ):
        opened = open_bytes(fits_bytes(stored, cards), "sky.fits", LIMITS, instrument="allsky")
        assert opened.frame().row_order is order


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hot_pixels_of_a_mosaic_are_left_out_and_stars_kept(dtype: type[np.generic]) -> None:
    """Each filter lets its own share of the light through: bright ones are not hot."""
    random = np.random.default_rng(9)
    y, x = np.mgrid[0:60, 0:80]
    star = 150.0 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / (2 * 0.9**2))
    picture = np.stack([share * (30 + star) for share in (1.0, 1.6, 0.5)], axis=-1)
    seen = (behind("GRBG", picture) + random.normal(0, 0.6, (60, 80))).clip(0, 255)
    spoilt = seen.copy()
    hot = ([10, 11, 45, 46, 20], [10, 30, 51, 60, 61])  # under all of the filters
    spoilt[hot] = 240
    scale = 1 if dtype is np.uint8 else 250
    clean, found = (
        read(fits_bytes((each * scale).astype(dtype), {"BAYERPAT": "GRBG"})).astype(float) / scale
        for each in (seen, spoilt)
    )
    assert clean[30, 40, 1] > 150
    np.testing.assert_allclose(found, clean, atol=6.0)
