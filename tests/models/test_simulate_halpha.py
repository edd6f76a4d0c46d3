"""The simulated Sun is the same Sun each time, and every degradation tells the truth about itself."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from models.simulate.degrade import DEGRADATIONS, degrade, fractal_field
from models.simulate.halpha import HalphaSun, HalphaTelescope
from models.simulate.kso_fits import write_kso_fits
from observatory.analysis import Cause
from observatory.sun import disk_radius_map, fit_limb

MOMENT = datetime(2019, 1, 26, 13, 34, 5, 123000, tzinfo=UTC)
SMALL = HalphaTelescope(size_px=384, gradient=0.01)


@pytest.fixture(scope="module")
def sun() -> HalphaSun:
    return HalphaSun(5, 0.7, detail=256)


@pytest.fixture(scope="module")
def clean(sun: HalphaSun):
    return sun.frame(MOMENT, SMALL)


def test_equal_seeds_give_equal_frames_and_other_seeds_others(clean):
    again = HalphaSun(5, 0.7, detail=256).frame(MOMENT, SMALL)
    other = HalphaSun(6, 0.7, detail=256).frame(MOMENT, SMALL)
    assert np.array_equal(clean.pixels, again.pixels)
    assert not np.array_equal(clean.pixels, other.pixels)


def test_the_disk_is_where_the_truth_says(clean):
    fit = fit_limb(clean.pixels)
    assert fit is not None
    assert abs(fit.center_x_px - clean.pointing.center_x_px) < 0.3
    assert abs(fit.radius_px - clean.pointing.radius_px) < 1.0


def test_a_minute_later_it_is_the_same_sun_and_a_week_later_it_has_turned(sun, clean):
    def alike(days: float) -> float:
        later = sun.frame(MOMENT + timedelta(days=days), SMALL)
        inside = disk_radius_map(384, 384, 191.5, 191.5, clean.pointing.radius_px) < 0.7
        first, second = (f.clean[inside] - f.clean[inside].mean() for f in (clean, later))
        return float(np.corrcoef(first, second)[0, 1])

    assert alike(60 / 86400) > 0.999
    assert alike(7) < alike(60 / 86400) - 0.005


def test_a_fractal_field_has_the_spectrum_that_was_asked_for():
    values = fractal_field(np.random.default_rng(1), 256, 3.0)
    power = np.abs(np.fft.fft2(values)) ** 2
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256))) * 256
    rings = [power[(k > low) & (k < 1.3 * low)].mean() for low in (4, 64)]
    assert np.log(rings[0] / rings[1]) / np.log(16) == pytest.approx(3.0, abs=0.35)


@pytest.mark.parametrize("cause", list(DEGRADATIONS), ids=str)
def test_each_degradation_keeps_type_and_size_and_spoils_only_what_it_says(clean, cause: Cause):
    before = clean.pixels.copy()
    done = degrade(clean.pixels, clean.pointing, cause, np.random.default_rng(2))
    assert np.array_equal(clean.pixels, before), "the clean frame was written to"
    assert done.pixels.shape == clean.pixels.shape
    assert done.pixels.dtype == clean.pixels.dtype
    assert done.truth.cause == cause
    assert 0 < done.truth.severity <= 1.5
    assert not np.array_equal(done.pixels, clean.pixels)
    disk = disk_radius_map(384, 384, 191.5, 191.5, clean.pointing.radius_px) < 1.0
    assert not done.truth.region[~disk].any()
    if done.truth.transmission is not None:
        dimming = 1 - done.truth.transmission
        assert dimming[done.truth.region].min() >= 0.0039
        lost = clean.pixels.astype(float) - done.pixels
        assert np.median(lost[done.truth.region]) > 0


def test_a_thicker_cloud_is_more_severe(clean):
    severities = [
        degrade(clean.pixels, clean.pointing, Cause.CLOUD, np.random.default_rng(3), s).truth.severity
        for s in (0.15, 0.3, 0.6)
    ]
    assert severities == sorted(severities)


def test_degradations_are_the_same_for_the_same_seed(clean):
    first, second = (
        degrade(clean.pixels, clean.pointing, Cause.SEEING, np.random.default_rng(4)) for _ in range(2)
    )
    assert np.array_equal(first.pixels, second.pixels)


def test_kso_fits_says_what_kanzelhoehe_says_and_that_it_is_simulated(tmp_path: Path, clean):
    path = write_kso_fits(tmp_path, clean.pixels, MOMENT, clean.pointing, exposure_time_s=0.0025)
    assert path.name == "kanz_halph_fi_20190126_133405.fts.gz"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with gzip.open(path) as stream, fits.open(stream) as hdus:
        header, pixels = hdus[0].header, hdus[0].data
    assert np.array_equal(pixels, clean.pixels)
    assert header["SIMULATD"] is True
    assert header["DATE-OBS"] == "2019-01-26T13:34:05.123"
    assert header["EXP_TIME"] == pytest.approx(2.5)
    assert header["CRPIX1"] - 1 == pytest.approx(clean.pointing.center_x_px, abs=1e-3)
    assert header["SOLAR_R"] * header["CDELT1"] == pytest.approx(header["RSUN_OBS"], rel=1e-4)
