"""The telescope's point spread function, degrading a truth and degrading a result again."""

from __future__ import annotations

import numpy as np
import pytest

from models.hmi_enhancement import psf as optics
from models.hmi_enhancement.psf import AUTHORS, HMI_PX_ARCSEC, KM_PER_ARCSEC, PSFS, TARGET_PX_ARCSEC, WACHTER


def waves(side: int, seed: int = 0, smallest_px: float = 12.0) -> np.ndarray:
    """A picture around 1 without structure below a wavelength, in pixels."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    spectrum = np.fft.fft2(random.normal(size=(side, side))) * (frequency < 1 / smallest_px)
    picture = np.fft.ifft2(spectrum).real
    return 1 + 0.1 * picture / picture.std()


@pytest.mark.parametrize("name", sorted(PSFS))
def test_the_kernel_is_the_published_formula_and_keeps_flux(name: str) -> None:
    psf = PSFS[name]
    kernel = psf.kernel(0.05)
    half = kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1)
    r = np.pi * 0.14 * (10 * 0.05 / 206264.806) / 617.33e-9
    height = 0.9 * np.exp(-((r / psf.omega) ** 2)) + 0.1 / (1 + (r / psf.w) ** 3)
    assert kernel[half, half + 10] / kernel[half, half] == pytest.approx(height)
    np.testing.assert_allclose(kernel, kernel.T)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])


def test_a_kernel_on_a_coarse_grid_integrates_the_core_as_a_fine_one_does() -> None:
    coarse = WACHTER.kernel(TARGET_PX_ARCSEC, HMI_PX_ARCSEC)
    fine = WACHTER.kernel(TARGET_PX_ARCSEC / 5, HMI_PX_ARCSEC)
    middle, inner = coarse.shape[0] // 2, fine.shape[0] // 2
    at_steps = fine[inner % 5 :: 5, inner % 5 :: 5]
    assert coarse[middle, middle] == pytest.approx(at_steps.max() / at_steps.sum(), rel=0.01)


def test_pixels_integrate_over_their_area() -> None:
    truth = waves(200)
    step = 48 / KM_PER_ARCSEC
    points = optics.convolved(truth, WACHTER.kernel(step))
    low, high = optics.blurred(truth, 48)
    assert low.std() < points.std() < truth.std()
    assert low.std() < high.std()
    assert low.mean() == pytest.approx(truth.mean(), rel=1e-3)


def test_a_constant_stays_what_it_is() -> None:
    observed, target = optics.degrade(np.full((90, 120), 0.7), 48, WACHTER, 0, np.random.default_rng(0))
    assert target.shape == (2 * observed.shape[0], 2 * observed.shape[1])
    np.testing.assert_allclose(observed, 0.7, atol=1e-6)
    np.testing.assert_allclose(optics.redegrade(target), 0.7, atol=1e-6)


def test_observed_and_target_pixels_lie_on_each_other() -> None:
    # A straight slope is blurred into itself, so four target pixels average to their observed one.
    slope = np.linspace(0, 1, 600)[:, None] * np.ones((1, 600))
    observed, target = optics.degrade(slope, 48, WACHTER, 0, np.random.default_rng(0))
    means = target.reshape(observed.shape[0], 2, observed.shape[1], 2).mean(axis=(1, 3))
    np.testing.assert_allclose(
        means[20:-20, 20:-20], observed[20:-20, 20:-20], atol=4e-5
    )  # a truth pixel: 1.7e-3


def test_noise_is_added_to_the_observed_alone_and_anew() -> None:
    truth, random = np.ones((300, 300)), np.random.default_rng(0)
    first, target = optics.degrade(truth, 48, WACHTER, 1e-3, random)
    second, _ = optics.degrade(truth, 48, WACHTER, 1e-3, random)
    assert first.std() == pytest.approx(1e-3, rel=0.1)
    assert target.std() < 1e-6
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("psf", [WACHTER, AUTHORS], ids=["wachter", "authors"])
def test_a_target_degraded_again_is_what_was_observed(psf: optics.Psf) -> None:
    observed, target = optics.degrade(waves(800), 48, psf, 0, np.random.default_rng(0))
    again = optics.redegrade(target, psf)
    inner = (slice(14, -14), slice(14, -14))  # truth beyond the edge is not what its mirror says
    assert (again - observed)[inner].std() < 0.4e-3
    assert again.mean() == pytest.approx(target.mean(), rel=1e-3)


def test_the_kernel_that_degrades_again_keeps_flux_and_shifts_nothing() -> None:
    kernel = optics.redegrading_kernel(WACHTER)
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    point = np.zeros((120, 120), np.float32)
    point[60:62, 60:62] = 1  # all four target pixels of the observed pixel (30, 30)
    seen = optics.redegrade(point)
    y, x = np.indices(seen.shape)
    assert seen.sum() == pytest.approx(1, abs=1e-4)
    assert ((seen * y).sum(), (seen * x).sum()) == pytest.approx((30, 30), abs=1e-3)


def test_an_enhanced_picture_has_even_sides() -> None:
    with pytest.raises(ValueError, match="even"):
        optics.redegrade(np.ones((31, 30)))
