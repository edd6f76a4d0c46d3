from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.hmi_enhancement.psf import AUTHORS, WACHTER, degrade, redegrade
from models.hmi_enhancement.trust import compare, degraded_again, noise_of
from models.simulate.photosphere import photosphere

NOISE = 1e-3


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """What HMI observes of a simulated photosphere with a spot, and what we want of it."""
    truth = photosphere((900, 960), 48.0, np.random.default_rng(4), spots=1).continuum
    return degrade(truth, 48.0, WACHTER, NOISE, np.random.default_rng(5))


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape, bool)


def test_the_fast_way_back_is_the_exact_one(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, target = pair
    exact = redegrade(target, AUTHORS)
    inner = slice(14, -14)
    fast = degraded_again(target, AUTHORS)
    assert np.abs(fast - exact)[inner, inner].std() < 2e-3 * exact.std()


def test_the_way_back_keeps_flux_and_place() -> None:
    flat = np.full((80, 60), 0.4, np.float32)
    np.testing.assert_allclose(degraded_again(flat, WACHTER), 0.4, rtol=1e-5)
    point = np.zeros((80, 80), np.float32)
    point[40:42, 40:42] = 1  # the four pixels that cover pixel (20, 20)
    seen = degraded_again(point, WACHTER)
    np.testing.assert_allclose(seen, seen.T, atol=1e-7)
    np.testing.assert_allclose(seen[8:33, 8:33], seen[8:33, 8:33][::-1, ::-1], atol=1e-6)
    assert seen.argmax() == 20 * 40 + 20


def test_the_truth_is_trusted_inside_and_less_at_the_edges(pair: tuple[np.ndarray, np.ndarray]) -> None:
    observed, target = pair
    found = compare(target, observed, everywhere(observed), noise_of(observed, everywhere(observed)), WACHTER)
    assert found.trust.shape == observed.shape
    assert found.trust[8:-8, 8:-8].mean() > 0.99
    assert found.trust[[0, -1]].max() < 0.05 and found.trust[:, [0, -1]].max() < 0.05
    assert found.residual == pytest.approx(NOISE, rel=0.2)


def test_what_is_not_in_the_frame_is_not_trusted_and_the_rest_is(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    observed, target = pair
    invented = target.copy()
    cv2.circle(invented, (120, 100), 6, 1.3, -1)  # (x, y) of the fine picture: pixel (50, 60)
    found = compare(invented, observed, everywhere(observed), 2e-3, WACHTER)
    assert found.trust[50, 60] == 0
    assert found.trust[50:-8, 85:-8].min() > 0.9


def test_a_shift_by_a_quarter_of_a_pixel_costs_trust(pair: tuple[np.ndarray, np.ndarray]) -> None:
    observed, target = pair
    shifted = np.roll(target, 1, axis=1)
    found = compare(shifted, observed, everywhere(observed), 2e-3, WACHTER)
    assert found.trust.mean() < 0.5


def test_trust_falls_around_gaps_and_is_none_in_them(pair: tuple[np.ndarray, np.ndarray]) -> None:
    observed, target = pair
    known = everywhere(observed)
    known[30:60, 40:70] = False
    known[70, 30] = False
    found = compare(target, observed, known, 2e-3, WACHTER)
    assert np.all(found.trust[~known] == 0)
    assert found.trust[45, 38] < 0.6 < found.trust[45, 33]
    assert found.trust[70, 31] > 0.7  # one lost pixel


def test_trust_does_not_depend_on_strips(
    pair: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    observed, target = pair
    whole = compare(target, observed, everywhere(observed), 2e-3, WACHTER)
    monkeypatch.setattr("models.hmi_enhancement.trust._STRIP", 24)
    striped = compare(target, observed, everywhere(observed), 2e-3, WACHTER)
    np.testing.assert_allclose(striped.trust, whole.trust, atol=1e-4)
    assert striped.residual == pytest.approx(whole.residual, rel=1e-4)


@pytest.mark.parametrize("noise", [4e-3, 1e-2])
def test_noise_is_told_from_granulation(noise: float, pair: tuple[np.ndarray, np.ndarray]) -> None:
    observed, _ = pair
    random = np.random.default_rng(1)
    noisy = observed + random.normal(0, noise, observed.shape).astype(np.float32)
    assert noise_of(noisy, everywhere(noisy)) == pytest.approx(noise, rel=0.2)


def test_noise_is_measured_where_there_is_data() -> None:
    random = np.random.default_rng(1)
    image = random.normal(0, 0.01, (200, 200)).astype(np.float32)
    image[:, :150] = 0
    known = np.zeros(image.shape, bool)
    known[:, 150:] = True
    assert noise_of(image, known) == pytest.approx(0.01, rel=0.05)
    assert noise_of(image, np.zeros_like(known)) == 0
