"""What a row of frames teaches of its cadence, and from how few."""

from __future__ import annotations

import numpy as np
import pytest

from observatory import cadence

START_S = 1.78e9


def every(step_s: float, spacings: int) -> np.ndarray:
    return START_S + step_s * np.arange(spacings + 1)


def test_a_cadence_is_learned_from_eight_spacings_on() -> None:
    assert cadence.learn(every(60.0, 8)) == pytest.approx(60)
    assert cadence.learn(every(60.0, 7)) is None
    assert cadence.learn(np.array([START_S])) is None and cadence.learn(np.array([])) is None


def test_frames_that_came_twice_teach_nothing_and_spoil_nothing() -> None:
    assert cadence.learn(np.repeat(every(60.0, 9), 2)) == pytest.approx(60)
    assert cadence.learn(np.repeat(every(60.0, 6), 2)) is None
    assert cadence.learn(np.full(100, START_S)) is None


def test_spacings_of_files_that_were_copied_together_teach_nothing() -> None:
    assert cadence.learn(every(0.3, 64)) == pytest.approx(0.3, rel=1e-3)
    assert cadence.learn(every(0.2, 64)) is None


def test_a_cadence_is_learned_although_most_frames_are_missing() -> None:
    kept = np.sort(np.random.default_rng(4).choice(640, 300, replace=False))
    assert cadence.learn(every(12.0, 640)[kept]) == pytest.approx(12, rel=0.01)


@pytest.mark.parametrize(("true_s", "taken_s"), [(65.5, 65.5), (54.5, 54.5), (67.0, 60.0), (53.0, 60.0)])
def test_a_stated_cadence_gives_way_to_the_frames_within_a_tenth(true_s: float, taken_s: float) -> None:
    row = cadence.row(every(true_s, 100), 60.0)
    assert row is not None and row.cadence_s == pytest.approx(np.full(101, taken_s))


def test_few_frames_go_by_what_is_stated_else_by_what_is_usual_else_by_nothing() -> None:
    one, few = np.array([START_S]), START_S + np.array([0.0, 60.0, 240.0])
    for declared, usual, taken in ((60.0, 9.0, 60.0), (None, 60.0, 60.0)):
        row = cadence.row(one, declared, usual)
        assert row is not None and (row.slots.tolist(), row.cadence_s.tolist()) == ([0], [taken])
        row = cadence.row(few, declared, usual)
        assert row is not None and row.slots.tolist() == [0, 1, 4]
    assert cadence.row(few, None) is None and cadence.row(one, None) is None
    empty = cadence.row(np.array([]), 60.0)
    assert empty is not None and len(empty.slots) == len(empty.cadence_s) == 0


def test_a_late_frame_fills_the_slot_that_it_left_and_not_its_neighbours() -> None:
    times = every(60.0, 60)
    for by_s in (37.0, -37.0):
        moved = times.copy()
        moved[30] += by_s
        row = cadence.row(moved, 60.0)
        assert row is not None and np.diff(row.slots).tolist() == [1] * 60, by_s


def test_an_hour_at_another_cadence_has_it_and_loses_nothing() -> None:
    steps = np.repeat([60.0, 30.0, 60.0], [640, 128, 640])
    row = cadence.row(START_S + np.concatenate([[0.0], np.cumsum(steps)]), None)
    assert row is not None and np.diff(row.slots).tolist() == [1] * len(steps)
    assert row.cadence_s[700] == pytest.approx(30) and row.cadence_s[[300, 1000]] == pytest.approx(60)


@pytest.mark.parametrize("shift", [0.2, 0.35, 0.5, -0.35])
def test_after_a_silence_a_camera_may_go_on_at_another_phase(shift: float) -> None:
    steps = np.ones(120)
    steps[60] = 9.0 + shift
    row = cadence.row(START_S + 60.0 * np.concatenate([[0.0], np.cumsum(steps)]), 60.0)
    assert row is not None
    jumps = np.diff(row.slots)
    assert np.delete(jumps, 60).tolist() == [1] * 119 and jumps[60] in (9, 10)
