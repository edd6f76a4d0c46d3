"""The square that the network sees: the same sky by any camera, and nothing but the sky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.aurora.preparation import CHANNELS, GRID, SIDE, geometry_of, lay_out, prepare
from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame, RowOrder

CIRCLE = Fisheye(160.0, 150.0, 140.0)
VALID = CHANNELS.index("valid")


def sky(circle: Fisheye, shape: tuple[int, int] = (300, 320), colour: bool = False) -> np.ndarray:
    """A smooth sky with a band and a bright place, as a lens shows it; 100 where nothing is seen."""
    zenith, azimuth = circle.directions(shape)
    is_seen = zenith <= circle.max_zenith_deg
    zenith = np.where(is_seen, zenith, 0.0)
    x, y = zenith * np.sin(np.radians(azimuth)), zenith * np.cos(np.radians(azimuth))
    light = 400 + 800 * np.exp(-(((y - 30) / 9) ** 2)) + 1500 * np.exp(-((x + 40) ** 2 + (y + 20) ** 2) / 200)
    found = np.where(is_seen, 100 + light, 100).astype(np.float32)
    if not colour:
        return found
    return np.stack([found, 100 + 1.6 * (found - 100), found], axis=2)


def frame(pixels: np.ndarray, **more: object) -> Frame:
    return Frame(pixels, "allsky", RowOrder.TOP, **more)  # type: ignore[arg-type]


def test_gain_offset_and_number_type_change_nothing() -> None:
    pixels = sky(CIRCLE)
    plain = prepare(frame(pixels), CIRCLE)
    louder = prepare(frame(pixels * 9.5 + 1234), CIRCLE)
    counts = prepare(frame((pixels * 20).astype(np.uint16)), CIRCLE)
    swapped = prepare(frame((pixels * 20).astype(">i4")), CIRCLE)
    for other in (louder, counts, swapped):
        # Points are measured against the noise, and this sky has none but rounding.
        apart = np.abs(np.delete(plain - other, CHANNELS.index("points"), axis=0))
        assert np.quantile(apart, 0.999) < 0.03


@pytest.mark.parametrize("projection", list(Projection))
def test_every_lens_shows_the_same_square(projection: Projection) -> None:
    other = Fisheye(250.0, 260.0, 230.0, projection=projection)
    one, two = prepare(frame(sky(CIRCLE)), CIRCLE), prepare(frame(sky(other, (520, 500))), other)
    inner = (one[VALID] > 0) & (two[VALID] > 0)
    zenith, _ = geometry_of(CIRCLE).directions((SIDE, SIDE))
    inner &= zenith < 70
    assert np.quantile(np.abs(one - two)[CHANNELS.index("brightness")][inner], 0.99) < 0.06
    # The percentiles that it is stretched between depend on how much of the rim a lens crowds together.
    stretched = CHANNELS.index("stretched")
    assert np.corrcoef(one[stretched][inner], two[stretched][inner])[0, 1] > 0.995


def test_the_ellipse_of_an_unevenly_binned_detector_becomes_a_circle() -> None:
    flat = replace(CIRCLE, radius_px=280.0, radius_y_px=140.0, center_x_px=300.0)
    one, two = prepare(frame(sky(CIRCLE)), CIRCLE), prepare(frame(sky(flat, (300, 600))), flat)
    both = (one[VALID] > 0) & (two[VALID] > 0)
    assert np.quantile(np.abs(one[1] - two[1])[both], 0.99) < 0.05


def test_grey_cameras_have_no_colour_and_green_ones_are_green() -> None:
    grey, green = (prepare(frame(sky(CIRCLE, colour=c)), CIRCLE) for c in (False, True))
    assert not grey[4:6].any()
    assert green[4][green[VALID] > 0].mean() > 0.15
    assert abs(green[5][green[VALID] > 0].mean()) < 0.01


def test_a_star_is_a_point_and_a_cloud_is_none() -> None:
    random = np.random.default_rng(2)
    pixels = sky(CIRCLE) + random.normal(0, 3, (300, 320)).astype(np.float32)
    pixels[170, 120] += 300
    points = prepare(frame(pixels), CIRCLE)[CHANNELS.index("points")]
    x, y = geometry_of(CIRCLE).pixel(*CIRCLE.direction(np.array(120.0), np.array(170.0)))
    assert (
        points[round(float(y)) - 1 : round(float(y)) + 2, round(float(x)) - 1 : round(float(x)) + 2].max()
        > 0.9
    )
    assert np.quantile(points, 0.9) < 0.3


def test_a_hot_pixel_is_no_star() -> None:
    random = np.random.default_rng(2)
    pixels = (2000 + random.normal(0, 30, (300, 320))).astype(np.uint16)
    starry = pixels.astype(np.float32)
    for y, x in ((150, 120), (180, 200), (110, 160)):
        pixels[y, x] += 9000
        rows, columns = np.mgrid[-3:4, -3:4]
        starry[y - 3 : y + 4, x - 3 : x + 4] += 9000 * np.exp(-(rows**2 + columns**2) / (2 * 0.6**2))
    points = CHANNELS.index("points")
    hot = prepare(frame(pixels), CIRCLE)[points]
    stars = prepare(frame(starry.astype(np.uint16)), CIRCLE)[points]
    inner = np.s_[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    assert (stars[inner] > 0.9).sum() >= 3
    assert (hot[inner] > 0.7).sum() == 0


def test_what_is_masked_or_no_number_is_not_valid_and_spreads_not() -> None:
    pixels = sky(CIRCLE)
    mask = np.ones(pixels.shape, bool)
    mask[:, :100] = False
    masked = prepare(frame(pixels, sky_mask=mask), CIRCLE)
    torn = pixels.copy()
    torn[100:140, 200:240] = np.nan
    with_hole = prepare(frame(torn), CIRCLE)
    assert not masked[:, SIDE // 2, :20].any()
    assert masked[VALID, SIDE // 2, SIDE // 2] == 1
    assert np.isfinite(with_hole).all()
    assert with_hole[VALID].sum() < prepare(frame(pixels), CIRCLE)[VALID].sum()


def test_cells_beyond_the_lens_are_not_valid() -> None:
    narrow = replace(CIRCLE, max_zenith_deg=45.0)
    valid = prepare(frame(sky(narrow)), narrow)[VALID]
    zenith, _ = geometry_of(narrow).directions((SIDE, SIDE))
    assert not valid[zenith > 47].any()
    assert valid[zenith < 43].all()


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_picture_of_one_level_gives_numbers(level: int) -> None:
    found = prepare(frame(np.full((300, 320, 3), level, np.uint8)), CIRCLE)
    assert np.isfinite(found).all()
    assert found[VALID].any()


@pytest.mark.parametrize(
    ("circle", "words"),
    [
        (replace(CIRCLE, center_x_px=2000.0), "outside the frame"),
        (replace(CIRCLE, radius_px=8.0), "radius of 8 pixels"),
    ],
)
def test_a_circle_that_shows_no_sky_is_refused(circle: Fisheye, words: str) -> None:
    with pytest.raises(UnusableInputError, match=words):
        prepare(frame(sky(CIRCLE)), circle)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(40, 300), st.integers(40, 300)),
    radius=st.floats(16, 400),
    center=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)),
    colour=st.booleans(),
)
def test_any_noise_stays_in_range(
    seed: int, shape: tuple[int, int], radius: float, center: tuple[float, float], colour: bool
) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 65535, (*shape, 3) if colour else shape, dtype=np.uint16)
    circle = Fisheye(center[0] * shape[1], center[1] * shape[0], radius)
    found = prepare(frame(pixels), circle)
    assert found.shape == (len(CHANNELS), SIDE, SIDE)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1


def test_cells_of_the_map_look_where_the_squares_cells_look() -> None:
    zenith, azimuth = geometry_of(CIRCLE, GRID).directions((GRID, GRID))
    fine_zenith, fine_azimuth = geometry_of(CIRCLE).directions((SIDE, SIDE))
    step = SIDE // GRID
    assert zenith[2, 5] == pytest.approx(
        fine_zenith[2 * step : 3 * step, 5 * step : 6 * step].mean(), abs=0.5
    )
    assert azimuth[2, 5] == pytest.approx(
        fine_azimuth[2 * step : 3 * step, 5 * step : 6 * step].mean(), abs=0.5
    )


def test_a_large_picture_is_averaged_not_thinned() -> None:
    random = np.random.default_rng(4)
    noisy = random.normal(1000, 200, (1200, 1200)).astype(np.float32)
    square = lay_out(noisy, Fisheye(600.0, 600.0, 590.0))
    assert square.pixels[square.is_valid].std() < 200 / 3
