"""A station's regression of its disturbance: fit, blocks of time, scores, files, and when it may be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.disturbance import station
from models.disturbance.inference import load_disturbance
from models.disturbance.ridge import best_alpha, blocks, cross_validated, fit
from models.disturbance.scores import persistence, roc, scores
from models.disturbance.station import Sources, StationModel
from observatory.analysis import ModelIdentity, Sky, SkyClass, SkyFacts
from observatory.errors import ModelError

NETWORK = "ab" * 32


def truth(rows: int = 400, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nights of frames a minute apart whose features tell X, Y and Z but for some noise."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 12)) * np.linspace(0.1, 5.0, 12) + 3.0
    targets = (
        features @ random.normal(size=(12, 3)) * 20.0 + random.normal(size=(rows, 3)) + [5.0, -40.0, 9.0]
    )
    times = 60.0 * np.arange(rows) + 86_400.0 * (np.arange(rows) // 100)
    return features, targets, times


def trained() -> StationModel:
    features, targets, _ = truth()
    sources = Sources("LYR", True, "aurora 1", NETWORK, "2026-01-01", "2026-01-04", len(features))
    return StationModel("lyr", "1.0.0", fit(features, targets, [0.1])[0], sources, 0.5, 0.3, {"rmse_nt": 2.0})


def sky(features: np.ndarray, *, aurora: float = 0.9, cloud: float | None = 0.1) -> Sky:
    probabilities = dict.fromkeys(SkyClass, 0.0) | {SkyClass.ARC: aurora, SkyClass.CLEAR: 1.0 - aurora}
    model = ModelIdentity("aurora", "1", NETWORK)
    return Sky(SkyClass.ARC, probabilities, cloud, np.zeros(33, np.float32), features, SkyFacts(), model)


def test_a_ridge_finds_what_features_tell() -> None:
    features, targets, _ = truth()
    ridge = fit(features[:300], targets[:300], [0.01])[0]
    assert np.abs(ridge.predict(features[300:]) - targets[300:]).mean() < 1.5


def test_it_is_the_closed_form_with_any_strength() -> None:
    features, targets, _ = truth(60)
    standard = (features - features.mean(0)) / features.std(0)
    for alpha, ridge in zip((0.5, 40.0), fit(features, targets, [0.5, 40.0]), strict=True):
        right = np.linalg.solve(
            standard.T @ standard + alpha * np.eye(12), standard.T @ (targets - targets.mean(0))
        )
        np.testing.assert_allclose(ridge.weights, right, rtol=1e-8)


def test_a_constant_feature_neither_breaks_nor_counts() -> None:
    features, targets, _ = truth(60)
    features[:, 4] = 7.0
    ridge = fit(features, targets, [1.0])[0]
    shifted = features.copy()
    shifted[:, 4] += 1e-9
    np.testing.assert_allclose(ridge.predict(features), ridge.predict(shifted))


def test_blocks_follow_time_and_break_at_the_pauses_between_nights() -> None:
    _, _, times = truth()
    order = np.random.default_rng(1).permutation(times.size)
    number = blocks(times[order], 4)
    np.testing.assert_array_equal(number, np.floor(times[order] / 86_400.0))
    with pytest.raises(ValueError, match="do not make"):
        blocks(times[:3], 4)


def test_what_depends_on_the_night_alone_is_not_learned_by_heart() -> None:
    """Rows of one night are copies of each other: validated by rows this would look perfect."""
    random = np.random.default_rng(2)
    night = np.repeat(np.arange(5), 60)
    features = random.normal(size=(5, 40))[night] + 0.01 * random.normal(size=(300, 40))
    targets = random.normal(size=(5, 3))[night] * 100.0
    times = 86_400.0 * night + np.tile(np.arange(60) * 60.0, 5)
    told = scores(cross_validated(features, targets, times, 5), targets, targets * np.nan, 50.0)
    assert told["skill_over_mean"] < 0.2


def test_noise_wants_a_strong_penalty_and_a_clear_relation_a_weak_one() -> None:
    features, targets, times = truth()
    number = blocks(times, 4)
    noise = np.random.default_rng(5).normal(size=targets.shape)
    assert best_alpha(features, noise, number) > 100.0 * best_alpha(features, targets, number)


def test_the_roc_of_a_perfect_score_is_one_of_a_constant_a_half_and_of_one_kind_unknown() -> None:
    is_true = np.array([True, False, True, False, False])
    assert roc(is_true.astype(float), is_true).area == 1.0
    assert roc(np.zeros(5), is_true).area == 0.5
    assert np.isnan(roc(np.arange(5.0), np.ones(5, bool)).area)
    assert np.isnan(roc(np.zeros(0), np.zeros(0, bool)).area)
    again = roc(np.array([0.9, 0.8, 0.8, 0.2, 0.1]), is_true)
    from sklearn.metrics import roc_auc_score

    assert again.area == pytest.approx(roc_auc_score(is_true, [0.9, 0.8, 0.8, 0.2, 0.1]))


def test_skill_is_one_for_the_truth_and_nought_for_the_mean_and_for_what_was_before() -> None:
    _, targets, times = truth()
    before = persistence(times, times, targets, 600.0)
    assert np.isnan(before[:9]).all()
    np.testing.assert_array_equal(before[10:100], targets[:90])
    right = scores(targets, targets, before, 50.0)
    assert (right["skill_over_mean"], right["skill_over_persistence"]) == (1.0, 1.0)
    mean = scores(np.broadcast_to(targets.mean(0), targets.shape), targets, before, 50.0)
    assert mean["skill_over_mean"] == pytest.approx(0.0)
    known = np.isfinite(before).all(axis=1)
    same = scores(before[known], targets[known], before[known], 50.0)
    assert same["skill_over_persistence"] == pytest.approx(0.0)


def test_a_model_on_disk_says_what_it_was_trained_on_and_predicts_the_same(tmp_path: Path) -> None:
    model = trained()
    manifest = station.write(tmp_path, model)
    assert "SIMULATED" in manifest.read_text()
    features = truth()[0][0].astype(np.float32)
    for path in (manifest, manifest.with_suffix(".npz")):
        found = load_disturbance(path).predict(sky(features))
        assert found is not None
        assert found.is_simulated
        assert found.model.label == "lyr 1.0.0"
        assert found.model.parameters["station"] == "LYR"
        right = model.ridge.predict(features[None])[0]
        np.testing.assert_allclose([found.x_nt, found.y_nt, found.z_nt], right)


def test_it_is_asked_only_about_clear_aurora_read_by_its_own_network(tmp_path: Path) -> None:
    model = load_disturbance(station.write(tmp_path, trained()))
    features = truth()[0][0].astype(np.float32)
    assert model.predict(sky(features, cloud=None)) is not None
    assert model.predict(sky(features, aurora=0.4)) is None
    assert model.predict(sky(features, cloud=0.4)) is None
    assert model.predict(sky(features[:5])) is None
    assert model.predict(replace(sky(features), sky_class=None, probabilities={})) is None
    other = replace(sky(features), model=ModelIdentity("aurora", "2", "cd" * 32))
    assert model.predict(other) is None


def test_an_altered_or_damaged_model_is_refused(tmp_path: Path) -> None:
    manifest = station.write(tmp_path, trained())
    weights = manifest.with_suffix(".npz")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelError, match="altered"):
        load_disturbance(manifest)
    weights.unlink()
    with pytest.raises(ModelError, match="No such file"):
        load_disturbance(manifest)
    manifest.write_text("name = 3\n")
    with pytest.raises(ModelError, match="lacks or misstates"):
        load_disturbance(manifest)
    manifest.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_disturbance(weights)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = trained()
    broken = replace(model.ridge, weights=model.ridge.weights * np.nan)
    with pytest.raises(ModelError, match="finite"):
        load_disturbance(station.write(tmp_path, replace(model, ridge=broken)))
