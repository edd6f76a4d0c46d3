"""The engine: what fires, what stays quiet, what is over, whatever the clock and the cameras do."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.alerts import engine
from observatory.alerts.facts import (
    Arrived,
    DriftTold,
    Fact,
    GapTold,
    OnsetTold,
    RegionTotals,
    Sighted,
)
from observatory.alerts.rule_file import read_rules
from observatory.alerts.rules import Rules
from observatory.alerts.saved import memory_json, memory_of, state_json, state_of
from observatory.alerts.states import Watch, moved, resumed
from observatory.alerts.transitions import Kind, Transition
from tests.observatory.alert_runs import DEGRADED, MINUTE, NAME, NOON, begin, frame, run, scores, spans

# -- hysteresis -------------------------------------------------------------------------------


def test_it_fires_with_the_third_bad_frame_and_ends_with_the_fifth_good_one():
    (alert,) = found = run(DEGRADED, scores([0.9] * 5 + [0.1] * 10 + [0.9] * 10, "cloud"))
    assert spans(found) == [("Degraded", 7, 19)]
    assert alert.annotations["summary"] == "kso-halpha: cloud for 10 frames"
    assert (alert.evidence["first_frame_id"], alert.evidence["last_frame_id"]) == (5, 14)


def test_two_bad_frames_are_no_alert():
    assert run(DEGRADED, scores(([0.9] * 5 + [0.1] * 2) * 20)) == []


def test_a_score_that_flickers_around_the_threshold_raises_one_alert():
    draw = random.Random(1)
    found = run(
        DEGRADED, scores([0.9] * 3 + [0.4 + draw.uniform(-0.08, 0.08) for _ in range(300)] + [0.9] * 9)
    )
    assert len(found) == 1
    assert found[0].resolved_at == NOON + (3 + 300 + 4) * MINUTE


def test_a_duration_is_met_between_frames():
    text = "- alert: A\n  when: {quality: {lt: 0.4}}\n  for: 90s\n  clear_for: 30s\n"
    assert spans(run(text, scores([0.9, 0.1, 0.1, 0.1, 0.9, 0.9]))) == [("A", 2.5, 4.5)]


def test_what_cannot_be_judged_neither_raises_nor_clears():
    text = DEGRADED
    unknown: list[Fact] = [frame(number, None, status="rejected") for number in range(3, 13)]
    facts = [*scores([0.1] * 3), *unknown, *[frame(number) for number in range(13, 18)]]
    assert spans(run(text, facts)) == [("Degraded", 2, 17)]


def test_the_cause_that_spoils_most_frames_is_told_and_a_change_of_it_noted():
    watch, told = begin(DEGRADED)
    facts = [frame(n, 0.1, "cloud" if n < 4 else "dust") for n in range(12)]
    watch, told = engine.step(read_rules(DEGRADED), watch, facts, NOON + 60 * MINUTE)
    assert [(item.kind, item.evidence["cause"], item.is_announced) for item in told] == [
        (Kind.FIRED, "cloud", True),
        (Kind.UPDATED, "dust", False),
    ]


def test_a_rule_can_fire_for_each_cause():
    text = "- alert: C\n  when: {cause: {one_of: [cloud, dust], probability: {gt: 0.5}}}\n  per: cause\n"
    text += "  annotations: {summary: '{cause}'}\n"
    facts = [
        frame(0, 0.1, causes={"cloud": 0.9}),
        frame(1, 0.1, causes={"cloud": 0.9, "dust": 0.8}),
        frame(2, 0.1, causes={"dust": 0.8, "seeing": 0.9}),
        frame(3, causes={}),
    ]
    found = run(text, facts)
    assert [(a.labels["cause"], a.annotations["summary"], a.evidence["cause"]) for a in found] == [
        ("cloud", "cloud", "cloud"),
        ("dust", "dust", "dust"),
    ]
    assert spans(found) == [("C", 0, 2), ("C", 1, 3)]
    assert found[0].alert_key == "instrument=kso-halpha,cause=cloud"


def test_regions_and_their_growth_are_watched():
    text = """
- alert: Hole
  when: {region: {event_type: CH, disk_fraction: {gt: 0.05}}}
- alert: Grows
  when: {change: {of: area_msh, event_type: CH, over: 10m, by: {gt: 0.5}, relative: true}}
