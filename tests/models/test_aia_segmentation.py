"""The shipped segmentation finds what is there, in any kind of file, and nothing where nothing is looked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.aia_segmentation.data import read_frame
from models.aia_segmentation.inference import AiaSegmentation
from models.aia_segmentation.preparation import (
    BRIGHTEST,
    DARKEST,
    HALF_WIDTH_RADII,
    SIDE,
    Channel,
    Scale,
    analysis_grid,
    brightness,
    channel_of,
    planes,
    scale_of,
)
from models.registry import load
from models.runtime import Runtime
from observatory import euv
from observatory.analysis import EventType, Threshold
from observatory.errors import UnusableInputError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.settings import test_data_dir as shared_data_dir

SHARED = shared_data_dir()
needs_frames = pytest.mark.skipif(SHARED is None, reason="HELIOWATCH_TEST_DATA is not set: no real frames")
WHEN = datetime(2015, 3, 31, 18, tzinfo=UTC)


@pytest.fixture(scope="module")
def model() -> AiaSegmentation:
    return AiaSegmentation(Runtime())


def quiet_sun(seed: int = 0, side: int = 512) -> tuple[np.ndarray, Pointing]:
    """Counts of a Sun with network, one dark hole and one bright region; rows upwards."""
    random = np.random.default_rng(seed)
    axis = np.arange(side) - (side - 1) / 2
    radius_px = side * 0.39
    x, y = axis[None, :] / radius_px, axis[:, None] / radius_px
    fine = sum(
        cv2.GaussianBlur(random.normal(size=(side, side)), (0, 0), sigma) * sigma for sigma in (1.5, 3.0, 6.0)
    )
    level = 150 * np.exp(0.25 * fine)
    level *= np.where(np.hypot((x + 0.3) / 0.3, (y - 0.2) / 0.2) < 1, 0.12, 1.0)
    level *= 1 + 9 * np.exp(-(((x - 0.35) / 0.13) ** 2 + ((y + 0.25) / 0.09) ** 2))
    radius = np.hypot(x, y)
    counts = np.where(radius < 1, level, 120 * np.exp(-(radius - 1) / 0.12))
    middle = (side - 1) / 2
    return counts.astype(np.float32), Pointing(middle, middle, radius_px, roll_deg=0.0, source="header")


def as_frame(counts: np.ndarray, pointing: Pointing, channel: int = 193) -> Frame:
    return Frame(
        counts,
        f"aia-{channel}",
        RowOrder.BOTTOM,
        date_obs=WHEN,
        wavelength_nm=channel / 10,
        exposure_time_s=2.0,
        pointing=pointing,
    )


def test_the_hole_and_the_region_of_a_frame_are_found(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    holes, regions = model.analyse(as_frame(counts, pointing))
    assert (holes.event_type, regions.event_type) == (EventType.CORONAL_HOLE, EventType.ACTIVE_REGION)
    for found, (x, y) in ((holes, (-0.3, 0.2)), (regions, (0.35, -0.25))):
        largest = found.regions[0]
        offset = (np.array(largest.centroid_px) - pointing.center_x_px) / pointing.radius_px
        assert offset == pytest.approx((x, y), abs=0.06)
        assert largest.centroid_hpc_arcsec is not None
        steps = [found.disk_fraction[name] for name in Threshold]
        assert steps == sorted(steps)  # conservative, medium, liberal
        assert found.probability[~analysis_grid(SIDE).disk].max() == 0.0
    assert holes.regions[0].intensity_mean < 0.3 * regions.regions[0].intensity_mean


def test_intensities_are_per_second_where_the_exposure_is_known(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    frame = as_frame(counts, pointing)
    long = model.analyse(replace(frame, pixels=counts * 2, exposure_time_s=4.0))[0].regions[0]
    assert long.intensity_mean == pytest.approx(model.analyse(frame)[0].regions[0].intensity_mean, rel=1e-3)


def test_171_has_active_regions_alone_and_other_channels_nothing(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    (regions,) = model.analyse(as_frame(counts, pointing, 171))
    assert regions.event_type is EventType.ACTIVE_REGION
    for channel in (94, 131, 211, 304, 335, 1600):
        assert model.analyse(as_frame(counts, pointing, channel)) == ()
        assert channel_of(as_frame(counts, pointing, channel)) is None
    suvi = replace(as_frame(counts, pointing), instrument="suvi-195", wavelength_nm=19.5)
    assert len(model.analyse(suvi)) == 2


def test_exposure_and_size_do_not_change_what_is_found(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    first = model.analyse(as_frame(counts, pointing))[0]
    brighter = model.analyse(as_frame(counts * 7.3, pointing))[0]
    assert np.abs(first.probability - brighter.probability).max() < 0.02
    large = cv2.resize(counts, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    middle = (1024 - 1) / 2
    wide = replace(pointing, center_x_px=middle, center_y_px=middle, radius_px=pointing.radius_px * 2)
    second = model.analyse(as_frame(large, wide))[0]
    medium = Threshold.MEDIUM
    assert second.disk_fraction[medium] == pytest.approx(first.disk_fraction[medium], rel=0.1)
    assert second.regions[0].area_msh == pytest.approx(first.regions[0].area_msh, rel=0.1)


def test_a_turned_frame_gives_a_turned_result(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    frame = as_frame(counts, pointing)
    upright = model.analyse(frame)[0].probability >= 0.5
    turned = model.analyse(as_frame(np.ascontiguousarray(counts[::-1, ::-1]), pointing))[0].probability >= 0.5
    assert (upright & turned[::-1, ::-1]).sum() * 2 > 0.9 * (upright.sum() + turned.sum())


def test_holes_of_a_blank_disk_are_an_empty_answer(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    level = np.full_like(counts, 150.0)
    found = model.analyse(as_frame(level, pointing))
    assert [(one.event_type, one.regions) for one in found] == [
        (EventType.CORONAL_HOLE, ()),
        (EventType.ACTIVE_REGION, ()),
    ]


def test_missing_blocks_are_no_holes(model: AiaSegmentation) -> None:
    counts, pointing = quiet_sun()
    spoilt = counts.copy()
    spoilt[300:360, 200:330] = np.nan
    holes = model.analyse(as_frame(spoilt, pointing))[0]
    cells = cv2.resize(np.isnan(spoilt).astype(np.float32), (512, 512))
    x0, y0, x1, _ = holes.extent_px
    scale = SIDE / (x1 - x0)
    rows = slice(int((310 - y0) * scale), int((350 - y0) * scale))
    columns = slice(int((240 - x0) * scale), int((320 - x0) * scale))
    assert cells.any() and (holes.probability[rows, columns] > 0.5).mean() < 0.2


def test_brightness_has_one_scale_for_counts_and_pictures() -> None:
    counts, _ = quiet_sun()
    valid = np.ones((SIDE, SIDE), bool)
    small = cv2.resize(counts, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    picture = np.clip(255 * np.log10(np.maximum(small, 1) / 8) / 2.6, 0, 255).astype(np.uint8)
    from_counts, of_counts = brightness(small, valid, Channel.FE_XII, Scale.COUNTS)
    from_picture, of_picture = brightness(picture, valid, Channel.FE_XII, Scale.LOGARITHM)
    assert (of_counts, of_picture) == (False, False)
    disk = analysis_grid(SIDE).radius < 0.9
    assert np.abs(from_counts - from_picture)[disk].mean() < 0.05
    assert from_counts.min() >= DARKEST and from_counts.max() <= BRIGHTEST
    assert np.median(from_counts[disk]) == pytest.approx(0, abs=0.1)


def archived(quiet_grey: float) -> np.ndarray:
    """A picture as AIA's archives show 193, on the grid, whose quiet Sun has a grey value."""
    counts = cv2.resize(quiet_sun()[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.clip(quiet_grey + 150 * np.log10(np.maximum(counts, 1) / 150), 0, 255).astype(np.uint8)


def test_aias_pictures_keep_how_bright_the_quiet_sun_is() -> None:
    valid, disk = np.ones((SIDE, SIDE), bool), analysis_grid(SIDE).radius < 0.9
    dim, bright = (
        brightness(archived(grey), valid, Channel.FE_XII, Scale.AIA_LOGARITHM) for grey in (80, 105)
    )
    assert (dim[1], bright[1]) == (True, True)
    assert np.median((bright[0] - dim[0])[disk]) == pytest.approx(25 / 75, abs=0.02)
    assert np.median(dim[0][disk]) == pytest.approx((80 - 92) / 75, abs=0.05)
    others = [brightness(archived(grey), valid, Channel.FE_XII, Scale.LOGARITHM)[0] for grey in (80, 105)]
    assert np.median((others[1] - others[0])[disk]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("quiet_grey", [45, 160])
def test_aias_pictures_of_another_scale_have_their_own_zero(quiet_grey: int) -> None:
    valid, disk = np.ones((SIDE, SIDE), bool), analysis_grid(SIDE).radius < 0.9
    value, is_absolute = brightness(archived(quiet_grey), valid, Channel.FE_XII, Scale.AIA_LOGARITHM)
    assert not is_absolute
    assert np.median(value[disk]) == pytest.approx(0, abs=0.05)


def test_the_scale_of_a_frame_is_that_of_its_archive() -> None:
    counts, pointing = quiet_sun()
    frame = as_frame(counts, pointing)
    picture = replace(frame, pixels=archived(90))
    suvi = replace(picture, instrument="suvi-195", wavelength_nm=19.5)
    told = [scale_of(one, euv.monochrome(one), Channel.FE_XII) for one in (frame, picture, suvi)]
    assert told == [Scale.COUNTS, Scale.AIA_LOGARITHM, Scale.LOGARITHM]
    assert scale_of(picture, euv.monochrome(picture), Channel.FE_IX) is Scale.SQUARE_ROOT


def test_planes_say_the_channel() -> None:
    value = np.zeros((SIDE, SIDE), np.float32)
    assert planes(value, Channel.FE_IX)[2].min() == 1.0
    assert planes(value, Channel.FE_XII)[2].max() == 0.0
    assert planes(value, Channel.FE_IX).shape == (3, SIDE, SIDE)
    assert HALF_WIDTH_RADII > 1.0


def test_a_frame_without_a_disk_says_so(model: AiaSegmentation) -> None:
    noise = np.random.default_rng(0).normal(100, 3, (256, 256)).astype(np.float32)
    with pytest.raises(UnusableInputError):
        model.analyse(replace(as_frame(noise, Pointing(0, 0, 1)), pointing=None))


def test_the_manifest_matches_the_network(model: AiaSegmentation) -> None:
    description = load("aia_segmentation")
    assert description.parameters["event_types"] == ["CH", "AR"]
    assert model.session.input_names == ("planes",)
    for levels in model.thresholds.values():
        assert levels[Threshold.CONSERVATIVE] > levels[Threshold.MEDIUM] > levels[Threshold.LIBERAL]
    card = (description.path.parent / "card.md").read_text()
    assert "coronal_hole_masks" in card and "Limits" in card


@needs_frames
@pytest.mark.parametrize(
    ("name", "instrument", "count"),
    [
        ("aia/fits/aia_20200925T235957_171.fits", None, 1),
        ("aia/png/aia_ch_2019_09_02T06_00_00.png", "aia-193", 2),
        ("aia/png/suvi_ar_2023_10_12T18_00_09.png", "suvi-171", 1),
        ("aia/browse_20250205/latest_1024_0193.jpg", None, 2),
        ("sdo_boxes/aia_193/20110418_120019_SDO_AIA_193_512.jpg", None, 2),
    ],
)
def test_real_files_of_every_kind_have_regions(
    model: AiaSegmentation, name: str, instrument: str | None, count: int
) -> None:
    assert SHARED is not None
    found = model.analyse(read_frame(SHARED / name, instrument))
    assert len(found) == count
    assert all(one.regions for one in found)
    assert all(0 < one.disk_fraction[Threshold.MEDIUM] < 0.35 for one in found)


@needs_frames
def test_a_fits_frame_and_its_browse_picture_agree(model: AiaSegmentation) -> None:
    assert SHARED is not None
    (frame,) = model.analyse(read_frame(SHARED / "aia/fits/aia_20200925T235957_171.fits"))
    (picture,) = model.analyse(read_frame(SHARED / "aia/png/aia_ar_2020_09_25T23_59_57.png", "aia-171"))
    first, second = frame.probability >= 0.5, picture.probability[::-1] >= 0.5  # rows up, rows down
    assert 2 * (first & second).sum() > 0.8 * (first.sum() + second.sum())
    assert frame.regions[0].centroid_stonyhurst_deg == pytest.approx(
        picture.regions[0].centroid_stonyhurst_deg, abs=1.5
    )


@needs_frames
def test_where_files_lie_does_not_matter_for_reading(tmp_path: Path, model: AiaSegmentation) -> None:
    assert SHARED is not None
    source = SHARED / "aia/coronal_hole_masks/images/sdo_aia193_2015_04_18T02_39_55.png"
    copy = tmp_path / "aia193_20150418_023955.png"
    copy.write_bytes(source.read_bytes())
    assert len(model.analyse(read_frame(copy, "aia-193"))) == 2
