"""Before and after: the same place at the same size and stretch, turned as previews are, where there is much to see."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from observatory.analysis import Quantity
from observatory.frame import Frame, Pointing, RowOrder
from observatory.orientation import preview_affine
from tests.workers.enhancements import enhancement_of, frame_of, granules
from workers.products.compare import SIDE_PX, Comparison, compare
from workers.products.preview import orient, preview_pixels

ROLLS = [None, 0.0, 179.93, -180.0]


def compared(frame: Frame, *window: tuple[int, int, int, int], **more: object) -> Comparison:
    return compare(frame, enhancement_of(frame, *window, **more))


def pointed(size: int, roll_deg: float | None) -> Pointing | None:
    middle = (size - 1) / 2
    return None if roll_deg is None else Pointing(middle, middle, 0.45 * size, 960.0, roll_deg, "header")


@pytest.mark.parametrize("order", RowOrder)
@pytest.mark.parametrize("roll_deg", ROLLS)
def test_both_show_the_same_place_without_a_shift(order: RowOrder, roll_deg: float | None):
    frame = frame_of(granules(96, 96), row_order=order, pointing=pointed(96, roll_deg))
    shown = compared(frame)
    assert shown.before.shape == shown.after.shape
    difference = np.abs(shown.before.astype(int) - shown.after)[16:-16, 16:-16]
    assert difference.mean() < 2 and difference.max() < 30  # of 255: a cubic of a cubic
    shifted = np.abs(shown.before[16:-16, 16:-16].astype(int) - shown.after[16:-16, 18:-14])
    assert shifted.mean() > 4 * difference.mean()


@pytest.mark.parametrize("order", RowOrder)
@pytest.mark.parametrize("roll_deg", [*ROLLS, 30.0])
def test_they_are_turned_as_the_preview_is(order: RowOrder, roll_deg: float | None):
    frame = frame_of(granules(96, 96), row_order=order, pointing=pointed(96, roll_deg))
    before = compared(frame).before
    shrunk = np.asarray(Image.fromarray(before).resize((96, 96), Image.Resampling.BOX), float)[24:72, 24:72]
    wanted = preview_pixels(frame).astype(float)[24:72, 24:72]
    assert np.corrcoef(shrunk.ravel(), wanted.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("roll_deg", [179.93, 30.0])
def test_a_cut_out_beside_the_disks_centre_is_turned_within_its_own_field(roll_deg: float):
    beside = Pointing(-800.0, 1500.0, 1900.0, 960.0, roll_deg, "header")
    frame = frame_of(granules(96, 96), pointing=beside)
    shown = preview_pixels(frame).astype(float)[24:72, 24:72]
    shrunk = Image.fromarray(compared(frame).before).resize((96, 96), Image.Resampling.BOX)
    assert np.corrcoef(np.asarray(shrunk, float)[24:72, 24:72].ravel(), shown.ravel())[0, 1] > 0.95
    a, b, c, d, e, f = preview_affine(frame)
    assert (47.5 * (a + b) + c, 47.5 * (d + e) + f) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("size", [(20, 16), (200, 200), (377, 744), (1100, 1100)])
def test_pictures_fit_a_screen_and_stand_side_by_side(size: tuple[int, int]):
    both, before, after = compared(frame_of(granules(*size))).pictures
    assert (both.kind, before.kind, after.kind) == ("compare", "compare-before", "compare-after")
    assert (before.width, before.height) == (after.width, after.height)
    assert both.width <= 2048 and max(before.width, before.height) <= SIDE_PX
    assert both.width == 2 * before.width and both.height == before.height
    for picture in (both, before, after):
        assert Image.open(io.BytesIO(picture.data)).size == (picture.width, picture.height)


def spotted(size: int, x: int, y: int) -> np.ndarray:
    """Quiet Sun with limb darkening and a spot; nothing beyond the limb."""
    along = (np.arange(size) - (size - 1) / 2) / (0.45 * size)
    off = np.hypot(along[None, :], along[:, None])
    pixels = granules(size, size) * (0.4 + 0.6 * np.sqrt(np.clip(1 - off**2, 0, 1))).astype(np.float32)
    pixels[np.hypot(*(np.mgrid[:size, :size] - np.array([y, x])[:, None, None])) < 14] *= 0.3
    pixels[off > 1] = np.nan
    return pixels


@pytest.mark.parametrize(("x", "y"), [(1000, 1100), (700, 600), (1250, 1100)])
@pytest.mark.parametrize("order", RowOrder)
def test_of_a_disk_the_place_with_the_spot_is_shown(x: int, y: int, order: RowOrder):
    frame = frame_of(spotted(1600, x, y), row_order=order, pointing=pointed(1600, 179.93))
    x0, y0, x1, y1 = compared(frame).window_px
    assert x0 + 30 < x < x1 - 30 and y0 + 30 < y < y1 - 30
    assert (x1 - x0, y1 - y0) == (SIDE_PX // 2, SIDE_PX // 2)


def test_of_a_quiet_disk_the_middle_is_shown():
    frame = frame_of(spotted(1600, 5000, 5000), pointing=pointed(1600, 0.0))
    x0, y0, x1, y1 = compared(frame).window_px
    assert (x0 + x1) / 2 == pytest.approx(800, abs=2) and (y0 + y1) / 2 == pytest.approx(800, abs=2)


def test_of_a_field_the_strongest_place_is_shown_grey_where_there_is_none():
    gauss = np.random.default_rng(1).normal(0, 8, (1200, 1200)).astype(np.float32)
    gauss[300:330, 820:850], gauss[300:330, 860:890] = 1200.0, -1200.0
    frame = frame_of(gauss, instrument="hmi-magnetogram", unit="Gauss")
    shown = compared(frame, quantity=Quantity.FIELD)
    x0, y0, x1, y1 = shown.window_px
    assert x0 < 820 and x1 > 890 and y0 < 300 and y1 > 330
    assert np.median(shown.after) == pytest.approx(128, abs=3)
    assert shown.after.max() == 255 and shown.after.min() == 0


def test_pixels_of_the_result_are_shown_as_they_are():
    pixels = granules(1300, 1300)
    frame = frame_of(pixels)
    made = enhancement_of(frame)
    shown = compare(frame, made)
    x0, y0, x1, y1 = shown.window_px
    part = made.pixels[2 * y0 : 2 * y1, 2 * x0 : 2 * x1][::-1]
    assert np.corrcoef(part.ravel(), shown.after.ravel().astype(float))[0, 1] > 0.999


def test_a_window_of_a_frame_is_shown_alone():
    frame = frame_of(granules(400, 400))
    shown = compared(frame, (100, 60, 160, 100))
    assert shown.window_px == (100, 60, 160, 100)
    assert shown.before.shape == (320, 480)
    difference = np.abs(shown.before.astype(int) - shown.after)[32:-32, 32:-32]
    assert difference.mean() < 2


def test_no_data_is_black_and_harms_nothing():
    pixels = granules(96, 96)
    pixels[:40] = np.nan
    shown = compared(frame_of(pixels))
    lower = shown.before[-120:]
    assert lower.max() <= 60
    assert shown.before[:200].std() > 10


def test_the_stretch_is_that_of_both():
    frame = frame_of(granules(96, 96))
    plain = enhancement_of(frame)
    louder = plain.pixels.mean() + 2 * (plain.pixels - plain.pixels.mean())
    shown = compare(frame, type(plain)(**{**vars(plain), "pixels": louder}))
    assert shown.after.std() == pytest.approx(2 * shown.before.std(), rel=0.15)
    assert shown.after.mean() == pytest.approx(shown.before.mean(), abs=4)


def test_a_picture_of_bytes_is_compared_too():
    frame = frame_of((granules(96, 96) / 300).astype(np.uint8), row_order=RowOrder.TOP)
    shown = compared(frame)
    shrunk = np.asarray(Image.fromarray(shown.before).resize((96, 96), Image.Resampling.BOX), float)
    assert np.corrcoef(shrunk.ravel(), orient(frame, frame.pixels).ravel())[0, 1] > 0.94
