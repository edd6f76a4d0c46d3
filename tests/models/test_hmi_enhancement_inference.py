from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.hmi_enhancement.domain import OutOfDomainError
from models.hmi_enhancement.inference import HmiEnhancement, quantity_of
from models.runtime import Runtime
from models.simulate.hmi import hmi_patch
from observatory.analysis import Quantity
from observatory.errors import UnusableInputError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.photosphere import limb_darkening
from observatory.photosphere_view import DiskView
from tests.models.hmi_stand_in import linear_filters, stand_ins

SHARPENING = 0.8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HmiEnhancement:
    made = HmiEnhancement(Runtime(), stand_ins(tmp_path_factory.mktemp("networks"), SHARPENING))
    made.warm_up()
    return made


@pytest.fixture(scope="module")
def granulation() -> np.ndarray:
    return hmi_patch(np.random.default_rng(1), Quantity.CONTINUUM, 150, spots=1)[0]


@pytest.fixture(scope="module")
def magnetogram() -> np.ndarray:
    return hmi_patch(np.random.default_rng(2), Quantity.FIELD, 150, spots=1, plage=0.4)[0] * 1000


def continuum(pixels: np.ndarray, **given: object) -> Frame:
    return Frame(pixels, "hmi-continuum", RowOrder.BOTTOM, **given)  # type: ignore[arg-type]


def field(pixels: np.ndarray, **given: object) -> Frame:
    return Frame(pixels, "hmi-magnetogram", RowOrder.BOTTOM, **{"unit": "Gauss", **given})  # type: ignore[arg-type]


def expected(image: np.ndarray) -> np.ndarray:
    """What the linear network makes of a picture, by OpenCV."""
    fine = np.empty((2 * image.shape[0], 2 * image.shape[1]), np.float32)
    for phase, taps in enumerate(linear_filters(SHARPENING)):
        fine[phase // 2 :: 2, phase % 2 :: 2] = cv2.filter2D(
            image, cv2.CV_32F, taps, borderType=cv2.BORDER_REFLECT_101
        )
    return fine


def small_disk(granulation: np.ndarray) -> Frame:
    """A Sun of 180 pixels radius covered with granulation, its limb blurred, light beyond it, a cropped corner."""
    side, pointing = 400, Pointing(203.3, 194.4, 180.0, 180 * 0.504, 180.0, "header")
    squared = DiskView(pointing).mu_squared((0, 0, side, side))
    cover = np.tile(granulation[:100, :100], (4, 4))
    sun = np.where(squared > 0, cover * limb_darkening(np.sqrt(np.clip(squared, 1e-4, 1))), 0.003)
    pixels = 50000 * cv2.GaussianBlur(sun.astype(np.float32), (0, 0), 0.4)
    pixels[squared < -0.15] = np.nan
    return continuum(pixels.astype(np.float32), pointing=pointing, unit="DN/s")


def test_a_patch_becomes_what_the_network_makes_of_it_in_its_own_unit(
    model: HmiEnhancement, granulation: np.ndarray
) -> None:
    made = model.enhance(continuum(30000 * granulation))
    assert made.quantity is Quantity.CONTINUUM and made.window_px == (0, 0, 150, 150)
    np.testing.assert_allclose(made.pixels, expected(30000 * granulation), rtol=1e-4)
    assert made.pixels.dtype == np.float32 and made.trust.dtype == np.float32
    assert made.trust.shape == (150, 150) and 0 <= made.trust.min() <= made.trust.max() <= 1
    assert made.model.name == "stand_in_continuum"


def test_a_field_keeps_unit_and_flux(model: HmiEnhancement, magnetogram: np.ndarray) -> None:
    made = model.enhance(field(magnetogram))
    np.testing.assert_allclose(made.pixels, expected(magnetogram), atol=0.1)
    tesla = model.enhance(field(magnetogram * 1e-4, unit="T"))
    np.testing.assert_allclose(tesla.pixels * 1e4, made.pixels, atol=0.1)
    assert made.pixels.sum() / 4 == pytest.approx(float(magnetogram.sum()), rel=0.01)


