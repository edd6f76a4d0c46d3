"""The engine where something is unknown, where alerts end at one moment, and where rules watch several things."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from observatory.alerts import engine
from observatory.alerts.conditions import All, AnyOf, Bound, Gap, Not, Onset, Verdict, View
from observatory.alerts.facts import Arrived, Fact, GapTold, OnsetTold, RegionTotals
from observatory.alerts.memory import Memory
from observatory.alerts.rule_file import read_rules
from observatory.alerts.states import moved
from observatory.alerts.transitions import Kind, Transition
from tests.observatory.alert_runs import MINUTE, NAME, NOON, begin, frame, run, spans

BAD = "- alert: Bad\n  when: {quality: {lt: 0.4}}\n"
GAP = "- alert: Gap\n  when: {gap: true}\n"


def told_of(text: str, facts: list[Fact], minutes: int = 60) -> list[Transition]:
    watch, _ = begin(text)
    return engine.step(read_rules(text), watch, facts, NOON + minutes * MINUTE)[1]


# -- what is unknown --------------------------------------------------------------------------


def test_a_duration_begins_with_the_first_frame_that_is_known_to_be_bad():
    text = BAD + "  for: 5m\n"
    facts = [frame(0, None), frame(1, None), *[frame(n, 0.1) for n in range(2, 12)]]
    assert spans(run(text, facts)) == [("Bad", 7, None)]


def test_a_duration_does_not_end_while_it_is_unknown_whether_frames_are_bad():
    text = BAD + "  for: 5m\n"
    unknown: list[Fact] = [frame(n, None) for n in range(1, 9)]
    assert run(text, [frame(0, 0.1), *unknown]) == []
    assert spans(run(text, [frame(0, 0.1), *unknown, frame(9, 0.1)])) == [("Bad", 9, None)]


def test_frames_that_nobody_judged_neither_end_an_alert_nor_begin_its_end_anew():
    text = BAD + "  clear_frames: 2\n"
    facts = [frame(n, value) for n, value in enumerate([0.1, None, None, 0.9, None, 0.9, 0.9])]
    assert spans(run(text, facts)) == [("Bad", 0, 5)]


class Said:
    """A condition that always says the same."""

    def __init__(self, truth: bool | None, wake: int | None = None, value: float | None = None) -> None:
        self.verdict = Verdict(truth, None if wake is None else NOON + wake * MINUTE, value)

    def ask(self, view: View) -> Verdict:
        return self.verdict


VIEW = View(Memory(), NOON, NOON)


@pytest.mark.parametrize(
    ("truths", "all_hold", "one_holds"),
    [
        ((True, True), True, True),
        ((True, False), False, True),
        ((False, False), False, False),
        ((True, None), None, True),
        ((None, False), False, None),
        ((None, None), None, None),
    ],
)
def test_an_unknown_part_leaves_the_whole_unknown_unless_another_decides(
    truths: tuple[bool | None, ...], all_hold: bool | None, one_holds: bool | None
):
    parts = tuple(Said(truth) for truth in truths)
    assert All(parts).ask(VIEW).truth is All(parts[::-1]).ask(VIEW).truth is all_hold
    assert AnyOf(parts).ask(VIEW).truth is AnyOf(parts[::-1]).ask(VIEW).truth is one_holds


def test_where_no_gap_and_no_onset_was_told_there_is_none():
    assert Gap(timedelta(0)).ask(VIEW) == Onset(timedelta(hours=1)).ask(VIEW) == Verdict(False)


def test_of_several_parts_the_first_to_change_wakes_and_the_one_that_decided_gives_its_number():
    parts = (Said(True, 9, 1.0), Said(False), Said(False, 5, 3.0), Said(None, None, 4.0))
    assert All(parts).ask(VIEW) == Verdict(False, NOON + 5 * MINUTE, 3.0)
    assert AnyOf(parts).ask(VIEW) == Verdict(True, NOON + 5 * MINUTE, 1.0)
    assert Not(Said(None, 5, 3.0)).ask(VIEW) == Verdict(None, NOON + 5 * MINUTE, 3.0)


@pytest.mark.parametrize(
    ("bound", "holding", "grows"),
    [
        (Bound(lt=2.0), [1.0], False),
        (Bound(lte=2.0), [1.0, 2.0], False),
        (Bound(gt=2.0), [3.0], True),
        (Bound(gte=2.0), [2.0, 3.0], True),
        (Bound(between=(1.0, 2.0)), [1.0, 2.0], False),
        (Bound(gt=1.0, lte=2.0), [2.0], False),
    ],
)
def test_a_bound_holds_up_to_its_limits(bound: Bound, holding: list[float], grows: bool):
    assert [value for value in (1.0, 2.0, 3.0) if bound.holds(value)] == holding
    assert bound.only_grows_true is grows


@pytest.mark.parametrize(
    "when",
    [
        "is_degraded: true",
        "is_degraded: false",
        "cause: {one_of: [cloud], probability: {lt: 0.5}}",
        "sky_class: {one_of: [cloud]}",
        "change: {of: quality, over: 10m, by: {lt: 1}}",
    ],
)
def test_nothing_is_known_of_frames_before_one_came_and_of_one_that_nothing_judged(when: str):
    condition = read_rules(f"- alert: A\n  when: {{{when}}}\n").rules[0].when
    assert condition.ask(VIEW).truth is None
    assert condition.ask(replace(VIEW, memory=Memory(frame=frame(0, None)))).truth is None


def test_late_frames_are_not_among_those_in_a_row():
    late = [replace(frame(20 + n, 0.1), date_obs=NOON + n * MINUTE) for n in range(4)]
    assert run(BAD + "  for_frames: 3\n", [frame(9), frame(10, 0.1), *late, frame(26, 0.1)]) == []


def test_an_alert_may_end_by_time_alone():
    text = BAD + "  clear_when: {silent_for: 10m}\n"
    assert spans(run(text, [frame(0, 0.1), frame(1)])) == [("Bad", 0, 10)]


# -- what ends at one moment, and what is kept quiet --------------------------------------------


def test_an_alert_that_is_no_longer_kept_quiet_is_told_at_that_moment_though_another_watch_ended_then():
    text = f"""
{BAD}  clear_for: 10m
- alert: Onset
  instrument: {NAME}
  when: {{onset: {{within: 20m}}}}
  inhibited_by: Bad
