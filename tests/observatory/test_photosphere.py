from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.wcs import WCS

from observatory.frame import Frame, Pointing, RowOrder
from observatory.photosphere import (
    NotAPhotosphereError,
    limb_darkening,
    normalise,
    quiet_level,
    to_kilogauss,
)
from observatory.photosphere_view import DiskView, stated_pixel_arcsec, view_of

CEA_HEADER = {
    "CTYPE1": "CRLN-CEA",
    "CTYPE2": "CRLT-CEA",
    "CUNIT1": "deg",
    "CUNIT2": "deg",
    "CRPIX1": 60.5,
    "CRPIX2": 41.0,
    "CRVAL1": 34.879105,
    "CRVAL2": -21.0769,
    "CDELT1": 0.3,
    "CDELT2": 0.3,
    "CRLN_OBS": 21.725103,
    "CRLT_OBS": -6.8279,
    "RSUN_OBS": 971.67,
}


def granules(shape: tuple[int, int], contrast: float = 0.04, seed: int = 0) -> np.ndarray:
    return 1 + contrast * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def frame_of(pixels: np.ndarray, instrument: str = "hmi-continuum", **given: object) -> Frame:
    return Frame(pixels, instrument, RowOrder.BOTTOM, **given)  # type: ignore[arg-type]


def disk(side: int = 400, radius: float = 180.0, level: float = 58000.0) -> tuple[np.ndarray, Pointing]:
    """A quiet Sun with limb darkening, nothing beyond its limb."""
    pointing = Pointing(side / 2 + 3.3, side / 2 - 5.6, radius, 960.0, 180.0, "header")
    squared = DiskView(pointing).mu_squared((0, 0, side, side))
    mu = np.sqrt(np.clip(squared, 1e-4, 1))
    pixels = level * limb_darkening(mu) * granules((side, side))
    return np.where(squared > 0, pixels, np.nan).astype(np.float32), pointing


def test_limb_darkening_is_that_of_the_tables() -> None:
    """Cox 2000, Allen's Astrophysical Quantities, section 14.7, between 600 and 800 nm."""
    mu = np.array([1.0, 0.8, 0.5, 0.3, 0.2])
    u, v = 0.867, -0.229
    np.testing.assert_allclose(limb_darkening(mu), 1 - u - v + u * mu + v * mu**2, atol=0.012)


def test_a_disk_becomes_flat_in_quiet_suns() -> None:
    pixels, pointing = disk()
    made = normalise(frame_of(pixels, pointing=pointing))
    assert made.mu is not None
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.0)):
        ring = (made.mu >= low) & (made.mu < high)
        assert np.mean(made.image[ring]) == pytest.approx(1, abs=0.004)
    assert not made.data_mask[0, 0] and np.isnan(made.image[0, 0])
    assert made.level[195, 203] == pytest.approx(58000, rel=0.004)


def test_a_disk_whose_limb_darkening_was_taken_out_stays_flat() -> None:
    pixels, pointing = disk()
    mu = np.sqrt(np.clip(DiskView(pointing).mu_squared((0, 0, 400, 400)), 1e-4, 1))
    made = normalise(frame_of(pixels / limb_darkening(mu), pointing=pointing))
    assert made.mu is not None
    ring = (made.mu > 0.2) & (made.mu < 0.5)
    assert np.mean(made.image[ring]) == pytest.approx(1, abs=0.004)


def test_spots_on_the_disk_do_not_pull_the_level() -> None:
    pixels, pointing = disk()
    spotted = pixels.copy()
    spotted[150:210, 160:230] *= 0.4
    clean, dark = (normalise(frame_of(p, pointing=pointing)) for p in (pixels, spotted))
    quiet = np.s_[260:300, 180:260]
    assert np.mean(dark.image[quiet]) == pytest.approx(np.mean(clean.image[quiet]), abs=0.005)


def test_a_window_has_the_level_of_the_whole_frame() -> None:
    pixels, pointing = disk()
    frame = frame_of(pixels, pointing=pointing)
    whole, part = normalise(frame), normalise(frame, (100, 50, 171, 193))
    np.testing.assert_allclose(part.image, whole.image[50:193, 100:171], rtol=1e-6)
    np.testing.assert_allclose(part.level, whole.level[50:193, 100:171], rtol=1e-6)


