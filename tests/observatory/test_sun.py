"""The limb is found to a fraction of a pixel, and nothing is found where there is no Sun."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.frame import Pointing
from observatory.sun import (
    compare_pointing,
    disk_radius_map,
    fit_limb,
    limb_darkening,
    mu_of_radius,
)


def disk(size: int, x: float, y: float, radius: float, dtype: type = np.int16, level: float = 3000.0):
    """A limb-darkened disk with an edge one pixel wide."""
    r = disk_radius_map(size, size, x, y, radius)
    inside = np.clip((1.0 - r) * radius + 0.5, 0, 1)
    return (40 + level * inside * limb_darkening(mu_of_radius(r))).astype(dtype)


def test_a_clean_2048_disk_is_fitted_to_a_tenth_of_a_pixel():
    fit = fit_limb(disk(2048, 1020.37, 1031.81, 932.4))
    assert fit is not None
    assert abs(fit.center_x_px - 1020.37) < 0.1
    assert abs(fit.center_y_px - 1031.81) < 0.1
    assert abs(fit.radius_px - 932.4) < 0.5  # the steepest place of a darkened limb lies just inside
    assert fit.rms_px < 0.2
    assert fit.fraction_accepted > 0.95


@settings(max_examples=25)
@given(x=st.floats(230, 280), y=st.floats(230, 280), radius=st.floats(90, 220), kind=st.sampled_from("iuf"))
def test_any_disk_inside_the_frame_is_found(x: float, y: float, radius: float, kind: str):
    dtype = {"i": np.int16, "u": np.uint16, "f": np.float32}[kind]
    fit = fit_limb(disk(512, x, y, radius, dtype))
    assert fit is not None
    assert np.hypot(fit.center_x_px - x, fit.center_y_px - y) < 0.2
    assert abs(fit.radius_px - radius) < 0.7


def test_turning_the_picture_turns_the_fit():
    picture = disk(400, 190.3, 214.8, 150.2)
    first, turned = fit_limb(picture), fit_limb(np.rot90(picture).copy())
    assert first is not None and turned is not None
    # rot90 sends (x, y) to (y, width - 1 - x).
    assert turned.center_x_px == pytest.approx(first.center_y_px, abs=0.05)
    assert turned.center_y_px == pytest.approx(399 - first.center_x_px, abs=0.05)
    assert turned.radius_px == pytest.approx(first.radius_px, abs=0.05)


def test_a_disk_cut_by_the_frame_is_fitted_from_what_is_left():
    fit = fit_limb(disk(512, 330.0, 256.0, 230.0))
    assert fit is not None
    assert abs(fit.center_x_px - 330) < 0.3
    assert fit.fraction_in_frame < 0.9
    assert fit.cut_off_fraction(512, 512) == pytest.approx((330 + 230 - 511.5) / 460, abs=0.01)


def test_an_occulted_limb_and_label_boxes_do_not_pull_the_circle():
    picture = disk(1024, 505.0, 515.0, 430.0)
    picture[:, :260] = 40  # a dome's edge
    picture[-60:, :200] = 4000  # a label
    fit = fit_limb(picture)
    assert fit is not None
    assert np.hypot(fit.center_x_px - 505, fit.center_y_px - 515) < 0.3
    assert 0.4 < fit.fraction_accepted < 0.95


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((512, 512), np.int16),
        np.full((512, 512), 255, np.uint8),
        np.random.default_rng(0).normal(100, 5, (512, 512)).astype(np.float32),
        np.full((300, 300), np.nan, np.float32),
        np.linspace(0, 1000, 512 * 512).reshape(512, 512),
        np.zeros((8, 8), np.uint8),
    ],
    ids=["black", "white", "noise", "nan", "ramp", "tiny"],
)
def test_where_there_is_no_sun_none_is_found(picture: np.ndarray):
    assert fit_limb(picture) is None


def test_big_endian_colour_and_nan_pictures_are_read():
    plain = disk(512, 250.0, 260.0, 200.0)
    colour = np.stack([plain, plain // 4, np.zeros_like(plain)], axis=-1)
    holes = plain.astype(np.float64)
    holes[200:220] = np.nan
    for picture in (plain.astype(">i2"), colour, holes, plain.astype(np.int32)):
        fit = fit_limb(picture)
        assert fit is not None
        assert np.hypot(fit.center_x_px - 250, fit.center_y_px - 260) < 0.3


def test_a_wrong_header_is_not_believed_and_its_error_is_told():
    picture = disk(1024, 500.0, 520.0, 430.0)
    wrong = Pointing(700.0, 300.0, 380.0, source="header")
    fit = fit_limb(picture, wrong)
    assert fit is not None
    apart = compare_pointing(fit, wrong)
    assert apart.offset_px == pytest.approx(np.hypot(200, 220), abs=0.5)
    assert apart.offset_fraction == pytest.approx(apart.offset_px / 430, rel=0.01)
    assert apart.radius_ratio == pytest.approx(380 / 430, rel=0.01)
    assert fit.to_pointing().cdelt_arcsec == pytest.approx(959.63 / 430, rel=0.01)


def test_limb_darkening_is_one_at_the_centre_and_falls_towards_the_limb():
    mu = np.linspace(0, 1, 50)
    brightness = limb_darkening(mu)
    assert brightness[-1] == pytest.approx(1.0)
    assert np.all(np.diff(brightness) > 0)
