"""Frames of three channels find their partners, in whatever order they come."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workers.pairing import Pairing, cadence_s, pair, tolerance_for

CHANNELS = ("aia-304", "aia-171", "aia-193")
NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Seen:
    channel: str
    date_obs: datetime
    quality_score: float | None = None
    set_id: int | None = None


def seen(channel: int, seconds: float, **more) -> Seen:
    return Seen(f"aia-{channel}", NOON + timedelta(seconds=seconds), **more)


def series(channel: int, start: float, cadence: float, count: int) -> list[Seen]:
    return [seen(channel, start + cadence * number) for number in range(count)]


def seconds(found: Pairing[Seen]) -> list[dict[int, float]]:
    """Sets as channel to seconds after noon."""
    return [
        {int(name[4:]): (frame.date_obs - NOON).total_seconds() for name, frame in one.members.items()}
        for one in found.sets
    ]


def complete(frames: Iterable[Seen], tolerance_s: float) -> list[dict[int, float]]:
    return [one for one in seconds(pair(frames, CHANNELS, tolerance_s)) if len(one) == 3]


def test_three_channels_of_one_turn_are_a_set():
    frames = series(304, 7, 12, 5) + series(171, 0, 12, 5) + series(193, 5, 12, 5)
    assert complete(frames, 12) == [{304: 7 + 12 * n, 171: 12 * n, 193: 5 + 12 * n} for n in range(5)]


def test_a_lost_frame_shifts_nothing_even_with_a_tolerance_of_several_turns():
    frames = series(304, 2, 12, 6) + series(171, 0, 12, 6) + series(193, 1, 12, 6)
    frames.remove(seen(193, 25))
    sets = seconds(pair(frames, CHANNELS, 60))
    assert [one[171] for one in sets if len(one) == 3] == [0, 12, 36, 48, 60]
    assert [one for one in sets if len(one) == 2] == [{304: 26, 171: 24}]
    assert all(max(one.values()) - min(one.values()) <= 2 for one in sets)


def test_channels_minutes_apart_stay_alone():
    found = pair([seen(304, 0), seen(171, 200), seen(193, 400)], CHANNELS, 60)
    assert [len(one.members) for one in found.sets] == [1, 1, 1]
    assert not any(one.is_complete for one in found.sets)


def test_the_whole_set_must_fit_the_tolerance_not_only_its_neighbours():
    assert complete([seen(304, 0), seen(171, 8), seen(193, 16)], 10) == []
    assert len(complete([seen(304, 0), seen(171, 8), seen(193, 16)], 16)) == 1


def test_of_two_frames_of_one_exposure_the_better_is_taken_and_the_other_is_named():
    worse, better = seen(171, 0, quality_score=0.2), seen(171, 0.3, quality_score=0.9)
    found = pair([seen(304, 1), worse, better, seen(193, 2)], CHANNELS, 12)
    assert found.surplus == (worse,)
    assert found.sets[0].members["aia-171"] is better


def test_without_scores_the_first_of_two_frames_of_one_exposure_is_taken():
    first, second = seen(171, 0), replace(seen(171, 0))
    found = pair([first, second, seen(304, 1), seen(193, 2)], CHANNELS, 12)
    assert found.sets[0].members["aia-171"] is first
    assert found.surplus == (second,)


def test_frames_of_other_channels_are_left_out():
    assert pair([seen(94, 0), seen(171, 0)], CHANNELS, 12).sets[0].members.keys() == {"aia-171"}


def test_an_incomplete_set_is_completed_and_never_torn():
    made = [seen(304, 0, set_id=7), seen(193, 9, set_id=7)]
    near = [seen(304, 10), seen(171, 10)]
    sets = pair([*made, *near], CHANNELS, 12).sets
    # 304 and 171 of second 10 would be closer to 193 of second 9, which is not free.
    assert {tuple(sorted(one.members)) for one in sets if one.members.get("aia-193") is made[1]} == {
        ("aia-171", "aia-193", "aia-304")
    }
    assert sum(one.is_complete for one in sets) == 1


def test_nothing_makes_no_set():
    assert pair([], CHANNELS, 12).sets == ()
    assert pair([seen(171, 0)], CHANNELS, 12).sets[0].is_complete is False


def test_the_tolerance_follows_the_slowest_channel_between_9_and_60_seconds():
    assert tolerance_for(series(304, 0, 12, 9) + series(171, 0, 24, 5)) == 18
    assert tolerance_for(series(304, 0, 2, 9)) == 9
    assert tolerance_for(series(304, 0, 900, 9)) == 60
    assert tolerance_for([seen(304, 0)]) == 60
    assert cadence_s([NOON]) is None


arrivals = st.lists(
    st.builds(seen, st.sampled_from([304, 171, 193]), st.integers(0, 400).map(float)), max_size=24
)


@given(arrivals, st.sampled_from([12.0, 30.0, 60.0]), st.integers(0, 99))
def test_every_frame_is_used_once_whatever_the_order_of_arrival(
    frames: list[Seen], tolerance_s: float, seed: int
):
    found = pair(frames, CHANNELS, tolerance_s)
    used = [frame for one in found.sets for frame in one.members.values()] + list(found.surplus)
    assert sorted(map(id, used)) == sorted(map(id, frames))
    assert all(one.span_s <= tolerance_s for one in found.sets)
    shuffled = list(frames)
    random.Random(seed).shuffle(shuffled)
    again = pair(shuffled, CHANNELS, tolerance_s)
    assert seconds(again) == seconds(found)


@given(st.integers(1, 8), st.integers(0, 11), st.integers(0, 11), st.integers(0, 11), st.data())
def test_what_can_be_a_set_becomes_one(count: int, a: int, b: int, c: int, data: st.DataObject):
    """No three frames are left over that would have made a set."""
    frames = series(304, a, 12, count) + series(171, b, 12, count) + series(193, c, 12, count)
    lost = data.draw(st.sets(st.integers(0, len(frames) - 1), max_size=len(frames) - 1))
    found = pair([frame for n, frame in enumerate(frames) if n not in lost], CHANNELS, 12)
    left = [frame for one in found.sets if not one.is_complete for frame in one.members.values()]
    assert complete(left, 12) == []
