"""Previews lie as people expect, and what is laid over them fits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from observatory.analysis import ModelIdentity, Quality
from observatory.frame import Frame, Pointing, RowOrder
from observatory.robust import quantile
from workers.products.preview import (
    orient,
    preview,
    reduced,
    region_mask_png,
    region_overlay,
    region_picture,
    stretch,
)

MODEL = ModelIdentity("m", "1", "a")


def frame(
    pixels: np.ndarray, order: RowOrder = RowOrder.BOTTOM, roll_deg: float | None = None, **more
) -> Frame:
    height, width = pixels.shape[:2]
    pointing = None
    if roll_deg is not None:
        pointing = Pointing((width - 1) / 2, (height - 1) / 2, 0.4 * width, roll_deg=roll_deg)
    return Frame(pixels, more.get("instrument", "halpha"), order, pointing=more.get("pointing", pointing))


def quality(region: np.ndarray, extent: tuple[float, float, float, float]) -> Quality:
    return Quality(0.1, True, None, (), MODEL, region_map=region.astype(np.float32), region_extent_px=extent)


def picture(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened)


def spot(size: int, x: int, y: int) -> np.ndarray:
    pixels = np.zeros((size, size), np.uint8)
    pixels[y - 6 : y + 7, x - 6 : x + 7] = 255
    return pixels


def brightest(pixels: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(pixels > 128)
    return float(columns.mean()), float(rows.mean())


def test_rows_of_fits_go_upwards_and_rows_of_pictures_downwards():
    low = spot(200, 100, 30)
    assert brightest(picture(preview(frame(low)).data))[1] == pytest.approx(169, abs=1)
    assert brightest(picture(preview(frame(low, RowOrder.TOP)).data))[1] == pytest.approx(30, abs=1)


@pytest.mark.parametrize("roll_deg", [0.0, 10.0, -25.0, 90.0, 180.0, 179.93])
def test_solar_north_is_up_whatever_the_roll(roll_deg: float):
    # CROTA2: rotated by it, pixel offsets become solar ones (Thompson 2006, equation 6).
    angle = np.deg2rad(roll_deg)
    north = np.array([np.sin(angle), np.cos(angle)]) * 60  # the pixel offset of solar north
    x, y = np.round(99.5 + north).astype(int)
    found = brightest(picture(preview(frame(spot(200, x, y), roll_deg=roll_deg)).data))
    assert found == pytest.approx((99.5, 99.5 - 60), abs=1.5)


def test_a_turn_about_the_disk_keeps_the_disk_in_its_place():
    pixels = spot(200, 60, 140)
    centred = Pointing(60.0, 140.0, 50.0, roll_deg=40.0)
    found = brightest(picture(preview(frame(pixels, pointing=centred)).data))
    assert found == pytest.approx((60, 199 - 140), abs=1)


def test_a_preview_is_at_most_its_side_and_keeps_its_shape():
    made = preview(frame(np.zeros((1500, 3000), np.uint8)))
    assert (made.width, made.height) == (1024, 512)
    assert picture(made.data).shape == (512, 1024)
    small = preview(frame(np.zeros((30, 50), np.uint8)))
    assert (small.width, small.height) == (50, 30)


@settings(max_examples=25)
@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
def test_any_shape_can_be_shown(width: int, height: int):
    made = preview(frame(np.zeros((height, width), np.uint8)), side_px=64)
    assert 1 <= made.width <= 64
    assert 1 <= made.height <= 64


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "i8", "f4", "f8", "u4"])
@pytest.mark.parametrize("instrument", ["halpha", "aia-193", "hmi-magnetogram", "allsky"])
def test_any_number_type_can_be_shown(dtype: str, instrument: str):
    pixels = (np.arange(4096).reshape(64, 64) % 200).astype(dtype)
    shown = picture(preview(frame(pixels, instrument=instrument)).data)
    assert shown.shape == (64, 64)
    assert shown.max() > shown.min()


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((64, 64), np.nan, np.float32),
        np.full((64, 64), np.inf, np.float32),
        np.full((64, 64), 1e38, np.float32),
        np.full((64, 64), -5, np.int16),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint16),
    ],
    ids=["nan", "infinite", "huge", "constant", "colour", "colour-16"],
)
@pytest.mark.parametrize("instrument", ["halpha", "aia-193", "hmi-magnetogram"])
def test_degenerate_pictures_can_be_shown(pixels: np.ndarray, instrument: str):
    assert picture(preview(frame(pixels, instrument=instrument)).data).shape[:2] == (64, 64)


def test_colours_stay_what_they_are():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0] = 250
    red = picture(preview(frame(pixels, RowOrder.TOP)).data)[32, 32]
    assert red[0] > 200
    assert red[2] < 60


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_counts_are_stretched_alike_in_every_colour(dtype: type, shape: tuple[int, ...]):
    pixels = np.random.default_rng(3).integers(0, 5000, shape).astype(dtype)
    if dtype != np.uint16:
        pixels[:20] -= 1000
    low, high = quantile(pixels[::4, ::4], 0.005), quantile(pixels[::4, ::4], 0.998)
    wanted = np.clip((pixels - min(low, 0.0)) / (high - min(low, 0.0)), 0, 1) * 255
    assert stretch(frame(pixels), pixels) == pytest.approx(wanted, abs=1)


def test_eight_bits_pass_unchanged():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert stretch(frame(pixels), pixels) is pixels
    assert reduced(pixels, 100) is pixels


def test_a_region_map_that_covers_the_frame_exactly_is_itself():
    level = np.zeros((8, 8))
    level[2, 5] = 1.0
    said = quality(level, (-0.5, -0.5, 7.5, 7.5))
    np.testing.assert_array_equal(
        region_picture(frame(np.zeros((8, 8), np.uint8)), said, (8, 8)), level * 255
    )


def test_a_region_map_lies_where_its_extent_says():
    # Sixteen cells of 10 x 10 pixels with edges from 9.5 to 49.5 on a frame of 100.
    level = np.zeros((4, 4))
    level[1, 1] = 1.0
    found = region_picture(
        frame(np.zeros((100, 100), np.uint8)), quality(level, (9.5, 9.5, 49.5, 49.5)), (100, 100)
    )
    assert found[24:26, 24:26].min() > 225  # the middle of the spoilt cell: pixels 20 to 29
    assert found[:15].max() == found[45:].max() == found[:, :15].max() == found[:, 45:].max() == 0
    rows, columns = np.average(np.indices(found.shape).reshape(2, -1), axis=1, weights=found.ravel())
    assert (columns, rows) == pytest.approx((24.5, 24.5), abs=0.2)


@pytest.mark.parametrize("side", [32, 64, 96, 100])
def test_what_is_spoilt_to_the_edge_is_shown_so_and_nothing_beyond_it(side: int):
    spoilt = frame(np.zeros((64, 64), np.uint8))
    everywhere = region_picture(spoilt, quality(np.ones((4, 4)), (-0.5, -0.5, 63.5, 63.5)), (side, side))
    assert everywhere.min() == 255
    part = region_picture(spoilt, quality(np.ones((4, 4)), (15.5, -0.5, 47.5, 31.5)), (side, side))
    expected = np.zeros((side, side), np.uint8)
    expected[: side // 2, side // 4 : 3 * side // 4] = 255
    np.testing.assert_array_equal(part, expected)


@settings(max_examples=30)
@given(
    x=st.integers(10, 50),
    y=st.integers(10, 50),
    order=st.sampled_from(RowOrder),
    roll_deg=st.sampled_from([None, 0.0, 15.0, -90.0, 170.0]),
)
def test_the_overlay_and_the_mask_fit_the_preview(x: int, y: int, order: RowOrder, roll_deg: float | None):
    side = 256
    pixels = np.zeros((side, side), np.uint8)
    pixels[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = 255
    level = np.zeros((64, 64))
    level[y, x] = 1.0
    spoilt = frame(pixels, order, roll_deg)
    said = quality(level, (-0.5, -0.5, side - 0.5, side - 0.5))
    shown = orient(spoilt, pixels)
    if not (shown > 128).sum() > 8:
        return  # turned out of the picture
    overlay = region_overlay(spoilt, said)
    assert overlay is not None
    alpha = picture(overlay.data)[..., 3].astype(float)
    mask = picture(region_mask_png(spoilt, said)).astype(float)
    assert mask.shape == shown.shape
    for layer in (alpha, mask):
        rows, columns = np.average(np.indices(layer.shape).reshape(2, -1), axis=1, weights=layer.ravel())
        assert (columns, rows) == pytest.approx(brightest(shown), abs=1.5)


def test_the_overlay_of_an_oblong_frame_has_the_previews_shape():
    said = quality(np.ones((4, 4)), (-0.5, -0.5, 299.5, 149.5))
    overlay = region_overlay(frame(np.zeros((150, 300), np.uint8)), said)
    assert overlay is not None
    assert (overlay.width, overlay.height) == (256, 128)


def test_nothing_spoilt_makes_no_overlay():
    assert region_overlay(frame(np.zeros((8, 8), np.uint8)), quality(np.zeros((4, 4)), (0, 0, 4, 4))) is None
