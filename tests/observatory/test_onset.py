"""Onsets are found where aurora brightens and stays, and nowhere else."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from observatory.analysis import SkyClass
from observatory.onset import onsets
from tests.observatory.nights import DUSK, night_of_frames

MINUTES = np.arange(240.0)
APPEARS = np.where(MINUTES >= 120, 60.0, 0.0)
LIKELY = np.where(MINUTES >= 120, 0.9, 0.1)


def at(minute: float):
    return DUSK + timedelta(minutes=minute)


def test_aurora_that_appears_and_stays_is_one_onset_at_its_first_frame():
    (found,) = onsets(night_of_frames(MINUTES, arc=APPEARS, probability=LIKELY))
    assert found.time == at(120)
    assert found.frame_id == 121
    assert found.aurora_probability == 0.9
    # The brightest tenth of the points: 20 that grow by 46 levels and 13 by 23; noise alone gives some two.
    assert 255 * found.rise == pytest.approx(35.0, abs=1.0)


def test_an_arc_that_brightens_is_an_onset_and_a_steady_one_is_none():
    steady = np.full(240, 30.0)
    assert onsets(night_of_frames(MINUTES, arc=steady, probability=0.9)) == ()
    (found,) = onsets(night_of_frames(MINUTES, arc=steady + APPEARS, probability=0.9))
    assert found.time == at(120)


def test_single_bright_frames_are_none():
    flashes = np.zeros(240)
    flashes[[30, 31, 100, 150, 152]] = 80.0
    assert onsets(night_of_frames(MINUTES, arc=flashes, probability=0.9)) == ()


def test_three_bright_frames_in_a_row_are_one():
    bright = np.where((MINUTES >= 120) & (MINUTES < 123), 60.0, 0.0)
    assert [one.time for one in onsets(night_of_frames(MINUTES, arc=bright, probability=0.9))] == [at(120)]


def test_a_network_that_says_aurora_by_a_half_is_enough():
    assert [one.time for one in onsets(night_of_frames(MINUTES, arc=APPEARS, probability=0.5))] == [at(120)]
    assert onsets(night_of_frames(MINUTES, arc=APPEARS, probability=0.499)) == ()


@pytest.mark.parametrize("line", ["north_south", "east_west"])
@pytest.mark.parametrize(
    ("points", "is_one"),
    [(slice(0, 10), False), (slice(10, 20), True), (slice(161, 171), True), (slice(171, 181), False)],
)
def test_light_within_ten_degrees_of_the_horizon_is_none(line: str, points: slice, is_one: bool):
    series = night_of_frames(MINUTES, probability=0.9)
    getattr(series, line)[120:, points] += 100
    assert [one.time for one in onsets(series)] == ([at(120)] if is_one else [])


def test_a_rise_without_aurora_is_none_and_aurora_without_a_rise_is_none():
    assert onsets(night_of_frames(MINUTES, arc=APPEARS, probability=0.2)) == ()
    assert onsets(night_of_frames(MINUTES, probability=LIKELY)) == ()


def test_moonrise_and_dawn_are_none_even_where_the_network_errs():
    dawn = 40.0 * np.exp((MINUTES - 239) / 25)
    moonrise = np.clip((MINUTES - 60) * 0.6, 0, 40)
    assert onsets(night_of_frames(MINUTES, glow=dawn, probability=0.9)) == ()
    assert onsets(night_of_frames(MINUTES, glow=moonrise, probability=0.9)) == ()
    # The Moon brightens one part of the line more than the rest, and slowly.
    assert onsets(night_of_frames(MINUTES, glow=moonrise, arc=moonrise / 2, probability=0.9)) == ()


def test_what_a_gap_hides_is_none_and_the_minutes_after_it_tell_anew():
    minutes = np.concatenate([np.arange(0.0, 100), np.arange(160.0, 240)])
    arc, likely = np.where(minutes >= 160, 60.0, 0.0), np.where(minutes >= 160, 0.9, 0.1)
    assert onsets(night_of_frames(minutes, arc=arc, probability=likely)) == ()
    arc = np.where(minutes >= 200, 60.0, 0.0)
    (found,) = onsets(night_of_frames(minutes, arc=arc, probability=0.9))
    assert found.time == at(200)


def test_an_aurora_that_fades_and_returns_is_two_onsets_and_flicker_is_one():
    arc = np.where((MINUTES >= 60) & (MINUTES < 110) | (MINUTES >= 160), 60.0, 0.0)
    found = onsets(night_of_frames(MINUTES, arc=arc, probability=0.9))
    assert [one.time for one in found] == [at(60), at(160)]
    flicker = np.where(MINUTES >= 120, 50.0 + 10 * np.sin(MINUTES), 0.0)
    assert len(onsets(night_of_frames(MINUTES, arc=flicker, probability=LIKELY))) == 1


def test_an_arc_that_breaks_up_is_a_second_onset_and_one_that_brightens_a_little_is_none():
    steps = [MINUTES >= 60, MINUTES >= 100]
    little = 30.0 * steps[0] + 10.0 * steps[1]
    much = 30.0 * steps[0] + 90.0 * steps[1]
    assert [one.time for one in onsets(night_of_frames(MINUTES, arc=little, probability=0.9))] == [at(60)]
    assert [one.time for one in onsets(night_of_frames(MINUTES, arc=much, probability=0.9))] == [
        at(60),
        at(100),
    ]


def test_two_onsets_are_no_nearer_than_a_quarter_of_an_hour():
    for later, expected in ((65, [at(60)]), (75, [at(60), at(75)])):
        steps = 30.0 * (MINUTES >= 60) + 90.0 * (later <= MINUTES)
        found = onsets(night_of_frames(MINUTES, arc=steps, probability=0.9))
        assert [one.time for one in found] == expected


def test_neither_frames_across_a_gap_nor_those_before_it_tell_of_an_onset_at_its_end():
    long = np.concatenate([np.arange(0.0, 102), np.arange(162.0, 240)])
    assert onsets(night_of_frames(long, arc=np.where(long >= 100, 60.0, 0), probability=0.9)) == ()
    short = np.concatenate([np.arange(0.0, 100), np.arange(108.0, 240)])
    assert onsets(night_of_frames(short, arc=np.where(short >= 108, 60.0, 0), probability=0.9)) == ()


def test_after_a_gap_an_aurora_that_brightens_a_little_is_an_onset_of_its_own():
    minutes = np.concatenate([np.arange(0.0, 100), np.arange(160.0, 240)])
    steps = 60.0 * (minutes >= 60) + 30.0 * (minutes >= 200)
    found = onsets(night_of_frames(minutes, arc=steps, probability=0.9))
    assert [one.time for one in found] == [at(60), at(200)]


def test_of_rare_frames_two_are_enough_and_one_is_not():
    slow = np.arange(0.0, 480.0, 8.0)
    (found,) = onsets(
        night_of_frames(slow, arc=np.where((slow >= 240) & (slow < 256), 60.0, 0), probability=0.9)
    )
    assert found.time == at(240)
    assert onsets(night_of_frames(slow, arc=np.where(slow == 240, 60.0, 0), probability=0.9)) == ()


def test_a_rise_no_larger_than_what_the_light_does_all_the_time_is_none():
    restless = np.tile([0.0, 20.0, 40.0, 10.0, 30.0], 48)
    rises = restless + 25.0 * (MINUTES >= 120)
    assert onsets(night_of_frames(MINUTES, arc=rises, probability=0.9)) == ()


def test_frames_every_three_seconds_and_every_eight_minutes_are_read_alike():
    quick = np.arange(0.0, 60.0, 0.05)
    (found,) = onsets(night_of_frames(quick, arc=np.where(quick >= 40, 60.0, 0), probability=0.9))
    assert abs((found.time - at(40)).total_seconds()) <= 15
    slow = np.arange(0.0, 480.0, 8.0)
    (found,) = onsets(night_of_frames(slow, arc=np.where(slow >= 240, 60.0, 0), probability=0.9))
    assert found.time == at(240)


def test_town_lights_hide_no_onset_and_cloud_lit_by_them_is_none():
    lit = np.full(240, 150.0)
    series = night_of_frames(MINUTES, arc=APPEARS, probability=LIKELY)
    series.north_south[:, 140:160] = np.minimum(series.north_south[:, 140:160] + 150, 255)
    assert [one.time for one in onsets(series)] == [at(120)]
    assert onsets(night_of_frames(MINUTES, arc=np.where(MINUTES >= 120, lit, 0), probability=0.3)) == ()


def test_too_few_frames_and_frames_that_nobody_judged_have_none():
    assert onsets(night_of_frames([0.0])) == ()
    nothing = [None] * 240
    assert onsets(night_of_frames(MINUTES, arc=APPEARS, probability=np.nan, classes=nothing)) == ()
    assert (
        onsets(night_of_frames(MINUTES, arc=APPEARS, probability=0.1, classes=[SkyClass.CLEAR] * 240)) == ()
    )
