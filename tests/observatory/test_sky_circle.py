"""The sky's circle is found where there is one, and nowhere else."""

from __future__ import annotations

import time

import numpy as np
import pytest

from observatory.sky_circle import find_circle


def picture(
    width: int,
    height: int,
    x: float,
    y: float,
    radius: float,
    *,
    radius_y: float | None = None,
    seed: int = 1,
) -> np.ndarray:
    """A sky with stars, a bright horizon on one side, trees on the other, letters outside, and noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    right, down = (columns - x) / radius, (rows - y) / (radius_y or radius)
    distance, angle = np.hypot(right, down), np.arctan2(down, right)
    sky = 60.0 + 40.0 * distance * (1.0 + np.cos(angle))
    sky[(random.random((height, width)) > 0.999) & (distance < 0.9)] = 250.0
    treeline = 0.97 - 0.12 * np.clip(np.cos(angle - 2.0), 0.0, 1.0) * (1.0 + np.sin(20.0 * angle)) / 2.0
    shown = np.where(distance < treeline, sky, np.where(distance < 1.0, 15.0, 4.0))
    shown[4 : 4 + height // 30, 4 : width // 4 : 3] = 255.0
    return np.clip(shown + random.normal(0.0, 3.0, shown.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "x", "y", "radius"),
    [
        (640, 480, 310.0, 236.0, 225.0),
        (256, 256, 128.0, 127.0, 122.0),
        (320, 240, 166.0, 128.0, 104.0),
        (1392, 1040, 705.0, 500.0, 525.0),  # cut off at the top
        (1000, 700, 505.0, 340.0, 480.0),  # cut off at the top and at the bottom
    ],
)
def test_circle_is_found_to_a_fortieth_of_its_radius(
    width: int, height: int, x: float, y: float, radius: float
) -> None:
    circle = find_circle(picture(width, height, x, y, radius))
    assert circle is not None
    assert circle.radius_px == pytest.approx(radius, rel=0.03)
    assert np.hypot(circle.center_x_px - x, circle.center_y_px - y) < radius / 40
    assert not circle.is_oriented
    assert circle.source == "picture"


def test_ellipse_of_an_unevenly_binned_detector_is_found() -> None:
    circle = find_circle(picture(512, 256, 262.0, 129.0, 248.0, radius_y=125.0))
    assert circle is not None
    assert circle.radius_px == pytest.approx(248.0, rel=0.03)
    assert circle.aspect == pytest.approx(125.0 / 248.0, rel=0.03)


def test_type_and_gain_of_the_pixels_do_not_move_the_circle() -> None:
    pixels = picture(400, 300, 205.0, 148.0, 140.0)
    eight_bit = find_circle(pixels)
    sixteen_bit = find_circle(pixels.astype(np.uint16) * 200 + 2000)
    real = find_circle(pixels.astype(np.float64))
    colour = find_circle(np.repeat(pixels[..., None], 3, axis=2))
    assert eight_bit is not None
    for other in (sixteen_bit, real, colour):
        assert other is not None
        assert other.radius_px == pytest.approx(eight_bit.radius_px, rel=1e-3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((480, 720, 3), np.uint8),
        np.full((256, 256), 65535, np.uint16),
        np.random.default_rng(1).normal(2000.0, 30.0, (256, 256)).astype(np.uint16),
        np.random.default_rng(2).integers(0, 12, (480, 720, 3)).astype(np.uint8),
        np.tile(np.linspace(0, 255, 640, dtype=np.uint8), (480, 1)),
        np.full((300, 400), np.nan, np.float32),
        np.zeros((8, 8), np.uint8),
    ],
    ids=["black", "white", "noise", "dark noise", "gradient", "NaN", "tiny"],
)
def test_picture_without_a_circle_has_none(pixels: np.ndarray) -> None:
    assert find_circle(pixels) is None


def test_landscape_has_no_circle() -> None:
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[0:480, 0:640]
    hills = 300 + 40 * np.sin(columns / 70.0) + 15 * np.sin(columns / 13.0)
    scene = np.where(rows > hills, 20.0, 120.0 + rows / 5.0) + random.normal(0.0, 3.0, rows.shape)
    assert find_circle(np.clip(scene, 0, 255).astype(np.uint8)) is None


def test_large_picture_takes_little_time() -> None:
    small = picture(1014, 760, 500.0, 375.0, 366.0)
    pixels = np.repeat(small.repeat(4, axis=0).repeat(4, axis=1)[..., None], 3, axis=2)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        circle = find_circle(pixels)
        seconds.append(time.process_time() - start)
    assert circle is not None
    assert circle.radius_px == pytest.approx(4 * 366.0, rel=0.03)
    assert min(seconds) < 0.05  # 8 ms on an idle core


def test_ellipse_is_told_from_a_wide_picture_of_a_round_sky() -> None:
    wide = find_circle(picture(640, 360, 320.0, 180.0, 300.0))  # cut off at the top and at the bottom
    assert wide is not None
    assert wide.aspect == 1.0
    flat = find_circle(picture(338, 180, 166.0, 91.0, 156.0, radius_y=78.0))
    assert flat is not None
    assert flat.aspect == pytest.approx(0.5, rel=0.03)
