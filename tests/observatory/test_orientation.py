"""How frames lie in their previews: north up, and turned about the right point."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from observatory.fisheye import Fisheye
from observatory.frame import Frame, Pointing, RowOrder
from observatory.orientation import preview_affine, sky_affine, turning_point

WIDTH, HEIGHT = 300, 260
MIDDLE = (149.5, 129.5)


def disk(x: float, y: float, radius_px: float, roll_deg: float | None = None) -> Frame:
    pointing = Pointing(center_x_px=x, center_y_px=y, radius_px=radius_px, roll_deg=roll_deg)
    return Frame(np.zeros((HEIGHT, WIDTH), np.uint8), "halpha", RowOrder.BOTTOM, pointing=pointing)


def shown(frame: Frame, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the frame lies in a preview of the frame's own size, edges at whole numbers."""
    a, b, c, d, e, f = preview_affine(frame)
    return (a * x + b * y + c) * WIDTH, (d * x + e * y + f) * HEIGHT


@pytest.mark.parametrize("roll_deg", [0.0, 0.2, -7.3, 90.0, 180.0, -135.0])
def test_solar_north_of_the_header_is_up_and_west_right(roll_deg: float) -> None:
    x, y, radius = 120.0, 140.0, 100.0
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["HPLN-TAN", "HPLT-TAN"]
    wcs.wcs.cunit = ["arcsec", "arcsec"]
    wcs.wcs.crpix, wcs.wcs.cdelt, wcs.wcs.crota = [x + 1, y + 1], [9.6, 9.6], [0.0, roll_deg]
    frame = disk(x, y, radius, roll_deg)
    centre = shown(frame, x, y)
    assert centre == pytest.approx((x + 0.5, HEIGHT - y - 0.5))  # the disk's centre stays where it was
    for west, north in ((0.0, 960.0), (960.0, 0.0), (-300.0, -500.0)):
        at = wcs.wcs_world2pix([[west / 3600.0, north / 3600.0]], 0)[0]
        there = shown(frame, *at)
        moved = there[0] - centre[0], centre[1] - there[1]
        assert moved == pytest.approx((west / 9.6, north / 9.6), abs=1e-2)


def test_a_roll_of_less_than_a_fifth_of_a_degree_is_left() -> None:
    plain = preview_affine(disk(120.0, 140.0, 100.0, 0.0))
    for roll_deg in (None, 0.19, -0.19):
        assert preview_affine(disk(120.0, 140.0, 100.0, roll_deg)) == plain
    assert preview_affine(disk(120.0, 140.0, 100.0, -0.2)) != plain


@pytest.mark.parametrize(
    ("x", "y", "radius_px", "expected"),
    [
        (120.0, 140.0, 100.0, (120.0, 140.0)),
        (120.0, 140.0, 165.0, (120.0, 140.0)),  # as large as a whole disk's may be
        (120.0, 140.0, 165.1, MIDDLE),
        (0.0, 0.0, 100.0, (0.0, 0.0)),
        (299.9, 259.9, 100.0, (299.9, 259.9)),
        (-0.1, 140.0, 100.0, MIDDLE),
        (120.0, -0.1, 100.0, MIDDLE),
        (300.0, 140.0, 100.0, MIDDLE),
        (120.0, 260.0, 100.0, MIDDLE),
    ],
)
def test_a_frame_turns_about_its_disk_and_a_cut_out_about_its_middle(
    x: float, y: float, radius_px: float, expected: tuple[float, float]
) -> None:
    assert turning_point(disk(x, y, radius_px)) == expected
    assert shown(disk(x, y, radius_px, 30.0), *expected) == pytest.approx(
        (expected[0] + 0.5, HEIGHT - expected[1] - 0.5)
    )


def test_a_frame_that_tells_nothing_turns_about_its_middle() -> None:
    assert turning_point(Frame(np.zeros((HEIGHT, WIDTH), np.uint8), "halpha", RowOrder.BOTTOM)) == MIDDLE


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
def test_the_zenith_stays_where_it_is_at_any_size(scale: float) -> None:
    lens = Fisheye(130.0, 110.0, 90.0, 60.0, up_azimuth_deg=70.0, is_clockwise=True, is_oriented=True)
    frame = Frame(np.zeros((HEIGHT, WIDTH), np.uint8), "allsky", RowOrder.TOP, fisheye=lens)
    affine = sky_affine(frame, scale)
    assert affine is not None
    small = lens.scaled(scale)
    for zenith, azimuth in ((0.0, 0.0), (45.0, 0.0), (45.0, 90.0)):
        x, y = small.pixel(np.float64(zenith), np.float64(azimuth))
        found = [a * x + b * y + c for a, b, c in affine]
        up, left = zenith / 90.0 * np.cos(np.radians(azimuth)), zenith / 90.0 * np.sin(np.radians(azimuth))
        expected = small.center_x_px - 90.0 * scale * left, small.center_y_px - 60.0 * scale * up
        assert found == pytest.approx(expected)
