"""Drift: two samples of one distribution do not differ, others do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from observatory import drift


def test_the_statistic_is_that_of_scipy() -> None:
    random = np.random.default_rng(1)
    before, after = random.normal(size=700), random.normal(0.3, 1.1, size=300)
    assert drift.ks_statistic(before, after) == pytest.approx(ks_2samp(before, after).statistic, abs=1e-12)


def test_samples_of_one_distribution_hardly_ever_look_drifted() -> None:
    random = np.random.default_rng(2)
    found = [drift.drift(random.beta(8, 1, size=1000), random.beta(8, 1, size=300)) for _ in range(300)]
    assert sum(one.is_beyond_chance for one in found if one) <= 2
    assert np.median([one.psi for one in found if one]) < 0.1


def test_a_shift_is_seen_by_both_measures() -> None:
    random = np.random.default_rng(3)
    found = drift.drift(random.normal(size=1000), random.normal(1.0, size=300))
    assert found is not None and found.is_beyond_chance
    assert found.ks > 0.3 and found.psi > 0.25


def test_a_quantity_that_is_mostly_nought_has_its_bins() -> None:
    before = np.concatenate([np.zeros(900), np.ones(100)])
    assert drift.psi(before, before.copy()) == pytest.approx(0.0)
    assert drift.psi(before, np.ones(300)) > 1.0


def test_few_values_say_nothing() -> None:
    assert drift.drift(np.zeros(drift.LEAST - 1), np.ones(500)) is None
    assert drift.drift(np.full(500, np.nan), np.ones(500)) is None


def test_the_largest_drift_comes_first() -> None:
    random = np.random.default_rng(4)
    before = {"score": random.normal(size=500), "rms": random.normal(size=500), "gone": np.ones(500)}
    after = {"score": random.normal(0.2, size=300), "rms": random.normal(2.0, size=300), "new": np.ones(300)}
    assert list(drift.drifts(before, after)) == ["rms", "score"]
