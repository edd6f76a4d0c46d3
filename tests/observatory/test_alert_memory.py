"""What the alert engine remembers: late frames, wrong clocks, gaps and onsets told late, and no more than is asked."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from observatory.alerts.facts import Arrived, Fact, GapTold, OnsetTold
from observatory.alerts.memory import LateRun, Memory, Watched, absorb, moved, number_of
from tests.observatory.alert_runs import DEGRADED, MINUTE, NAME, NOON, frame, run, scores, spans


def test_an_onset_that_is_told_after_a_later_one_changes_nothing():
    text = f"- alert: Onset\n  instrument: {NAME}\n  when: {{onset: {{within: 30m}}}}\n"
    told = [OnsetTold(NAME, NOON + at * MINUTE, NOON + of * MINUTE) for at, of in ((22, 20), (23, 5))]
    assert spans(run(text, told, 300)) == [("Onset", 22, pytest.approx(50, abs=0.1))]


def test_a_gap_ends_with_its_own_first_frame_and_not_with_a_late_one_of_before():
    facts: list[Fact] = [
        GapTold(NAME, NOON + 5 * MINUTE, NOON + 3 * MINUTE),
        Arrived(NAME, NOON + 6 * MINUTE, 1, date_obs=NOON + 2 * MINUTE),
        Arrived(NAME, NOON + 8 * MINUTE, 2, date_obs=NOON + 3 * MINUTE),
    ]
    assert spans(run("- alert: Gap\n  when: {gap: true}\n", facts)) == [("Gap", 5, 8)]


def test_a_result_is_a_sign_of_life_where_its_arrival_was_missed():
    text = f"- alert: Silent\n  instrument: {NAME}\n  when: {{silent_for: 10m}}\n"
    assert spans(run(text, [frame(5)], 60)) == [("Silent", 15, None)]


@pytest.mark.parametrize("received", [5, None], ids=["long ago", "not known when"])
def test_a_frame_dated_after_its_own_arrival_makes_none_late_and_lets_late_ones_stay_late(
    received: int | None,
):
    wrong = replace(
        frame(5),
        at=NOON + 60 * MINUTE,
        date_obs=NOON + (50 if received else 90) * MINUTE,
        received_at=None if received is None else NOON + received * MINUTE,
    )
    late = [replace(frame(n, 0.1), at=NOON + (50 + n) * MINUTE) for n in range(11, 14)]
    next_ones = [replace(frame(n, 0.1), at=NOON + (60 + n) * MINUTE) for n in range(20, 24)]
    found = run(DEGRADED, [frame(19), wrong, *late, *next_ones])
    assert spans(found) == [("Degraded", 82, None)]


def test_frames_of_one_moment_are_not_late():
    facts = [replace(frame(n, 0.1), date_obs=NOON) for n in range(3)]
    assert spans(run(DEGRADED, facts)) == [("Degraded", 2, None)]


def test_a_clock_that_was_set_back_is_believed_with_the_fifth_frame():
    back = [replace(frame(n, 0.1), date_obs=NOON + (n - 60) * MINUTE) for n in range(20, 40)]
    assert spans(run(DEGRADED, [*scores([0.9] * 20), *back])) == [("Degraded", 26, None)]


def test_arrivals_are_counted_to_a_thirtieth_of_the_window_and_kept_no_longer():
    memory, watched = Memory(), Watched.of([60.0], [])
    for n in range(3000):
        at = NOON + timedelta(seconds=0.1 * n)
        memory, _ = absorb(memory, Arrived(NAME, at, n), at, watched)
    assert len(memory.arrivals) <= 32
    assert sum(count for _, count in memory.arrivals) == pytest.approx(610, abs=20)
    assert absorb(Memory(), Arrived(NAME, NOON, 1), NOON, Watched())[0].arrivals == ()


def test_numbers_are_kept_over_one_and_a_half_times_their_span_and_thinned():
    memory, watched = Memory(), Watched.of([], [("quality", 600.0), ("quality", 60.0)])
    for n in range(3000):
        at = NOON + timedelta(seconds=n)
        memory, _ = absorb(memory, replace(frame(n, n / 3000), at=at, date_obs=at), at, watched)
    points = memory.series["quality"]
    assert points[-1] == (at.timestamp(), 2999 / 3000)
    assert at.timestamp() - points[0][0] == pytest.approx(900.0, abs=10.0)
    assert 120 <= len(points) <= 1.5 * 120 * 2 + 1
    assert max(late[0] - early[0] for early, late in pairwise(points)) <= 5.0
    assert absorb(Memory(), frame(0), NOON, Watched())[0].series == {}


def test_a_number_that_is_none_is_not_known():
    odd = frame(0, math.nan, sky={"cloud_cover": math.inf, "aurora_probability": 1}, latency_s=2)
    names = ("quality", "p_value", "latency_s", "cloud_cover", "aurora_probability", "area_msh.CH")
    assert [number_of(odd, name) for name in names] == [None, None, 2.0, None, 1.0, None]


def test_all_that_is_remembered_moves_with_the_clock_but_what_the_camera_and_the_ledger_said():
    by, second = timedelta(hours=1), NOON.timestamp()
    given = Memory(
        newest_obs=NOON,
        gap_start=NOON,
        late=LateRun(2, NOON, NOON),
        last_arrival=NOON,
        onset_at=NOON,
        drift_at=NOON,
        arrivals=((second, 3),),
        series={"quality": ((second, 0.5),)},
    )
    assert moved(given, by) == replace(
        given,
        late=LateRun(2, NOON + by, NOON),
        last_arrival=NOON + by,
        onset_at=NOON + by,
        drift_at=NOON + by,
        arrivals=((second + 3600.0, 3),),
        series={"quality": ((second + 3600.0, 0.5),)},
    )
    assert moved(Memory(), by) == Memory()
