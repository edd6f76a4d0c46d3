"""The head that tells covered domes: seldom wrong, silent about networks that it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.aurora import dome
from models.aurora.inference import AuroraModel
from models.registry import load
from models.runtime import Runtime
from observatory.analysis import Cause, SkyClass
from observatory.errors import ModelError
from observatory.sky_facts import facts_of
from tests.models.aurora_stand_in import stand_in
from tests.night_skies import night
from workers.pipelines.allsky import AllSkyPipeline


def two_kinds(apart: float, seed: int = 1, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    covered = random.random(count) < 0.5
    words = random.normal(0, 1, (count, 12)) * np.arange(1, 13)
    words[covered] += apart * np.arange(1, 13) / np.sqrt(12)
    return words, covered


def test_at_most_two_of_a_hundred_clean_domes_are_called_covered() -> None:
    words, covered = two_kinds(2.5)
    head = dome.fitted(words, covered, "sha")
    called = head.log_odds(words) > head.threshold
    assert called[~covered].mean() <= dome.FALSE_ALARMS + 1 / (~covered).sum()
    assert called[covered].mean() > 0.4
    others, truth = two_kinds(2.5, seed=2)
    assert (head.log_odds(others) > head.threshold)[~truth].mean() < 0.06


def test_a_head_is_read_as_it_was_written_and_only_for_its_network(tmp_path: Path) -> None:
    words, covered = two_kinds(2.0)
    head = dome.fitted(words, covered, "one network")
    path = tmp_path / "dome.npz"
    dome.write(head, path)
    read = dome.load("one network", path)
    assert read is not None
    assert read.log_odds(words) == pytest.approx(head.log_odds(words), abs=1e-3)
    assert dome.load("another network", path) is None
    assert dome.load("one network", tmp_path / "none.npz") is None
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="restore it"):
        dome.load("one network", path)


def test_one_frame_leaves_some_doubt() -> None:
    words, covered = two_kinds(2.0)
    head = dome.fitted(words, covered, "sha")
    assert head.ratio(words[0] + 1000) <= 1.5
    assert head.ratio(words[0] - 1000) < 0.1


def test_a_covered_dome_is_named_by_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = AuroraModel(Runtime(), stand_in(tmp_path, {SkyClass.CLEAR: 0.9}))
    count = 7 + 6 + 16
    certain = dome.DomeHead(
        np.zeros(count), np.ones(count), np.zeros(count), 5.0, 1.0, network.description.sha256
    )
    dome.write(certain, tmp_path / "dome.npz")
    monkeypatch.setattr(dome, "PATH", tmp_path / "dome.npz")
    monkeypatch.setattr(dome.load, "__defaults__", (tmp_path / "dome.npz",))
    network = AuroraModel(Runtime(), network.description)
    frame = night()
    assert frame.fisheye is not None
    assert network.look(frame, frame.fisheye, facts_of(frame)).dome == pytest.approx(1.5)
    quality, _ = AllSkyPipeline(Runtime(), network).score(frame)
    assert quality.causes[0].cause is Cause.DEW_OR_SNOW and quality.is_degraded


def test_the_head_that_ships_belongs_to_the_network_that_ships() -> None:
    assert dome.load(load("aurora").sha256) is not None, "fit it again: python -m models.aurora.dome_training"