- alert: Good
  when: {{quality: {{gt: 0.8}}}}
  for: 10m
"""
    facts: list[Fact] = [
        frame(0, 0.1),
        OnsetTold(NAME, NOON, NOON),
        frame(1, 0.9),  # ten minutes later Bad ends, and Good would fire
        frame(2, 0.7),
    ]
    told = told_of(text, facts)
    assert [(t.rule, t.kind, t.is_announced, round((t.at - NOON) / MINUTE, 2)) for t in told] == [
        ("Bad", Kind.FIRED, True, 0),
        ("Onset", Kind.FIRED, False, 0),
        ("Bad", Kind.RESOLVED, True, 11),
        ("Onset", Kind.UPDATED, True, 11),
        ("Onset", Kind.RESOLVED, True, 20),
    ]


def test_alerts_that_end_at_one_moment_end_together():
    text = f"""
- alert: First
  instrument: {NAME}
  when: {{onset: {{within: 20m}}}}
- alert: Second
  instrument: {NAME}
  when: {{onset: {{within: 20m}}}}
  inhibited_by: First
"""
    told = told_of(text, [OnsetTold(NAME, NOON, NOON)])
    assert [(t.rule, t.kind, t.is_announced) for t in told] == [
        ("First", Kind.FIRED, True),
        ("Second", Kind.FIRED, False),
        ("First", Kind.RESOLVED, True),
        ("Second", Kind.RESOLVED, False),
    ]


def test_only_an_alert_that_fires_keeps_another_quiet():
    text = BAD + "  inhibited_by: Slow\n" + BAD.replace("Bad", "Slow") + "  for: 10m\n"
    (told,) = told_of(text, [frame(0, 0.1)], minutes=5)
    assert (told.rule, told.is_announced) == ("Bad", True)


def test_what_happens_at_another_instrument_keeps_nothing_quiet():
    facts: list[Fact] = [GapTold("bbso-halpha", NOON, NOON), frame(1, 0.1)]
    told = told_of(BAD + "  inhibited_by: Gap\n" + GAP, facts)
    assert [(t.rule, t.is_announced, t.inhibited_by) for t in told] == [
        ("Gap", True, None),
        ("Bad", True, None),
    ]


def test_rules_by_which_one_alert_begins_to_keep_another_quiet_say_so():
    watch, _ = begin(BAD + GAP)
    watch, _ = engine.step(read_rules(BAD + GAP), watch, [GapTold(NAME, NOON, NOON), frame(1, 0.1)], NOON)
    _, told = engine.adopt(read_rules(BAD + "  inhibited_by: Gap\n" + GAP), watch, NOON + MINUTE)
    assert [(t.rule, t.kind, t.inhibited_by, t.is_announced) for t in told] == [
        ("Bad", Kind.UPDATED, "Gap", False)
    ]


def test_a_duration_that_runs_while_rules_are_read_anew_ends_in_time():
    text = BAD + "  for: 10m\n"
    watch, _ = begin(text)
    watch, _ = engine.step(read_rules(text), watch, [frame(0, 0.1)], NOON + MINUTE)
    watch, _ = engine.adopt(read_rules(text), watch, NOON + 2 * MINUTE)
    _, told = engine.step(read_rules(text), watch, [], NOON + 20 * MINUTE)
    assert [(t.kind, t.at) for t in told] == [(Kind.FIRED, NOON + 10 * MINUTE)]


# -- rules that watch several things ------------------------------------------------------------


def test_a_pattern_of_instruments_is_no_instrument_that_could_be_silent():
    assert run("- alert: Silent\n  instrument: kso-*\n  when: {silent_for: 10m}\n", [], 60) == []


def test_each_rule_and_each_instrument_has_causes_of_its_own():
    def rule(name: str) -> str:
        when = f"{{cause: {{one_of: [{name}], probability: {{gt: 0.5}}}}}}"
        return f"- alert: {name}\n  when: {when}\n  per: cause\n"

    facts: list[Fact] = []
    for n in range(6):
        facts += [frame(n, 0.1, "cloud"), frame(n, 0.1, "dust", instrument="bbso-halpha")]
    facts += [frame(6), frame(6, instrument="bbso-halpha")]
    found = run(rule("cloud") + rule("dust"), facts)
    assert [(*spans([a])[0], a.instrument, a.evidence["frames"]) for a in found] == [
        ("cloud", 0, 6, NAME, 6),
        ("dust", 0, 6, "bbso-halpha", 6),
    ]


def test_a_rule_can_fire_for_each_type_of_region():
    text = "- alert: Large\n  when: {region: {disk_fraction: {gt: 0.05}}}\n  per: event_type\n"
    text += "  annotations: {summary: '{event_type} in {file_name} of {date_obs}: {value:.2f}'}\n"

    def regions(hole: float, active: float) -> dict[str, RegionTotals]:
        return {"CH": RegionTotals(1, hole, hole * 1e6), "AR": RegionTotals(1, active, active * 1e6)}

    facts = [
        frame(0, regions=regions(0.02, 0.02), file_name="0.fits"),
        frame(1, regions=regions(0.06, 0.02), file_name="1.fits"),
        frame(2, regions=regions(0.07, 0.08), file_name="2.fits", date_obs=None),
        frame(3, regions=regions(0.02, 0.09), file_name="3.fits"),
    ]
    found = run(text, facts)
    assert [(*spans([a])[0], a.labels["event_type"]) for a in found] == [
        ("Large", 1, 3, "CH"),
        ("Large", 2, None, "AR"),
    ]
    fired = [t.annotations["summary"] for t in told_of(text, list(facts)) if t.kind is Kind.FIRED]
    assert fired == [
        "CH in 1.fits of 2026-06-01 12:01:00 UTC: 0.06",
        "AR in 2.fits of unknown: 0.08",
    ]


def test_what_came_last_is_told_before_the_ledgers_gap():
    text = GAP + "  annotations: {summary: 'no frames since {last_seen}'}\n"
    facts: list[Fact] = [Arrived(NAME, NOON, 1), GapTold(NAME, NOON + 3 * MINUTE, NOON + MINUTE)]
    assert [t.annotations["summary"] for t in told_of(text, facts)] == [
        "no frames since 2026-06-01 12:00:00 UTC"
    ]


def test_the_evidence_names_the_first_of_the_worst_frames_and_counts_leading_causes():
    text = "- alert: C\n  when: {cause: {one_of: [cloud, dust], probability: {gt: 0.5}}}\n"
    qualities = [0.5, None, 0.2, 0.2, 0.3]
    facts = [frame(n, value, causes={"cloud" if n else "dust": 0.9}) for n, value in enumerate(qualities)]
    (alert,) = run(text, [*facts, frame(5, 0.1)])
    assert alert.alert_key == f"instrument={NAME}"
    assert dict(alert.evidence) | {"value": None} == {
        "frames": 5,
        "cause": "cloud",
        "causes": {"dust": 1, "cloud": 4},
        "first_frame_id": 0,
        "last_frame_id": 4,
        "worst_frame_id": 2,
        "worst_quality": 0.2,
        "value": None,
    }


def test_a_clock_that_jumps_does_not_move_the_end_of_an_alert_that_is_about_to_clear():
    text = BAD + "  clear_for: 10m\n"
    watch, _ = begin(text)
    watch, _ = engine.step(read_rules(text), watch, [frame(0, 0.1), frame(1)], NOON + 2 * MINUTE)
    jump = timedelta(hours=-3)
    _, told = engine.step(read_rules(text), moved(watch, jump), [], NOON + jump + 20 * MINUTE)
    assert [(t.kind, t.at) for t in told] == [(Kind.RESOLVED, NOON + jump + 11 * MINUTE)]


def test_what_is_told_holds_numbers_of_the_frame_and_of_its_sky():
    text = "- alert: Cloudy\n  when: {cloud_cover: {gt: 0.5}}\n"
    text += "  annotations: {summary: '{cloud_cover:.2f} {quality:.1f} {disturbance_nt} {latency_s:.0f} s'}\n"
    (told,) = told_of(text, [frame(0, 0.3, sky={"cloud_cover": 0.75}, latency_s=2.0)])
    assert told.annotations["summary"] == "0.75 0.3 unknown 2 s"