"""
    sizes = [0.04] * 20 + [0.06, 0.07, 0.08] + [0.08] * 20
    facts = [
        frame(n, regions={"CH": RegionTotals(2, size, size * 1e5), "AR": RegionTotals(0, 0.0, 0.0)})
        for n, size in enumerate(sizes)
    ]
    assert spans(run(text, facts)) == [("Hole", 20, None), ("Grows", 21, 30)]


# -- a camera that is silent, repeats itself, or runs wild --------------------------------------

FLOW = """
- alert: Silent
  instrument: kso-halpha
  when: {silent_for: 10m}
  inhibited_by: Frozen
- alert: Frozen
  when: {frozen: {repeats: 3}}
- alert: Wild
  when: {rate: {over: 5m, of_cadence: {gt: 5}}}
- alert: Gap
  when: {gap: {gt: 5m}}
"""


def test_an_instrument_that_goes_silent_is_told_once_and_again_when_it_comes_back():
    facts = [Arrived(NAME, NOON + n * MINUTE, n) for n in [*range(30), *range(60, 70)]]
    assert spans(run(FLOW, facts, 70)) == [("Silent", 39, 60)]


def test_an_instrument_that_never_sent_is_silent_when_its_rule_names_it():
    assert spans(run(FLOW, [], 60)) == [("Silent", 10, None)]


def test_a_camera_that_repeats_its_bytes_is_frozen_not_silent():
    facts: list[Fact] = []
    for n in range(60):
        picture = f"{min(n, 20)}" if n < 40 else f"{n}"
        facts.append(Sighted(NAME, NOON + n * MINUTE, picture))
    assert spans(run(FLOW, facts, 60)) == [("Frozen", 23, 40)]


def test_a_camera_that_sends_at_ten_times_its_cadence_is_told_once():
    times = [n * 60.0 for n in range(20)] + [1200 + n * 6.0 for n in range(200)]
    times += [2400 + n * 60.0 for n in range(20)]
    facts = [Arrived(NAME, NOON + timedelta(seconds=s), n) for n, s in enumerate(times)]
    ((rule, fired, ended),) = spans(run(FLOW, facts, 55))
    assert rule == "Wild" and 20 < fired < 24 and ended is not None and 40 < ended < 45


def test_too_few_frames_are_told_only_when_the_whole_window_was_watched():
    text = "- alert: Few\n  when: {rate: {over: 10m, frames: {lt: 5}}}\n"
    facts = [Arrived(NAME, NOON + n * MINUTE, n) for n in range(30)]
    ((_, fired, ended),) = spans(run(text, facts, 50))
    assert ended is None and 34 < fired < 36


def test_a_gap_is_told_when_it_is_long_enough_and_not_when_it_closes_before():
    def gap(start: int, told: int, end: int) -> list[Fact]:
        return [
            GapTold(NAME, NOON + told * MINUTE, NOON + start * MINUTE),
            GapTold(NAME, NOON + end * MINUTE, None),
        ]

    facts = [Arrived(NAME, NOON, 0), *gap(2, 5, 6), *gap(8, 9, 10), *gap(12, 14, 19)]
    text = "- alert: Gap\n  when: {gap: {gt: 5m}}\n"
    assert spans(run(text, facts)) == [("Gap", 17, 19)]


def test_a_gap_that_began_before_anybody_watched_tells_since_when_frames_are_missing():
    text = "- alert: Gap\n  when: {gap: true}\n  annotations: {summary: 'no frames since {last_seen}'}\n"
    watch, _ = begin(text)
    _, told = engine.step(read_rules(text), watch, [GapTold(NAME, NOON, NOON - 9 * MINUTE)], NOON + MINUTE)
    assert [t.annotations["summary"] for t in told] == ["no frames since 2026-06-01 11:51:00 UTC"]


# -- inhibition -------------------------------------------------------------------------------


def test_an_onset_fires_at_once_and_ends_by_itself_and_a_later_one_holds_it():
    text = f"- alert: Onset\n  instrument: {NAME}\n  when: {{onset: {{within: 30m}}}}\n"
    told = [OnsetTold(NAME, NOON + 2 * MINUTE, NOON)]
    assert spans(run(text, told, 300)) == [("Onset", 2, pytest.approx(30, abs=0.1))]
    again = [*told, OnsetTold(NAME, NOON + 25 * MINUTE, NOON + 23 * MINUTE)]
    assert spans(run(text, again, 300)) == [("Onset", 2, pytest.approx(53, abs=0.1))]
    assert run(text, [OnsetTold(NAME, NOON + 40 * MINUTE, NOON)], 300) == []  # told too late


def test_a_drift_fires_while_it_is_measured_and_a_measurement_of_yesterday_holds_it_no_longer():
    text = f"- alert: Drift\n  instrument: {NAME}\n  when: {{drift: {{gt: 0.3}}}}\n"

    def told(*ratios: float) -> list[Fact]:
        return [DriftTold(NAME, NOON + 60 * n * MINUTE, ratio) for n, ratio in enumerate(ratios)]

    (alert,) = found = run(text, told(0.2, 0.4, 0.35, 0.1), 300)
    assert spans(found) == [("Drift", 60, 180)] and alert.evidence["value"] == pytest.approx(0.35)
    assert spans(run(text, told(0.4), 3000)) == [("Drift", 0, pytest.approx(24 * 60, abs=0.1))]
    assert run(text, told(0.3, 0.2), 300) == []
    held = text + "  clear_when: {drift: {lt: 0.25}}\n"
    assert spans(run(held, told(0.4, 0.28, 0.2), 3000)) == [("Drift", 0, 120)]
    assert spans(run(held, told(0.4), 3000)) == [("Drift", 0, pytest.approx(24 * 60, abs=0.1))]
    quiet = "- alert: Calm\n  when: {not: {drift: {gt: 0.3}}}\n"
    assert run(quiet, scores([0.9] * 3)) == []  # unknown before it was measured


def test_an_inhibited_alert_is_noted_but_not_announced_until_the_other_ends_first():
    text = """
