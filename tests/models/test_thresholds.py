"""What quality models that are thresholds share: scores, causes, p-values, calibrations, the word of SDO's headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import conformal
from models.sdo_quality_word import quality_word, stated_bits
from models.thresholds import (
    CERTAIN,
    Thresholds,
    badness_of,
    probable_causes,
    score_of,
    write_calibration,
)
from observatory.analysis import Cause
from observatory.errors import ModelError

STATED = 'version = "1.0.0"\ncalibration_sha256 = ""\n[shares]\nmissing = 0.01\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "thresholds.toml").write_text(STATED)
    return tmp_path


def test_a_frame_at_a_threshold_is_even_and_one_against_which_nothing_speaks_is_nearly_certain():
    assert score_of(badness_of({Cause.SPIKES: 1.0, Cause.ECLIPSE: 0.2})) == pytest.approx(0.5)
    assert (
        score_of(badness_of({}))
        == score_of(badness_of({Cause.SPIKES: 0.0}))
        == pytest.approx(0.982, abs=1e-3)
    )
    assert 0.0 <= score_of(badness_of({Cause.NO_TARGET: 1e30})) < 1e-20


def test_causes_are_named_from_their_thresholds_on_the_worst_first():
    found = probable_causes(
        {Cause.SPIKES: 2.0, Cause.CLOUD: 0.99, Cause.ECLIPSE: 10 * CERTAIN, Cause.DUST: 1.0}
    )
    assert [one.cause for one in found] == [Cause.ECLIPSE, Cause.SPIKES, Cause.DUST]
    assert [one.probability for one in found] == pytest.approx([1.0, 8 / 9, 0.5], abs=1e-6)


def test_the_identity_follows_the_thresholds_and_nothing_else(folder: Path):
    first, again = (Thresholds("some_quality", folder, is_calibrated=flag).identity for flag in (True, False))
    assert first.sha256 == again.sha256 and len(first.sha256) == 64
    (folder / "thresholds.toml").write_text(STATED.replace("0.01", "0.02"))
    other = Thresholds("some_quality", folder, is_calibrated=True).identity
    assert other.sha256 != first.sha256 and other.parameters["shares"] == {"missing": 0.02}


def test_a_calibration_ranks_frames_of_its_kind_and_no_others(folder: Path):
    assert Thresholds("some_quality", folder, is_calibrated=True).p_value("picture", 0.1) is None
    write_calibration(folder, {"picture": np.array([0.4, 0.1, 0.3, 0.2])})
    found = Thresholds("some_quality", folder, is_calibrated=True)
    # What was kept in float32 equals itself, and the frame counts as one of the good.
    assert [found.p_value("picture", one) for one in (0.05, 0.3, 0.4, 0.5)] == [1.0, 3 / 5, 2 / 5, 1 / 5]
    assert found.p_value("counts", 0.1) is None
    assert Thresholds("some_quality", folder, is_calibrated=False).p_value("picture", 0.1) is None


def test_what_is_missing_or_altered_is_refused_with_the_command_that_makes_it_anew(folder: Path):
    write_calibration(folder, {"picture": np.arange(9.0)})
    (folder / "calibration.npz").write_bytes(b"other")
    command = r"heliowatch models export some_quality --data FOLDER$"
    with pytest.raises(ModelError, match=f"altered.*{command}"):
        Thresholds("some_quality", folder, is_calibrated=True, options="--data FOLDER")
    (folder / "calibration.npz").unlink()
    with pytest.raises(ModelError, match=f"missing.*{command}"):
        Thresholds("some_quality", folder, is_calibrated=True, options="--data FOLDER")
    (folder / "thresholds.toml").write_text("version =")
    with pytest.raises(ModelError, match="restore it"):
        Thresholds("some_quality", folder, is_calibrated=False)


def test_p_values_of_a_month_come_from_the_other_months():
    strange = np.array([0.1, 0.2, 0.3, 5.0, 6.0])
    p = conformal.p_values_by_month(strange, ["2010-09", "2010-09", "2010-10", "2010-11", "2010-11"])
    assert p == pytest.approx([4 / 4, 4 / 4, 3 / 5, 1 / 4, 1 / 4])
    assert conformal.shares(p) == {"0.05": 0.0, "0.1": 0.0, "0.25": 0.4, "0.5": 0.4}


def test_p_values_of_several_frames_are_those_of_each():
    random = np.random.default_rng(4)
    known, frames = random.normal(size=50), random.normal(size=20)
    each = [conformal.p_value(frame, np.sort(known)) for frame in frames]
    assert conformal.p_values(frames, known).tolist() == each


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (0, 0),
        (-1, 0xFFFFFFFF),
        (-2147483648, 1 << 31),
        ("0x40000000", 1 << 30),
        (1024.0, 1024),
        (0.5, None),
        ("?", None),
        (True, None),
        (None, None),
    ],
)
def test_the_quality_word_is_read_however_it_is_written(value: object, word: int | None):
    assert quality_word({"QUALITY": value}) == word


def test_an_unnamed_bit_says_nothing():
    assert stated_bits({"QUALITY": 1 << 3 | 1 << 30}, {"5": "unknown", "30": "eclipse"}) == [(30, "eclipse")]
    assert stated_bits({}, {"5": "unknown"}) == []