@pytest.mark.parametrize("spot_share", [0.0, 0.3, 0.7])
def test_a_bare_patch_is_measured_by_its_quiet_part(spot_share: float) -> None:
    pixels = 40000 * granules((120, 120))
    rows = int(120 * spot_share)
    pixels[:rows] *= 0.75
    pixels[: rows // 3] *= 0.25
    assert quiet_level(pixels) == pytest.approx(40000, rel=0.015)


@pytest.mark.parametrize("side", [16, 24, 48])
def test_the_level_of_a_small_patch_is_its_mean(side: int) -> None:
    pixels = granules((side, side), seed=side)
    assert quiet_level(pixels) == pytest.approx(float(pixels.mean()), rel=0.01)


def test_eight_bit_pictures_and_gaps_are_understood() -> None:
    pixels = np.clip(200 * granules((90, 90)), 0, 255).astype(np.uint8)
    pixels[20:30, 20:30] = 0
    made = normalise(frame_of(pixels))
    assert np.nanmean(made.image) == pytest.approx(1, abs=0.01)
    assert np.all(np.isnan(made.image[20:30, 20:30])) and made.data_mask.sum() == 8000
    assert made.view is None and made.mu is None


def test_places_of_a_patch_in_equal_area_coordinates_are_those_of_its_wcs() -> None:
    frame = frame_of(np.ones((80, 120)), header=CEA_HEADER)
    view = view_of(frame)
    assert view is not None and view.is_equal_area
    found = view.mu_squared((0, 0, 120, 80))
    wcs_words = {k: v for k, v in CEA_HEADER.items() if not k.endswith("_OBS")}
    y, x = np.mgrid[:80, :120]
    longitude, latitude = np.radians(WCS(wcs_words).all_pix2world(x, y, 0))
    l0, b0 = np.radians((CEA_HEADER["CRLN_OBS"], CEA_HEADER["CRLT_OBS"]))
    mu = np.sin(b0) * np.sin(latitude) + np.cos(b0) * np.cos(latitude) * np.cos(longitude - l0)
    np.testing.assert_allclose(found, mu * np.abs(mu), atol=1e-5)


def test_without_the_observers_words_the_date_tells_them() -> None:
    header = {k: v for k, v in CEA_HEADER.items() if not k.endswith("_OBS")}
    dated = frame_of(np.ones((80, 120)), header=header, date_obs=datetime(2011, 2, 15, 1, 58, 12, tzinfo=UTC))
    full = frame_of(np.ones((80, 120)), header=CEA_HEADER)
    ours, theirs = view_of(dated), view_of(full)
    assert ours is not None and theirs is not None
    box = (0, 0, 120, 80)
    np.testing.assert_allclose(ours.mu_squared(box), theirs.mu_squared(box), atol=2e-3)
    assert view_of(frame_of(np.ones((80, 120)), header=header)) is None


@pytest.mark.parametrize(
    ("header", "arcsec"),
    [
        ({"CDELT1": 0.5, "CUNIT1": "arcsec"}, 0.5),
        ({"CDELT1": 0.5}, 0.5),
        ({"CDELT1": 0.03, "CUNIT1": "degree"}, 0.5025),
        ({"CDELT1": 1.4e-4, "CUNIT1": "deg"}, 0.504),
        ({}, None),
    ],
)
def test_the_scale_is_read_from_any_header(header: dict[str, object], arcsec: float | None) -> None:
    found = stated_pixel_arcsec(frame_of(np.ones((20, 20)), header=header))
    assert found == (None if arcsec is None else pytest.approx(arcsec, rel=1e-3))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("Gauss", 1e-3), ("G", 1e-3), ("Mx/cm^2", 1e-3), ("Mx cm-2", 1e-3), ("kG", 1), ("T", 10), ("mT", 0.01)],
)
def test_fields_of_any_unit_become_kilogauss(unit: str, factor: float) -> None:
    kilogauss = 0.2 * np.random.default_rng(0).standard_normal((40, 40)).astype(np.float32)
    made = to_kilogauss(frame_of(kilogauss / factor, "hmi-magnetogram", unit=unit))
    np.testing.assert_allclose(made.image, kilogauss, rtol=1e-5)
    assert made.unit_scale == pytest.approx(1 / factor)


def test_a_field_without_unit_is_taken_for_gauss_where_its_values_fit() -> None:
    field = 0.1 * np.random.default_rng(0).standard_normal((40, 40))
    made = to_kilogauss(frame_of(1000 * field, "hmi-magnetogram"))
    np.testing.assert_allclose(made.image, field, rtol=1e-5)
    with pytest.raises(NotAPhotosphereError, match="BUNIT"):
        to_kilogauss(frame_of(field, "hmi-magnetogram"))


@pytest.mark.parametrize(
    ("pixels", "unit", "words"),
    [
        (np.full((30, 30), 300.0), "DN/s", "none of a magnetic field"),
        (np.full((30, 30), 3000.0), "kG", "correct BUNIT"),
        (np.full((30, 30), 0.3), "Gauss", "correct BUNIT"),
        (np.full((30, 30), 128, np.uint8), None, "no unit"),
        (np.ones((30, 30, 3)), "Gauss", "colour"),
        (np.full((30, 30), np.nan), "Gauss", "no number"),
    ],
)
def test_what_cannot_be_a_field_is_refused(pixels: np.ndarray, unit: str | None, words: str) -> None:
    with pytest.raises(NotAPhotosphereError, match=words):
        to_kilogauss(frame_of(pixels, "hmi-magnetogram", unit=unit))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (-granules((30, 30)), "nothing above 0"),
        (granules((30, 30)) - 1, "negative"),
        (np.zeros((30, 30)), "nothing above 0"),
        (np.full((30, 30), np.nan), "nothing above 0"),
        (np.ones((30, 30, 3), np.uint8), "colour"),
    ],
)
def test_what_cannot_be_a_continuum_is_refused(pixels: np.ndarray, words: str) -> None:
    with pytest.raises(NotAPhotosphereError, match=words):
        normalise(frame_of(pixels))


def test_a_pointing_that_misses_the_frame_is_refused() -> None:
    away = Pointing(9000.0, 9000.0, 1900.0)
    with pytest.raises(NotAPhotosphereError, match="CRPIX"):
        normalise(frame_of(granules((40, 40)), pointing=away))