@pytest.mark.parametrize(("height", "width"), [(80, 80), (47, 150), (71, 93), (131, 97)])
def test_any_shape_from_six_thousand_pixels_on(
    model: HmiEnhancement, granulation: np.ndarray, height: int, width: int
) -> None:
    part = np.ascontiguousarray(granulation[:height, :width])
    made = model.enhance(continuum(part))
    assert made.pixels.shape == (2 * height, 2 * width)
    np.testing.assert_allclose(made.pixels, expected(part), rtol=1e-4)


def test_a_window_is_the_same_part_of_the_whole(model: HmiEnhancement, granulation: np.ndarray) -> None:
    frame = continuum(granulation)
    whole, part = model.enhance(frame), model.enhance(frame, (31, 50, 108, 99))
    assert part.window_px == (31, 50, 108, 99)
    np.testing.assert_allclose(part.pixels, whole.pixels[100:198, 62:216], rtol=1e-5)
    np.testing.assert_allclose(part.trust, whole.trust[50:99, 31:108], atol=0.04)  # of its own noise
    assert part.pixels.base is None


@pytest.mark.parametrize("window", [(0, 0, 151, 20), (-1, 0, 20, 20), (30, 30, 30, 60), (0, 0, 15, 40)])
def test_windows_that_cannot_be_are_refused(
    model: HmiEnhancement, granulation: np.ndarray, window: tuple[int, int, int, int]
) -> None:
    with pytest.raises(UnusableInputError, match=r"within the frame|too few"):
        model.enhance(continuum(granulation), window)


