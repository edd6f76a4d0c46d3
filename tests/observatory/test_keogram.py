"""Keograms' lines: what of a frame they hold, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from observatory.fisheye import Fisheye
from observatory.frame import Frame, RowOrder
from observatory.keogram import LINE, dark_level, slices_of

MIDDLE = (LINE - 1) // 2


def lamp(
    circle: Fisheye,
    zenith_deg: float,
    azimuth_deg: float,
    size: tuple[int, int] = (200, 240),
    dtype: type[np.generic] = np.uint8,
    order: RowOrder = RowOrder.TOP,
    full: int = 200,
) -> Frame:
    """A frame with one broad light in the named direction."""
    x, y = circle.pixel(np.array([zenith_deg]), np.array([azimuth_deg]))
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(columns - x[0], (rows - y[0]) / circle.aspect)
    pixels = np.where(distance < 8, full, full // 20).astype(dtype)
    return Frame(pixels, "allsky", order)


@pytest.mark.parametrize("up_azimuth_deg", [0.0, 90.0, 212.0])
@pytest.mark.parametrize("is_clockwise", [False, True])
@pytest.mark.parametrize("radius_y_px", [None, 60.0])
def test_the_lines_run_from_north_to_south_and_from_east_to_west(
    up_azimuth_deg: float, is_clockwise: bool, radius_y_px: float | None
) -> None:
    circle = Fisheye(
        120.0,
        95.0,
        90.0,
        radius_y_px=radius_y_px,
        up_azimuth_deg=up_azimuth_deg,
        is_clockwise=is_clockwise,
        is_oriented=True,
    )
    brightest = {}
    for side, azimuth in (("north", 0.0), ("east", 90.0), ("south", 180.0), ("west", 270.0)):
        lines = slices_of(lamp(circle, 40.0, azimuth), circle)
        assert lines.is_oriented
        line = lines.north_south if side in ("north", "south") else lines.east_west
        weight = np.clip(line[:, 0].astype(float) - 20, 0, None)
        brightest[side] = float((np.arange(LINE) * weight).sum() / weight.sum()) - MIDDLE
    assert brightest == pytest.approx({"north": -40, "east": -40, "south": 40, "west": 40}, abs=1.5)


@pytest.mark.parametrize("order", [RowOrder.TOP, RowOrder.BOTTOM])
def test_the_top_of_the_picture_stands_for_north_where_nothing_tells_it(order: RowOrder) -> None:
    circle = Fisheye(120.0, 100.0, 90.0)
    row = 60 if order is RowOrder.TOP else 140  # 40 rows above the zenith as the picture is shown
    pixels = np.full((200, 240), 10, np.uint8)
    pixels[row - 6 : row + 7, 114:127] = 200
    lines = slices_of(Frame(pixels, "allsky", order), circle)
    assert not lines.is_oriented
    assert abs(int(lines.north_south[:, 0].argmax()) - (MIDDLE - 40)) < 8


@pytest.mark.parametrize("up_azimuth_deg", [0.0, 45.0, 200.0])
@pytest.mark.parametrize(("aside", "is_seen"), [(-15.0, True), (15.0, True), (30.0, False)])
def test_a_line_is_three_degrees_wide(up_azimuth_deg: float, aside: float, is_seen: bool) -> None:
    circle = Fisheye(950.0, 950.0, 900.0, up_azimuth_deg=up_azimuth_deg, is_oriented=True)
    rows, columns = np.mgrid[:1900, :1900]
    for azimuth_deg, zenith_deg in ((0.0, 40), (90.0, 40), (0.0, 0), (90.0, 0)):
        (x,), (y,) = circle.pixel(np.array([40.0]), np.array([azimuth_deg]))
        right, down = (x - 950.0) / 400.0, (y - 950.0) / 400.0  # along the line
        x, y = 950.0 + right * 10.0 * zenith_deg, 950.0 + down * 10.0 * zenith_deg
        is_lit = np.hypot(columns - x + down * aside, rows - y - right * aside) < 4.0
        lines = slices_of(Frame(np.where(is_lit, 200, 0).astype(np.uint8), "allsky", RowOrder.TOP), circle)
        line = lines.east_west if azimuth_deg else lines.north_south
        assert line[MIDDLE - zenith_deg, 0] == (40 if is_seen else 0)  # one of five samples across


@pytest.mark.parametrize(
    ("dtype", "levels"),
    [(np.uint16, [0, 29, 90, 255]), (np.int16, [0, 31, 99, 255]), (np.float32, [0, 29, 90, 255])],
)
def test_light_above_the_dark_corners_is_shown_by_asinh_up_to_the_fullest_count(
    dtype: type[np.generic], levels: list[int]
) -> None:
    circle = Fisheye(120.0, 100.0, 90.0)
    rows, columns = np.mgrid[:200, :240]
    is_sky = np.hypot(columns - 120, rows - 100) < 90
    full = 32767 if dtype is np.int16 else 65535
    found = []
    for above, dark in ((-50, 2000), (50, 2000), (400, 2000), (full, 0)):
        pixels = np.where(is_sky, dark + above, dark).astype(dtype)
        found.append(int(slices_of(Frame(pixels, "allsky", RowOrder.TOP), circle).north_south[MIDDLE, 0]))
    assert found == levels
    assert dark_level(np.full((200, 240), 700, dtype), Fisheye(120.0, 100.0, 200.0)) == 0.0


def test_the_dark_level_is_taken_beyond_the_glow_around_the_circle() -> None:
    rows, columns = np.mgrid[:200, :200]
    distance = np.hypot(columns - 99.5, rows - 99.5)
    pixels = np.select([distance < 100, distance < 111], [9000, 5000], 100).astype(np.uint16)
    assert (
        dark_level(pixels, Fisheye(99.5, 99.5, 100.0)) == 100.0
    )  # though the glow is larger than the corners


def test_the_dark_level_is_taken_outside_of_an_oblong_circle() -> None:
    rows, columns = np.mgrid[:200, :240]
    is_sky = np.hypot((columns - 119.5) / 115, (rows - 99.5) / 50) < 1.0
    is_near = np.hypot(columns - 119.5, rows - 99.5) < 115
    pixels = np.select([is_sky, is_near], [9000, 100], 700).astype(np.uint16)
    assert dark_level(pixels, Fisheye(119.5, 99.5, 115.0, 50.0)) == 100.0


def test_counts_are_shown_on_one_scale_above_the_dark_corners() -> None:
    circle = Fisheye(120.0, 100.0, 90.0)
    rows, columns = np.mgrid[:200, :240]
    is_sky = np.hypot(columns - 120, rows - 100) < 90
    faint = Frame(np.where(is_sky, 2400, 2000).astype(np.uint16), "allsky", RowOrder.TOP)
    same = Frame(np.where(is_sky, 3400, 3000).astype(np.uint16), "allsky", RowOrder.TOP)
    bright = Frame(np.where(is_sky, 4000, 2000).astype(np.uint16), "allsky", RowOrder.TOP)
    assert dark_level(same.pixels, circle) == 3000
    levels = [int(slices_of(each, circle).north_south[MIDDLE, 0]) for each in (faint, same, bright)]
    assert levels[0] == levels[1] < levels[2] - 20


def test_a_pixel_without_a_value_changes_neither_the_dark_level_nor_the_other_points() -> None:
    circle = Fisheye(120.0, 100.0, 90.0)
    rows, columns = np.mgrid[:200, :240]
    pixels = np.where(np.hypot(columns - 120, rows - 100) < 90, 2400, 2000).astype(np.float32)
    plain = slices_of(Frame(pixels, "allsky", RowOrder.TOP), circle)
    spoilt = pixels.copy()
    spoilt[0, :3] = np.nan, np.inf, -np.inf
    spoilt[60, 120] = np.nan
    assert dark_level(spoilt, circle) == 2000.0
    found = slices_of(Frame(spoilt, "allsky", RowOrder.TOP), circle)
    assert (found.east_west == plain.east_west).all()
    assert (
        np.abs(np.flatnonzero(found.north_south[:, 0] != plain.north_south[:, 0]) - (MIDDLE - 40)).max() <= 1
    )
    assert dark_level(np.full((200, 240), np.nan, np.float32), circle) == 0.0


def test_what_the_mask_hides_is_black_and_colours_stay() -> None:
    circle = Fisheye(120.0, 100.0, 90.0, is_oriented=True)
    mask = np.ones((200, 240), bool)
    mask[:90] = False
    pixels = np.broadcast_to(np.array([10, 200, 30], np.uint8), (200, 240, 3))
    lines = slices_of(Frame(pixels, "allsky", RowOrder.TOP, sky_mask=mask), circle)
    assert lines.north_south[:70].max() == 0
    assert lines.north_south[100].tolist() == [10, 200, 30]


def test_a_line_beyond_the_lens_or_the_frame_is_black() -> None:
    circle = Fisheye(120.0, 20.0, 90.0, max_zenith_deg=80.0)
    lines = slices_of(Frame(np.full((200, 240), 99, np.uint8), "allsky", RowOrder.TOP), circle)
    assert lines.north_south[:60].max() == 0  # above row 0
    assert lines.east_west[:9].max() == 0 and lines.east_west[20, 0] == 99
