"""The score falls with everything that is bad, and the facts name their causes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.halpha_quality.facts import Facts, Thresholds, causes_of, full_scale, gather
from models.halpha_quality.mapping import ScoreMapping
from models.halpha_quality.preparation import (
    analysis_grid,
    band_rms,
    compand,
    crop_disk,
    flatten_square,
    normalise_contrast,
    remove_gradient,
)
from models.simulate.halpha import smooth_gradient
from observatory.analysis import Cause
from observatory.sun import LimbFit, limb_darkening, mu_of_radius

SHARP = LimbFit(500.0, 500.0, 400.0, 0.3, 0.98, 1.0, 4.0, 0.02, 0.3)
FINE = Facts(0.0, 0.0, 0.0, 0.5, 0.005, 2000.0, 3000.0, 4095.0)
QUIET = np.full(5, -6.0)


def measures(**changes: float) -> dict[str, float]:
    base = {
        "transmission_band_rms": 0.002,
        "band_rms": 0.005,
        "structure_rms": 0.006,
        "content_loss": 0.3,
        "p_degraded": 0.1,
    }
    return base | changes


bands = st.floats(1e-4, 0.2)


@given(faint=bands, more=st.floats(1.0, 5.0), band=bands)
def test_more_cloud_is_never_better(faint: float, more: float, band: float):
    mapping = ScoreMapping()
    less, worse = (
        mapping.cloud_rms(measures(transmission_band_rms=t, band_rms=band)) for t in (faint, more * faint)
    )
    assert worse >= less
    assert worse <= band * 1.0001 or band < 1e-5


@given(structure=bands, more=st.floats(1.0, 5.0))
def test_more_structure_is_never_better(structure: float, more: float):
    mapping = ScoreMapping()
    first, second = (mapping.badness(measures(structure_rms=s), QUIET) for s in (structure, more * structure))
    assert second >= first


def test_an_edge_counts_by_its_own_probability():
    mapping = ScoreMapping()
    logits = QUIET.copy()
    assert mapping.badness(measures(), logits) < 0
    logits[3] = 2.0
    assert mapping.badness(measures(), logits) == pytest.approx(mapping.local_ceiling)


def test_the_published_rule_holds_where_nothing_was_injected():
    mapping = ScoreMapping(kind="learned", content_mean=0.3, content_deviation=0.1)
    assert mapping.badness(measures(content_loss=0.59), QUIET) < 0
    assert mapping.badness(measures(content_loss=0.61), QUIET) > 0
    assert mapping.badness(measures(p_degraded=0.9), QUIET) > 0


@pytest.mark.parametrize(
    ("facts", "fit", "cause"),
    [
        ({"saturated_fraction": 0.5}, {}, Cause.OVEREXPOSED),
        ({"missing_fraction": 0.1}, {}, Cause.MISSING_DATA),
        ({"spike_fraction": 1e-3}, {}, Cause.SPIKES),
        ({"exposure_fraction": 0.01}, {}, Cause.UNDEREXPOSED),
        ({"noise_fraction": 0.2}, {}, Cause.UNDEREXPOSED),
        ({}, {"center_x_px": 300.0}, Cause.OFF_CENTRE),
        ({}, {"width_px": 20.0}, Cause.DEFOCUS),
        ({}, {"width_px": 20.0, "rms_px": 3.0}, Cause.SEEING),
        ({}, {"width_px": 20.0, "width_anisotropy": 0.4}, Cause.TRACKING),
    ],
    ids=lambda value: str(value) if isinstance(value, Cause) else "",
)
def test_each_fact_names_its_cause(facts: dict[str, float], fit: dict[str, float], cause: Cause):
    found = causes_of(
        Facts(**(vars(FINE) | facts)), LimbFit(**(vars(SHARP) | fit)), (1000, 1000), Thresholds()
    )
    assert list(found) == [cause]
    assert found[cause] >= 1
    assert causes_of(FINE, SHARP, (1000, 1000), Thresholds()) == {}


def test_full_scale_is_guessed_from_type_and_values():
    assert full_scale(np.dtype(np.uint8), 90) == 255
    assert full_scale(np.dtype(np.int16), 3000) == 4095
    assert full_scale(np.dtype(np.int16), 5786) == 16383
    assert full_scale(np.dtype(np.float32), 0.9) == 1.0


def test_an_empty_frame_has_facts_too():
    assert gather(np.full((100, 100), np.nan, np.float32), None, Thresholds()).missing_fraction == 1.0
    assert gather(np.zeros((100, 100), np.uint8), None, Thresholds()).saturated_fraction == 0.0


def test_the_crop_centres_the_disk_wherever_it_is():
    size = 700
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    squares = []
    for cx, cy in ((349.5, 349.5), (312.3, 377.8)):
        inside = np.hypot(x - cx, y - cy) < 250
        fit = LimbFit(cx, cy, 250.0, 0.1, 1.0, 1.0, 2.0, 0.0, 0.1)
        square, seen = crop_disk((1000 * inside).astype(np.int16), fit)
        squares.append(square)
        assert seen.all()
        columns, rows = square.sum(0) @ np.arange(128), square.sum(1) @ np.arange(128)
        assert columns / square.sum() == pytest.approx(63.5, abs=0.05)
        assert rows / square.sum() == pytest.approx(63.5, abs=0.05)
    assert np.abs(squares[0] - squares[1]).mean() < 5


def test_limb_darkening_and_slow_gradients_vanish_and_raised_contrast_is_undone():
    grid = analysis_grid()
    random = np.random.default_rng(0)
    structure = 1 + 0.01 * random.standard_normal((128, 128)).astype(np.float32)
    light = limb_darkening(mu_of_radius(grid.radius)).astype(np.float32) * structure
    plain = remove_gradient(flatten_square(light))
    tilted = remove_gradient(flatten_square(light * smooth_gradient((128, 128), 0.1, 3)))
    inside = grid.radius < 0.9
    assert plain[inside].std() == pytest.approx(0.01, rel=0.2)
    assert np.abs(tilted - plain)[inside].mean() < 0.004
    raised, _ = normalise_contrast(plain * np.float32(8))
    assert raised[inside].std() == pytest.approx(0.015, rel=0.25)
    assert band_rms(plain) < band_rms(plain * np.float32(8))
    assert np.abs(compand(plain)).max() <= 1
