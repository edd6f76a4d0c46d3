"""All-sky frames as they are looked at: north up, east left, and smaller ones for the analysis."""

from __future__ import annotations

import numpy as np
import pytest

from observatory.fisheye import Fisheye
from observatory.frame import Frame, RowOrder
from observatory.orientation import preview_affine
from observatory.sky_view import as_seen, circle_of, for_analysis, halvings, picture_axes
from workers.products.preview import orient


@pytest.mark.parametrize("up_azimuth_deg", [0.0, 90.0, 180.0, 33.0])
@pytest.mark.parametrize("is_clockwise", [False, True])
@pytest.mark.parametrize("radius_y_px", [None, 50.0])
def test_an_oriented_frame_is_shown_north_up_and_east_left(
    up_azimuth_deg: float, is_clockwise: bool, radius_y_px: float | None
) -> None:
    circle = Fisheye(
        110.0, 95.0, 80.0, radius_y_px, up_azimuth_deg=up_azimuth_deg, is_clockwise=is_clockwise,
        is_oriented=True,
    )  # fmt: skip
    shown = Fisheye(110.0, 95.0, 80.0, radius_y_px, is_oriented=True)
    for azimuth in (10.0, 100.0, 250.0):
        x, y = circle.pixel(np.array([50.0]), np.array([azimuth]))
        rows, columns = np.mgrid[:190, :220]
        pixels = np.where(np.hypot(columns - x, rows - y) < 4, 255, 0).astype(np.uint8)
        frame = Frame(pixels, "allsky", RowOrder.TOP, fisheye=circle)
        seen = orient(frame, pixels).astype(float)
        at = float((columns * seen).sum() / seen.sum()), float((rows * seen).sum() / seen.sum())
        expected = shown.pixel(np.array([50.0]), np.array([azimuth]))
        assert at == pytest.approx((expected[0][0], expected[1][0]), abs=0.6)
        a, b, c, d, e, f = preview_affine(frame)
        share = a * x[0] + b * y[0] + c, d * x[0] + e * y[0] + f
        assert share == pytest.approx(((expected[0][0] + 0.5) / 220, (expected[1][0] + 0.5) / 190), abs=1e-3)


def test_a_frame_without_azimuths_is_shown_as_its_file_has_it() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    frame = Frame(pixels, "allsky", RowOrder.BOTTOM, fisheye=Fisheye(1.0, 1.0, 1.0))
    assert picture_axes(frame) is None
    assert (orient(frame, pixels) == pixels[::-1]).all()


def test_a_preview_at_another_size_lies_as_the_frame() -> None:
    circle = Fisheye(199.5, 149.5, 120.0, up_azimuth_deg=40.0, is_oriented=True)
    pixels = np.zeros((300, 400), np.uint8)
    pixels[60:70, 200:210] = 255
    frame = Frame(pixels, "allsky", RowOrder.TOP, fisheye=circle)
    large = orient(frame, pixels)
    small = orient(frame, pixels[::2, ::2].copy())
    places = [np.argwhere(picture > 128).mean(axis=0) for picture in (large, small)]
    assert places[1] * 2 == pytest.approx(places[0], abs=1.0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((256, 256), (256, 256)), ((1040, 1392), (520, 696)), ((3040, 4056, 3), (760, 1014, 3)),
     ((1641, 2463, 3), (410, 615, 3))],
)  # fmt: skip
def test_large_frames_are_analysed_smaller(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    circle = Fisheye(shape[1] / 2 - 0.5, shape[0] / 2 - 0.5, shape[0] / 2)
    mask = np.ones(shape[:2], bool)
    small = for_analysis(
        Frame(np.zeros(shape, np.uint8), "allsky", RowOrder.TOP, fisheye=circle, sky_mask=mask)
    )
    assert small.pixels.shape == expected
    assert small.sky_mask is not None and small.sky_mask.shape == expected[:2]
    assert small.fisheye is not None
    assert small.fisheye.radius_px == pytest.approx(expected[0] / 2, rel=0.002)
    assert small.fisheye.center_x_px == pytest.approx(expected[1] / 2 - 0.5, abs=1.0)


@pytest.mark.parametrize("width", [2463, 2465, 2466])
def test_what_is_left_out_at_an_edge_moves_no_direction(width: int) -> None:
    circle = Fisheye(1231.0, 820.0, 1200.0, up_azimuth_deg=20.0, is_oriented=True)
    rows, columns = np.mgrid[:1641, :width]
    x, y = circle.pixel(np.float64(70.0), np.float64(285.0))
    spot = 200.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 400.0)
    small = for_analysis(Frame(spot.astype(np.float32), "allsky", RowOrder.TOP, fisheye=circle))
    assert small.width == width // 4 and small.fisheye is not None
    rows, columns = np.indices(small.pixels.shape)
    seen = [float((axis * small.pixels).sum() / small.pixels.sum()) for axis in (columns, rows)]
    assert seen == pytest.approx(small.fisheye.pixel(np.float64(70.0), np.float64(285.0)), abs=0.02)


@pytest.mark.parametrize(("side", "times"), [(639, 0), (640, 1), (1279, 1), (1280, 2), (5000, 2)])
def test_a_picture_is_halved_while_it_stays_large_enough(side: int, times: int) -> None:
    assert halvings((side, side + 200)) == halvings((side + 200, side, 3)) == times


def test_the_geometry_that_is_known_goes_before_what_the_picture_shows() -> None:
    rows, columns = np.mgrid[:240, :320]
    pixels = np.where(np.hypot(columns - 160, rows - 120) < 100, 120, 4).astype(np.uint8)
    found = circle_of(Frame(pixels, "allsky", RowOrder.TOP))
    assert found is not None and found.radius_px == pytest.approx(100, abs=3)
    known = Fisheye(150.0, 120.0, 95.0, source="settings")
    assert circle_of(Frame(pixels, "allsky", RowOrder.TOP, fisheye=known)) is known
    assert circle_of(Frame(np.zeros((240, 320), np.uint8), "allsky", RowOrder.TOP)) is None


def test_a_camera_with_known_azimuths_is_seen_as_it_is() -> None:
    oriented = Fisheye(1.0, 1.0, 1.0, up_azimuth_deg=77.0, is_oriented=True)
    assert as_seen(oriented, RowOrder.BOTTOM) is oriented


def test_pictures_of_two_levels_become_black_and_white() -> None:
    pixels = np.eye(64, dtype=bool)
    plain = for_analysis(Frame(pixels, "allsky", RowOrder.TOP)).pixels
    assert plain.dtype == np.uint8 and (plain == np.where(pixels, 255, 0)).all()


@pytest.mark.parametrize("dtype", ["i4", "u4", ">u2", "f8", ">f4", "u1", "i1"])
def test_analyses_get_numbers_that_they_can_reckon_with(dtype: str) -> None:
    pixels = np.arange(64 * 64).reshape(64, 64).astype(dtype)
    plain = for_analysis(Frame(pixels, "allsky", RowOrder.TOP)).pixels
    assert plain.dtype in (np.uint8, np.int16, np.uint16, np.float32) and plain.dtype.isnative
    assert (plain == pixels).all()


def test_infinite_and_absurd_numbers_become_none() -> None:
    pixels = np.ones((64, 64))
    pixels[0, :3] = np.inf, -np.inf, 1e200
    plain = for_analysis(Frame(pixels, "allsky", RowOrder.TOP)).pixels
    assert np.isnan(plain[0, :3]).all() and np.isfinite(plain[1:]).all()