def test_gaps_stay_gaps_and_spoil_nothing_far_from_them(
    model: HmiEnhancement, granulation: np.ndarray
) -> None:
    lost = granulation.copy()
    lost[60:80, 50:90] = np.nan
    whole, made = model.enhance(continuum(granulation)), model.enhance(continuum(lost))
    wide = np.repeat(np.repeat(np.isnan(lost), 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(np.isnan(made.pixels), wide)
    far = cv2.dilate(wide.astype(np.uint8), np.ones((17, 17), np.uint8)) == 0
    np.testing.assert_allclose(made.pixels[far], whole.pixels[far], rtol=1e-3)
    assert made.trust[60:80, 50:90].max() == 0 and made.trust[61, 49] < 0.3
    beside = made.pixels[118, 100:180]
    assert np.abs(beside / whole.pixels[118, 100:180] - 1).max() < 0.1


def test_half_a_frame_missing_is_half_a_result(model: HmiEnhancement, granulation: np.ndarray) -> None:
    lost = granulation.copy()
    lost[75:] = np.nan
    made = model.enhance(continuum(lost))
    assert np.isnan(made.pixels[150:]).all() and np.isfinite(made.pixels[:150]).all()


def test_the_limb_is_the_frames_own_and_does_not_ring(model: HmiEnhancement, granulation: np.ndarray) -> None:
    frame = small_disk(granulation)
    made = model.enhance(frame)
    np.testing.assert_array_equal(np.isnan(made.pixels[::2, ::2]), np.isnan(frame.pixels))
    own = cv2.resize(np.nan_to_num(frame.pixels), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert frame.pointing is not None
    squared = DiskView(frame.pointing).mu_squared((0, 0, 400, 400))
    radius = np.repeat(np.repeat(np.sqrt(1 - squared), 2, axis=0), 2, axis=1)
    beyond = (radius > 1.006) & (radius < 1.05)
    np.testing.assert_allclose(made.pixels[beyond], own[beyond], atol=1.0)
    at_limb = (radius > 0.96) & (radius <= 1)
    assert made.pixels[at_limb].max() < 1.15 * own[at_limb].max()
    assert made.pixels[at_limb].min() > -100
    mu = np.sqrt(np.clip(squared, 0, None))
    assert made.trust[mu < 0.1].max() == 0
    assert made.trust[(mu > 0.1) & (mu < 0.2)].max() < 0.4
    assert made.trust[mu > 0.5].max() > 0.9


def test_limb_darkening_does_not_change_what_is_made(model: HmiEnhancement, granulation: np.ndarray) -> None:
    """Away from the limb a darkened disk is enhanced as the same granulation without darkening."""
    frame = small_disk(granulation)
    made = model.enhance(frame)
    assert frame.pointing is not None
    middle = np.s_[150:250, 150:250]
    mu = np.sqrt(DiskView(frame.pointing).mu_squared((0, 0, 400, 400))[middle])
    fine_mu = cv2.resize(mu, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    flat = expected(frame.pixels[middle] / limb_darkening(mu))
    inner = np.s_[8:-8, 8:-8]
    ratio = (made.pixels[300:500, 300:500] / limb_darkening(fine_mu) / flat)[inner]
    assert np.abs(ratio - 1).max() < 2e-3


def test_numbers_say_contrast_of_the_quiet_sun_alone(model: HmiEnhancement) -> None:
    random = np.random.default_rng(8)
    quiet = hmi_patch(random, Quantity.CONTINUUM, 150, spots=0, pores=0, plage=0)[0]
    spotted = quiet.copy()
    cv2.circle(spotted, (40, 40), 14, 0.3, -1)
    spotted = cv2.GaussianBlur(spotted, (0, 0), 0.3)
    clean, dark = (model.enhance(continuum(p)).numbers for p in (quiet, spotted))
    assert clean.contrast_before == pytest.approx(float(quiet.std() / quiet.mean()), rel=0.02)
    assert clean.contrast_after is not None and clean.contrast_before is not None
    assert clean.contrast_after > 1.1 * clean.contrast_before
    assert dark.contrast_before == pytest.approx(clean.contrast_before, rel=0.06)
    assert clean.unsigned_flux_before_mx is None


def test_numbers_say_flux_in_maxwell(model: HmiEnhancement, magnetogram: np.ndarray) -> None:
    bare = model.enhance(field(magnetogram)).numbers
    assert bare.unsigned_flux_before_mx is None and bare.contrast_before is None
    pointing = Pointing(74.5, 74.5, 959.63 / 0.504, 959.63)
    placed = model.enhance(field(magnetogram, pointing=pointing)).numbers
    pixel_cm = 0.504 * 725.0e5  # 725 km in an arcsecond at the Sun's mean distance
    assert placed.unsigned_flux_before_mx == pytest.approx(np.abs(magnetogram).sum() * pixel_cm**2, rel=0.01)
    assert placed.unsigned_flux_after_mx == pytest.approx(placed.unsigned_flux_before_mx, rel=0.3)
    foreshortened = replace(pointing, center_x_px=74.5 - 0.8 * pointing.radius_px)
    aside = model.enhance(field(magnetogram, pointing=foreshortened)).numbers
    assert aside.unsigned_flux_before_mx == pytest.approx(placed.unsigned_flux_before_mx / 0.6, rel=0.05)


def test_noise_and_residual_are_in_the_networks_unit(
    model: HmiEnhancement, granulation: np.ndarray, magnetogram: np.ndarray
) -> None:
    found = model.enhance(continuum(50000 * granulation)).numbers
    assert 1e-3 <= found.noise < 3e-3 and found.residual < 0.02
    found = model.enhance(field(magnetogram)).numbers
    assert found.noise == pytest.approx(0.0102, rel=0.2) and found.residual < 0.05
    assert 0 <= found.trusted_fraction <= 1


def test_pixels_of_another_archive_are_brought_to_hmis_and_back(
    model: HmiEnhancement, granulation: np.ndarray
) -> None:
    """Helioviewer keeps full disks at 0.6 arcsec; the picture that comes back lies where it was."""
    size = (126, 126)  # 150 pixels of 0.504 are 126 of 0.6
    pixels = cv2.resize(granulation, size, interpolation=cv2.INTER_AREA)
    made = model.enhance(continuum(pixels, header={"CDELT1": 0.6, "CDELT2": 0.6}))
    assert made.pixels.shape == (252, 252)
    own = cv2.resize(pixels, (252, 252), interpolation=cv2.INTER_CUBIC)
    shift, _ = cv2.phaseCorrelate(own.astype(np.float64), made.pixels.astype(np.float64))
    assert np.hypot(*shift) < 0.1
    assert made.pixels.mean() == pytest.approx(float(pixels.mean()), rel=0.002)
    assert made.trust.max() <= 0.75


def test_rows_from_the_top_and_whole_numbers_are_all_the_same(
    model: HmiEnhancement, granulation: np.ndarray
) -> None:
    counts = np.round(40000 * granulation)
    whole = model.enhance(continuum(counts.astype(np.int32)))
    real = model.enhance(continuum(counts.astype(">f8")))
    np.testing.assert_allclose(whole.pixels, real.pixels, rtol=1e-5)
    turned = model.enhance(replace(continuum(counts.astype(np.uint16)[::-1]), row_order=RowOrder.TOP))
    np.testing.assert_allclose(turned.pixels[::-1], whole.pixels, rtol=1e-4)


def test_the_shipped_networks_sharpen_and_keep_flux(granulation: np.ndarray, magnetogram: np.ndarray) -> None:
    shipped = HmiEnhancement(Runtime())
    made = shipped.enhance(continuum(granulation))
    numbers = made.numbers
    assert numbers.contrast_before is not None and numbers.contrast_after is not None
    assert 1.5 < numbers.contrast_after / numbers.contrast_before < 2.3
    assert numbers.residual < numbers.noise
    assert made.trust[8:-8, 8:-8].mean() > 0.98
    blocks = [cv2.resize(p, (10, 10), interpolation=cv2.INTER_AREA) for p in (granulation, made.pixels)]
    assert made.pixels.mean() == pytest.approx(float(granulation.mean()), rel=1e-3)
    assert np.abs(blocks[1] / blocks[0] - 1).mean() < 0.004
    assert np.abs(blocks[1] / blocks[0] - 1).max() < 0.02  # a spot's dark gets back what shone into it
    sharp = shipped.enhance(field(magnetogram))
    assert np.abs(sharp.pixels).max() > np.abs(magnetogram).max()
    assert np.abs(sharp.pixels.mean() - magnetogram.mean()) < 0.01 * np.abs(magnetogram).mean()
    assert sharp.trust[8:-8, 8:-8].mean() > 0.9
    assert sharp.model.name == "hmi_enhancement_field"


def test_threads_change_nothing(model: HmiEnhancement, granulation: np.ndarray, tmp_path: Path) -> None:
    networks = stand_ins(tmp_path, SHARPENING)
    small = {q: replace(d, parameters={**d.parameters, "tile_px": 40}) for q, d in networks.items()}
    several = HmiEnhancement(Runtime(), small, threads=2).enhance(continuum(granulation))
    whole = model.enhance(continuum(granulation))
    np.testing.assert_allclose(several.pixels, whole.pixels, rtol=1e-5)


@pytest.mark.parametrize(
    ("frame", "quantity"),
    [
        (Frame(np.ones((4, 4)), "hmi-continuum", RowOrder.TOP), Quantity.CONTINUUM),
        (Frame(np.ones((4, 4)), "hmi-magnetogram", RowOrder.TOP), Quantity.FIELD),
        (Frame(np.ones((4, 4)), "my-hmi", RowOrder.TOP, unit="Gauss"), Quantity.FIELD),
        (Frame(np.ones((4, 4)), "x", RowOrder.TOP, header={"CONTENT": "MAGNETOGRAM"}), Quantity.FIELD),
        (Frame(np.eye(9) - 0.5, "my-hmi", RowOrder.TOP), Quantity.FIELD),
        (Frame(np.ones((9, 9)), "my-hmi", RowOrder.TOP), Quantity.CONTINUUM),
    ],
)
def test_what_a_frame_shows_is_told_by_name_header_or_values(frame: Frame, quantity: Quantity) -> None:
    assert quantity_of(frame) is quantity


def test_what_cannot_be_a_photosphere_is_refused_as_out_of_the_domain(
    model: HmiEnhancement, granulation: np.ndarray
) -> None:
    for frame in (
        continuum(-granulation),
        continuum(np.stack(3 * [granulation], axis=-1)),
        field(granulation, unit="DN/s"),
        continuum(granulation[:10]),
        continuum(np.full((40, 40), np.nan)),
        continuum(np.full((40, 40), 7, np.int16)),
    ):
        with pytest.raises(OutOfDomainError):
            model.enhance(frame)
