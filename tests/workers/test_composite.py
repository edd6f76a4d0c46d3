"""Composites: the channels lie on one another, and the colours are the published ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import aiapy
import cv2
import numpy as np
import pytest
from astropy.utils import iers
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.instruments import Limits, read_file
from observatory.settings import CompositeSettings, LookSettings
from workers.products.composite import (
    Channel,
    Levels,
    channel_of,
    compose,
    encoded,
    in_sizes,
    levels_of,
    marked,
    missing_channels,
)
from workers.products.sun_view import Crop, Resampler, SunView

LOOK = LookSettings()
PLAIN = LookSettings(
    gamma=(1, 1, 1), mixing=((1, 0, 0), (0, 1, 0), (0, 0, 1)), stretch=0, lab_gains=(1, 1, 1)
)
LIMITS = Limits(1 << 28, 1 << 28, 1 << 26, 10)
NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)
RSUN = 959.63


def spot(size: int, x: float, y: float, width: float = 3.0) -> np.ndarray:
    along = np.arange(size)
    return (1000 * np.exp(-((along - x)[None, :] ** 2 + (along - y)[:, None] ** 2) / (2 * width**2))).astype(
        np.float32
    )


def spot_at(tx: float, ty: float, size: int, pointing: Pointing, order: RowOrder) -> np.ndarray:
    """A frame whose one bright point lies at a helioprojective position."""
    angle = np.deg2rad(pointing.roll_deg or 0)
    scale = pointing.cdelt_arcsec
    x = pointing.center_x_px + (np.cos(angle) * tx + np.sin(angle) * ty) / scale
    up = (-np.sin(angle) * tx + np.cos(angle) * ty) / scale
    y = pointing.center_y_px + (up if order is RowOrder.BOTTOM else -up)
    return spot(size, x, y)


def centroid(plane: np.ndarray) -> tuple[float, float]:
    weight = np.clip(plane.astype(float), 0, None)
    rows, columns = np.indices(plane.shape)
    return float((weight * columns).sum() / weight.sum()), float((weight * rows).sum() / weight.sum())


def channel(name: str, pixels: np.ndarray, **more) -> Channel:
    size = pixels.shape[0]
    pointing = Pointing((size - 1) / 2, (size - 1) / 2, 0.39 * size, RSUN, 0.0)
    values = {"is_valid": None, "is_picture": False, "pointing": pointing, "row_order": RowOrder.TOP} | more
    return Channel(name, pixels, **values)


def three(size: int = 128, seed: int = 0, **more) -> list[Channel]:
    random = np.random.default_rng(seed)
    smooth = [cv2.GaussianBlur(random.gamma(1.0, 300, (size, size)), (0, 0), 2) for _ in range(3)]
    return [
        channel(name, plane.astype(np.float32), **more)
        for name, plane in zip(LOOK.channels, smooth, strict=True)
    ]


def test_a_channel_that_the_look_does_not_have_is_refused_by_name():
    with pytest.raises(UnusableInputError, match="aia-131 is no channel of the look"):
        levels_of([channel("aia-131", spot(64, 32, 32))], LOOK)


@settings(max_examples=40)
@given(
    st.floats(-180, 180),
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.floats(60, 95),
    st.sampled_from(list(RowOrder)),
    st.sampled_from([96, 200, 333, 512]),
)
def test_every_frame_lands_north_up_and_recentred_whatever_its_pointing(
    roll: float, dx: float, dy: float, radius: float, order: RowOrder, side: int
):
    pointing = Pointing(100 + dx, 99 + dy, radius, RSUN, roll)
    view = SunView.full(side)
    tx, ty = 310.0, -520.0
    plane = Resampler.of(spot_at(tx, ty, 200, pointing, order), pointing, order, view).rows(0, side)
    x, y = centroid(plane)
    assert x == pytest.approx((side - 1) / 2 + tx / view.cdelt_arcsec, abs=0.1)
    assert y == pytest.approx((side - 1) / 2 - ty / view.cdelt_arcsec, abs=0.1)


@given(st.floats(-180, 180), st.sampled_from(list(RowOrder)), st.floats(0, 199), st.floats(0, 199))
def test_points_of_a_frame_lie_where_its_pixels_do(roll: float, order: RowOrder, x: float, y: float):
    pointing, view = Pointing(97, 103, 80, RSUN, roll), SunView.full(300)
    there = view.points(np.array([[x, y]]), pointing, order)[0]
    matrix = view.from_frame(pointing, order)
    assert matrix @ np.array([*there, 1.0]) == pytest.approx([x, y], abs=1e-6)


def test_the_interpolation_is_cubic_indeed():
    """A wave shifted by half a pixel: a linear kernel loses a third of it."""
    size = 256
    wave = np.tile(np.sin(np.arange(size) * 2 * np.pi / 5), (size, 1)).astype(np.float32)
    pointing = Pointing(127.5, 127.5, 100, RSUN, 0.0)
    view = SunView(size, size, pointing.cdelt_arcsec, center_x_arcsec=0.5 * pointing.cdelt_arcsec)
    got = Resampler.of(wave, pointing, RowOrder.TOP, view).rows(0, size)
    true = np.sin((np.arange(size) + 0.5) * 2 * np.pi / 5)
    error = np.abs(got[100, 8:-8] - true[8:-8]).max()
    linear = np.abs((wave[100, 8:-8] + wave[100, 9:-7]) / 2 - true[8:-8]).max()
    assert error < linear / 3


def test_a_smaller_picture_is_averaged_and_not_picked():
    noise = np.random.default_rng(0).normal(100, 20, (1024, 1024)).astype(np.float32)
    pointing = Pointing(511.5, 511.5, 400, RSUN, 0.0)
    view = SunView(64, 64, 16 * pointing.cdelt_arcsec)
    small = Resampler.of(noise, pointing, RowOrder.TOP, view).rows(4, 60)[:, 4:-4]
    assert small.std() < 2.5
    assert small.mean() == pytest.approx(100, abs=0.5)


def published(planes: list[np.ndarray], levels: Levels, look: LookSettings) -> np.ndarray:
    """The method step by step in floating point, as its description has it."""
    scaled = []
    for plane, name, gamma in zip(planes, look.channels, look.gamma, strict=True):
        low, high = levels.of[name]
        scaled.append(np.clip((plane.astype(float) - low) / (high - low), 0, 1) ** (1 / gamma))
    mixed = np.clip(np.stack(scaled, -1) @ np.array(look.mixing).T, 0, 1) * 255
    stretched = np.clip((mixed - look.stretch) * 255 / (255 - look.stretch), 0, 255)
    lab = cv2.cvtColor((stretched / 255).astype(np.float32), cv2.COLOR_RGB2Lab)
    lab = (lab * [255 / 100, 1, 1] + [0, 128, 128]) * look.lab_gains
    lab = ((np.clip(lab, 0, 255) - [0, 128, 128]) * [100 / 255, 1, 1]).astype(np.float32)
    return cv2.cvtColor(lab, cv2.COLOR_Lab2RGB) * 255


def test_the_colours_are_those_of_the_published_method():
    channels = three()
    levels = levels_of(channels, LOOK)
    pointing = channels[0].pointing
    got = compose(channels, LOOK, levels, SunView(128, 128, pointing.cdelt_arcsec))
    wanted = published([item.pixels for item in channels], levels, LOOK)
    apart = np.abs(got - wanted)
    assert np.percentile(apart, 99) <= 5  # CIELab at 8 bits
    assert apart.mean() < 1.5


def test_levels_are_percentiles_of_what_was_measured_in_counts_a_second():
    plane = np.arange(256 * 256, dtype=np.float32).reshape(256, 256)
    valid = np.zeros((256, 256), bool)
    valid[:128] = True
    one = channel("aia-304", plane, is_valid=valid, gain=0.5)
    low, high = levels_of([one], LOOK).of["aia-304"]
    assert low == pytest.approx(0.25 * 128 * 256 / 2, rel=1e-3)
    assert high == pytest.approx(0.995 * 128 * 256 / 2, rel=1e-3)


def test_frames_of_other_exposures_look_alike():
    channels = three()
    levels = levels_of(channels, LOOK)
    longer = [
        channel(item.name, item.pixels * 4, gain=item.gain / 4, pointing=item.pointing) for item in channels
    ]
    view = SunView.full(100)
    assert (
        np.abs(compose(channels, LOOK, levels, view).astype(int) - compose(longer, LOOK, levels, view)).max()
        <= 1
    )


def test_kept_levels_keep_the_brightness_of_a_film():
    channels = three()
    levels = levels_of(channels, PLAIN)
    brighter = [channel(item.name, item.pixels * 1.3) for item in channels]
    view = SunView.full(64)
    assert compose(brighter, PLAIN, levels, view).mean() > compose(channels, PLAIN, levels, view).mean() * 1.1
    assert levels.filled(brighter, PLAIN) == levels


def test_fixed_levels_of_a_look_are_used_for_counts_only():
    look = LookSettings(levels=((1, 2), (3, 4), (5, 6)))
    assert levels_of(three(), look).of["aia-171"] == (3, 4)
    pictures = three(is_picture=True)
    assert levels_of(pictures, look).of["aia-171 picture"] != (3, 4)


def test_a_missing_channel_stays_dark_and_is_named_on_the_picture():
    channels = [item for item in three() if item.name != "aia-171"]
    levels = levels_of(channels, PLAIN)
    picture = compose(channels, PLAIN, levels, SunView.full(400))
    assert picture[..., 1].max() == 0
    assert picture[..., 0].max() > 100
    assert missing_channels(channels, PLAIN) == ("aia-171",)
    said = marked(picture, ("aia-171",))
    changed = np.argwhere((said != picture).any(-1))
    assert len(changed) > 100
    assert changed[:, 0].min() > 350  # the lowest rows alone
    assert marked(picture, ()) is picture


def test_nan_and_what_lies_beyond_the_frame_are_black():
    pixels = np.full((128, 128), 500, np.float32)
    pixels[::2, ::3] = 900
    pixels[40:60, 40:60] = np.nan
    frame = Frame(
        pixels,
        "aia-171",
        RowOrder.TOP,
        date_obs=NOON,
        exposure_time_s=2.0,
        pointing=Pointing(63.5, 63.5, 60, RSUN, 0.0),
    )
    one = channel_of(frame)
    picture = compose([one], PLAIN, Levels({"aia-171": (0, 500)}), SunView.full(128))
    assert picture[0, 0].max() == 0
    assert picture[55, 55].max() == 0
    assert picture[80, 80, 1] > 100


def test_one_brightness_everywhere_and_no_channel_at_all_are_refused():
    with pytest.raises(UnusableInputError, match="one brightness"):
        levels_of([channel("aia-304", np.full((64, 64), 7, np.int16))], LOOK)
    with pytest.raises(UnusableInputError, match="no pixel"):
        levels_of([channel("aia-304", np.ones((64, 64), np.int16), is_valid=np.zeros((64, 64), bool))], LOOK)
    with pytest.raises(UnusableInputError, match="at least one channel"):
        compose([], LOOK, Levels({}), SunView.full(64))


def test_bands_and_threads_leave_no_seam():
    channels = three(300)
    channels = [
        channel(item.name, item.pixels, pointing=Pointing(151.3, 148.2, 117, RSUN, 33.0)) for item in channels
    ]
    levels = levels_of(channels, LOOK)
    view = SunView.full(700)
    one = compose(channels, LOOK, levels, view)
    assert np.array_equal(one, compose(channels, LOOK, levels, view, threads=3))
    painter = Resampler.of(channels[0].pixels, channels[0].pointing, RowOrder.TOP, view)
    whole = painter.rows(0, 700)
    pieces = np.concatenate([painter.rows(start, start + 70) for start in range(0, 700, 70)])
    assert np.abs(whole - pieces).max() < 0.02 * whole.std()


def test_a_crop_shows_the_same_sun_larger():
    channels = three(400)
    levels = levels_of(channels, LOOK)
    view = SunView.full(400)
    part = view.cropped(Crop(300, -200, 614.4, 614.4))
    assert (part.width_px, part.height_px) == (400, 400)
    assert part.cdelt_arcsec == pytest.approx(614.4 / 400)
    scale = view.cdelt_arcsec
    cut = compose(channels, LOOK, levels, SunView(100, 100, scale, 48 * scale, -32 * scale))
    whole = compose(channels, LOOK, levels, view)
    assert np.abs(cut.astype(int) - whole[182:282, 198:298]).mean() < 0.5


def test_a_crop_in_pixels_is_the_same_part_in_arcseconds():
    view = SunView.full(1024)
    by_pixels = view.cropped(Crop.parse("611.5,411.5,300,200px"))
    by_arcsec = view.cropped(Crop.parse("240,240,720,480"))
    assert by_pixels == by_arcsec
    assert (by_pixels.width_px, by_pixels.height_px) == (1536, 1024)


@pytest.mark.parametrize(
    "word", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,0,0,100", "0,0,-5,5px", "nan,0,1,1"]
)
def test_a_crop_that_is_none_is_said(word: str):
    with pytest.raises(SettingsError, match="crop"):
        Crop.parse(word)


def test_a_crop_that_shows_nothing_of_the_frame_is_said():
    pointing = Pointing(99.5, 99.5, 80, RSUN, 180.0)
    plane = np.ones((200, 200), np.float32)
    for word in ("5000,0,300,300", "0,-3000,300,300"):
        view = SunView.full(128).cropped(Crop.parse(word))
        with pytest.raises(UnusableInputError, match="take another crop"):
            Resampler.of(plane, pointing, RowOrder.TOP, view)
    edge = SunView.full(128).cropped(Crop.parse("1200,0,300,300"))
    assert Resampler.of(plane, pointing, RowOrder.TOP, edge).rows(0, 128).max() > 0


def test_a_crop_too_long_for_its_size_is_said():
    with pytest.raises(SettingsError, match="take another size"):
        SunView.full(4096).cropped(Crop(0, 0, 2000, 10))


def test_every_size_from_256_to_4096_can_be_made():
    channels = three(256)
    levels = levels_of(channels, LOOK)
    for side in (256, 1000, 4096):
        assert compose(channels, LOOK, levels, SunView.full(side)).shape == (side, side, 3)
    made = dict(in_sizes(compose(channels, LOOK, levels, SunView.full(512)), [256, 512]))
    assert {side: picture.shape for side, picture in made.items()} == {512: (512, 512, 3), 256: (256, 256, 3)}


def test_counts_without_an_exposure_time_are_refused():
    frame = Frame(
        np.ones((64, 64), np.int16), "aia-171", RowOrder.BOTTOM, pointing=Pointing(31, 31, 25, RSUN, 0.0)
    )
    with pytest.raises(UnusableInputError, match="EXPTIME"):
        channel_of(frame)


@pytest.fixture
def correction_table() -> Path:
    table = Path(aiapy.__file__).parent / "tests/data/aia_V8_20171210_050627_response_table.txt"
    if not table.is_file():
        pytest.skip("this aiapy ships no correction table")
    return table


def faded_frame() -> Frame:
    return Frame(
        np.ones((64, 64), np.int16),
        "aia-304",
        RowOrder.BOTTOM,
        date_obs=datetime(2016, 1, 1, tzinfo=UTC),
        wavelength_nm=30.4,
        exposure_time_s=2.0,
        pointing=Pointing(31, 31, 25, RSUN, 0.0),
    )


def test_the_loss_of_sensitivity_is_made_good_where_a_table_is_at_hand(correction_table: Path):
    frame = faded_frame()
    as_it_is, corrected = channel_of(frame), channel_of(frame, degradation_table=correction_table)
    assert as_it_is.gain == 0.5
    assert corrected.gain > 5 * as_it_is.gain  # 304 had lost nine tenths by then
    with pytest.raises(SettingsError, match="degradation_table"):
        channel_of(frame, degradation_table=Path("/nowhere/table.txt"))


def test_the_loss_of_sensitivity_asks_nothing_of_the_internet(
    correction_table: Path, monkeypatch: pytest.MonkeyPatch
):
    may_ask: list[bool] = []
    monkeypatch.setattr(
        "aiapy.calibrate.degradation", lambda *_, **__: may_ask.append(iers.conf.auto_download) or [0.5]
    )
    channel_of(faded_frame(), degradation_table=correction_table)
    assert may_ask == [False]


def test_coloured_browse_pictures_make_a_composite(real_frames: Path):
    folder = real_frames / "aia/browse_20250205"
    channels = [
        channel_of(read_file(folder / f"latest_1024_{number:04d}.jpg", LIMITS).frame())
        for number in (171, 304, 193)
    ]
    assert all(item.is_picture for item in channels)
    picture = compose(channels, LOOK, levels_of(channels, LOOK), SunView.full(512))
    hole, corona = picture[180:250, 160:215].mean((0, 1)), picture[10:30, 250:270].mean()
    assert hole[0] > 2 * hole[2]  # no 193 in the coronal hole: it is rust-red
    assert corona < 30
    assert picture[150:300, 250:400].mean() > 80
    assert encoded(picture, "composite-512").width == 512


def test_a_look_that_cannot_be_is_said():
    for wrong in (
        {"channels": ("aia-304", "aia-171", "aia-17")},
        {"channels": ("aia-304", "aia-171", "aia-171")},
        {"gamma": (0, 1, 1)},
        {"percentiles_low": (99.9, 0, 0)},
        {"levels": ((2, 1), (1, 2), (1, 2))},
    ):
        with pytest.raises(ValueError, match=r"known|different|gamma|low"):
            LookSettings(**wrong)
    with pytest.raises(ValueError, match="no look is named"):
        CompositeSettings(live=["mine"])
    assert CompositeSettings(looks={"mine": LOOK}, live=["mine"]).all_looks["aia"] == LOOK