- alert: Bad
  when: {quality: {lt: 0.4}}
  inhibited_by: Gap
- alert: Gap
  when: {gap: true}
"""
    rules = read_rules(text)
    watch, _ = begin(text)
    facts = [GapTold(NAME, NOON, NOON), frame(1, 0.1), frame(2, 0.1), GapTold(NAME, NOON + 3 * MINUTE, None)]
    watch, told = engine.step(rules, watch, facts, NOON + 60 * MINUTE)
    assert [(t.rule, t.kind, t.is_announced, t.inhibited_by) for t in told] == [
        ("Gap", Kind.FIRED, True, None),
        ("Bad", Kind.FIRED, False, "Gap"),
        ("Gap", Kind.RESOLVED, True, None),
        ("Bad", Kind.UPDATED, True, None),
    ]
    _, told = engine.step(rules, watch, [frame(70)], NOON + 71 * MINUTE)
    assert [(t.kind, t.is_announced) for t in told] == [(Kind.RESOLVED, True)]


def test_an_alert_that_another_one_inhibits_later_says_so_and_is_not_announced_again():
    text = (
        "- alert: Bad\n  when: {quality: {lt: 0.4}}\n  inhibited_by: Gap\n- alert: Gap\n  when: {gap: true}\n"
    )
    watch, _ = begin(text)
    gap = [GapTold(NAME, NOON + 2 * MINUTE, NOON), GapTold(NAME, NOON + 3 * MINUTE, None)]
    _, told = engine.step(read_rules(text), watch, [frame(1, 0.1), *gap, frame(4)], NOON + 9 * MINUTE)
    assert [(t.rule, t.kind, t.is_announced, t.inhibited_by) for t in told] == [
        ("Bad", Kind.FIRED, True, None),
        ("Gap", Kind.FIRED, True, None),
        ("Bad", Kind.UPDATED, False, "Gap"),
        ("Gap", Kind.RESOLVED, True, None),
        ("Bad", Kind.UPDATED, False, None),
        ("Bad", Kind.RESOLVED, True, None),
    ]


def test_the_end_of_an_alert_that_was_never_announced_is_not_announced():
    text = (
        "- alert: Bad\n  when: {quality: {lt: 0.4}}\n  inhibited_by: Gap\n- alert: Gap\n  when: {gap: true}\n"
    )
    watch, _ = begin(text)
    facts = [GapTold(NAME, NOON, NOON), frame(1, 0.1), frame(2), GapTold(NAME, NOON + 3 * MINUTE, None)]
    _, told = engine.step(read_rules(text), watch, facts, NOON + 60 * MINUTE)
    assert [(t.rule, t.is_announced) for t in told] == [
        ("Gap", True),
        ("Bad", False),
        ("Bad", False),
        ("Gap", True),
    ]


# -- time -------------------------------------------------------------------------------------


def test_a_late_frame_changes_nothing():
    late = [replace(frame(100 + n, 0.9), date_obs=NOON + n * MINUTE) for n in range(9)]
    bad = [frame(number, 0.1) for number in range(10, 90)]
    facts = [*bad[:40], *[replace(item, at=bad[39].at) for item in late], *bad[40:]]
    assert spans(run(DEGRADED, facts)) == [("Degraded", 12, None)]


def test_a_camera_whose_clock_is_set_back_is_believed_after_a_while():
    back = [replace(frame(n, 0.1), date_obs=NOON + (n - 60) * MINUTE) for n in range(20, 40)]
    ((_, fired, _),) = spans(run(DEGRADED, [*scores([0.9] * 20), *back]))
    assert 22 < fired < 30


def test_a_frame_from_the_future_makes_no_other_late():
    wrong = replace(frame(3), date_obs=NOON + timedelta(days=400))
    assert len(run(DEGRADED, [*scores([0.9] * 3), wrong, *[frame(n, 0.1) for n in range(4, 9)]])) == 1


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_an_hour_raises_nothing_and_stops_nothing(hours: int):
    by = timedelta(hours=hours)
    text = FLOW + "- alert: Slow\n  when: {quality: {lt: 0.4}}\n  for: 10m\n"
    rules = read_rules(text)
    watch, told = begin(text)
    facts: list[Fact] = [Arrived(NAME, NOON, 0), frame(0, 0.1)]
    watch, told = engine.step(rules, watch, facts, NOON + 2 * MINUTE)
    assert told == []
    watch = moved(watch, by)
    now = NOON + by + 3 * MINUTE
    # The ledger's clock jumped, too: it sees an hour without frames.
    facts = [GapTold(NAME, now, NOON + MINUTE), Arrived(NAME, now, 1)]
    watch, told = engine.step(rules, watch, facts, now)
    assert told == []
    watch, told = engine.step(
        rules, watch, [GapTold(NAME, now + MINUTE, None), Arrived(NAME, now + MINUTE, 2)], now + 6 * MINUTE
    )
    assert told == []
    watch, told = engine.step(rules, watch, [], now + 8 * MINUTE)
    assert [(item.rule, item.at) for item in told] == [("Slow", NOON + by + 10 * MINUTE)]
    watch, told = engine.step(rules, watch, [], now + 20 * MINUTE)
    assert [item.rule for item in told] == ["Silent"]


def test_silence_counts_from_the_moment_at_which_somebody_watches_again():
    rules = read_rules(FLOW)
    watch, _ = begin(FLOW)
    watch, _ = engine.step(rules, watch, [Arrived(NAME, NOON, 0)], NOON)
    watch = resumed(watch, NOON + 60 * MINUTE)
    watch, told = engine.step(rules, watch, [], NOON + 69 * MINUTE)
    assert told == []
    _, told = engine.step(rules, watch, [], NOON + 71 * MINUTE)
    assert [item.at for item in told] == [NOON + 70 * MINUTE]


def test_silence_and_gaps_that_go_on_do_not_end_because_nobody_watched_for_a_while():
    rules = read_rules(FLOW)
    watch, _ = begin(FLOW)
    facts: list[Fact] = [Arrived(NAME, NOON, 0), GapTold(NAME, NOON + MINUTE, NOON)]
    watch, told = engine.step(rules, watch, facts, NOON + 20 * MINUTE)
    assert [(item.rule, item.kind) for item in told] == [("Gap", Kind.FIRED), ("Silent", Kind.FIRED)]
    watch, told = engine.adopt(rules, resumed(watch, NOON + 60 * MINUTE), NOON + 60 * MINUTE)
    assert told == []
    watch, told = engine.step(rules, watch, [], NOON + 90 * MINUTE)
    assert told == []
    back: list[Fact] = [Arrived(NAME, NOON + 90 * MINUTE, 1), GapTold(NAME, NOON + 90 * MINUTE, None)]
    _, told = engine.step(rules, watch, back, NOON + 91 * MINUTE)
    assert {(item.rule, item.kind) for item in told} == {("Gap", Kind.RESOLVED), ("Silent", Kind.RESOLVED)}


def test_facts_of_the_future_and_of_the_past_count_now():
    watch, _ = begin(DEGRADED)
    odd = [replace(frame(n, 0.1), at=NOON + days * timedelta(days=1)) for n, days in enumerate([9, -9, 2, 0])]
    watch, told = engine.step(read_rules(DEGRADED), watch, odd, NOON + MINUTE)
    assert [item.at for item in told] == [NOON + MINUTE]
    assert watch.now == NOON + MINUTE


# -- rules that change ------------------------------------------------------------------------


def test_a_rule_that_is_removed_while_it_fires_ends_its_alert_and_says_why():
    watch, _ = begin(DEGRADED)
    watch, told = engine.step(read_rules(DEGRADED), watch, scores([0.1] * 5), NOON + 9 * MINUTE)
    watch, told = engine.adopt(Rules(), watch, NOON + 10 * MINUTE)
    assert [(t.kind, t.is_announced, t.evidence["reason"]) for t in told] == [
        (Kind.RESOLVED, True, engine.REMOVED)
    ]
    assert not watch.states and not watch.wakes


def test_a_rule_that_is_mended_while_it_fires_goes_on():
    watch, _ = begin(DEGRADED)
    watch, _ = engine.step(read_rules(DEGRADED), watch, scores([0.1] * 5), NOON + 9 * MINUTE)
    mended = DEGRADED.replace("0.4", "0.3")
    watch, told = engine.adopt(read_rules(mended), watch, NOON + 10 * MINUTE)
    assert told == [] and len(watch.states) == 1
    watch, told = engine.adopt(read_rules(mended.replace("kso-*", "gong-*")), watch, NOON + 10 * MINUTE)
    assert [item.kind for item in told] == [Kind.RESOLVED]


# -- what does not matter -----------------------------------------------------------------------

MANY = DEGRADED + FLOW + "- alert: Slow\n  when: {quality: {lt: 0.4}}\n  for: 150s\n  clear_for: 100s\n"
MANY += "  notify: [a]\n  repeat: 4h\n  group_by: []\n  group_wait: 1s\n"
MANY += "  escalate: [{after: 10m, notify: [b]}, {after: 20m, notify: [c], unless: never}]\n"

_moments = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(["bad", "good", "none", "came", "same", "gap", "shut"])),
    max_size=40,
)


def _facts(drawn: list[tuple[int, str]]) -> list[Fact]:
    second, found = 0, []
    for number, (pause, kind) in enumerate(drawn):
        second += pause
        at = NOON + timedelta(seconds=second)
        judged = {"bad": 0.1, "good": 0.9, "none": None}
        if kind in judged:
            found.append(frame(number, judged[kind], "cloud", at=at, date_obs=at, received_at=at))
        elif kind == "came":
            found.append(Arrived(NAME, at, number))
        elif kind == "same":
            found.append(Sighted(NAME, at, "x"))
        else:
            found.append(GapTold(NAME, at, at if kind == "gap" else None))
    return found


def _plain(told: Iterable[Transition]) -> list[tuple[object, ...]]:
    """Without the number looked at last, such as the seconds of silence: it is of when it was looked at."""
    return [
        (t.rule, t.kind, t.at, t.is_announced, t.annotations, dict(t.evidence) | {"value": None})
        for t in told
    ]


@settings(max_examples=30)
@given(_moments, st.integers(201, 1500))
def test_it_says_the_same_however_often_it_is_asked_and_started_anew(
    drawn: list[tuple[int, str]], pause: int
):
    rules, facts = read_rules(MANY), _facts(drawn)
    end = NOON + timedelta(seconds=400 * 41)
    watch, _ = engine.adopt(rules, Watch(NOON, NOON), NOON)
    _, at_once = engine.step(rules, watch, facts, end)
    in_parts: list[Transition] = []
    for number in range(0, 400 * 41 + pause, pause):
        now = NOON + timedelta(seconds=number)
        due = [fact for fact in facts if fact.at <= now]
        facts = facts[len(due) :]
        watch, told = engine.step(rules, watch, due, min(now, end))
        in_parts += told
        memories = {name: memory_of(memory_json(memory)) for name, memory in watch.memories.items()}
        states = {key: state_of(state_json(state)) for key, state in watch.states.items()}
        assert (memories, states) == (watch.memories, watch.states)
        if number % 2 == 0:  # with its wakes, as where rules are read anew, or without them, as after a start
            kept = watch if number % 4 == 0 else replace(watch, wakes={})
            watch, told = engine.adopt(rules, kept, watch.now)
            assert told == []
    assert _plain(in_parts) == _plain(at_once)
    firing: set[tuple[str, str]] = set()
    for item in at_once:  # an alert fires once, and ends once
        key = item.rule, item.alert_key
        assert (key in firing) == (item.kind is not Kind.FIRED)
        firing = firing - {key} if item.kind is Kind.RESOLVED else firing | {key}
