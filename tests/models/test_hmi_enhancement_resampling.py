"""Pictures of nearly HMI's pixels, brought to them and back."""

from __future__ import annotations

import numpy as np
import pytest

from models.hmi_enhancement import resampling

_SCALE = 0.6 / 0.504


def _waves(cycles_a_pixel: float, side: int, pixel: float = 1.0) -> np.ndarray:
    """A slanting wave on pixels of a size, whose first edge lies at 0."""
    centre = (np.arange(side) + 0.5) * pixel
    phase = 2 * np.pi * cycles_a_pixel * (0.8 * centre[None, :] + 0.6 * centre[:, None])
    return np.cos(phase).astype(np.float32)


@pytest.mark.parametrize("cycles_a_pixel", [0.05, 0.2, 0.45])
def test_a_wave_stays_the_same_wave_on_finer_pixels(cycles_a_pixel: float) -> None:
    coarse = _waves(cycles_a_pixel, 210)

    seen = resampling.resampled(coarse, np.ones(coarse.shape, bool), _SCALE)

    expected = _waves(cycles_a_pixel, seen.image.shape[0], 210 / seen.image.shape[0])
    inner = (slice(25, -25), slice(25, -25))
    assert np.abs(seen.image - expected)[inner].max() < 0.025  # cubic: 0.35, Lanczos alone: 0.05


def test_finer_pixels_carry_no_lattice_of_the_coarse_ones() -> None:
    rough = np.random.default_rng(1).normal(size=(420, 420)).astype(np.float32)
    spectrum = np.fft.rfft2(rough)
    passed = np.hypot(np.fft.fftfreq(420)[:, None], np.fft.rfftfreq(420)[None, :]) < 0.4
    picture = np.fft.irfft2(spectrum * passed).astype(np.float32)

    fine = resampling.resampled(picture, np.ones(picture.shape, bool), _SCALE).image

    variances = fine[30:-30, 30:-30].var(axis=1)
    by_phase = [variances[phase::25].mean() for phase in range(25)]  # 25 fine pixels are 21 coarse ones
    assert np.std(by_phase) / np.mean(by_phase) < 0.05


def test_a_result_brought_back_keeps_its_mean_and_is_not_fully_trusted() -> None:
    enhanced = 1 + 0.1 * _waves(0.1, 500)

    back, trust = resampling.brought_back(enhanced, np.ones((250, 250), np.float32), (210, 210))

    assert back.shape == (420, 420) and trust.shape == (210, 210)
    assert back.mean() == pytest.approx(enhanced.mean(), abs=1e-4)
    assert float(trust.max()) == pytest.approx(resampling.MOST_TRUST)
