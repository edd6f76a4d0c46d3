"""The ledger, pure: rows of times in, what is missing out."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from observatory import sdo
from observatory.coverage import ledger
from observatory.ledger import Came, Ledger, Worth
from observatory.observing import Habit, Observing, Plan, State, Weekly, Window, timeline
from observatory.sky import Site, sun_elevation_deg

DAY_S = 86400.0
MINUTE = timedelta(minutes=1)
START = datetime(2026, 6, 1, tzinfo=UTC)
START_S = START.timestamp()
KANZELHOEHE = Site(46.678, 13.902, 1526)
HALPHA = Observing(Habit.DAY, KANZELHOEHE, 5.0)
rng = np.random.default_rng


def came(times_s, worth: int = Worth.USABLE, **more) -> Came:
    times = np.sort(np.asarray(times_s, float))
    first = {"first_s": float(times[0])} if len(times) else {}
    return Came(times, np.full(len(times), worth, np.int8), **(first | more))


def written(
    times_s, *, cadence_s: float | None = 60.0, days: float = 1.0, plan: Plan | None = None, **more
) -> Ledger:
    plan = plan or Plan(cadence_s=cadence_s)
    end_s = START_S + days * DAY_S
    return ledger(plan, came(times_s), START_S, end_s, due_s=more.pop("due_s", end_s), **more)


def regular(cadence_s: float = 60.0, days: float = 1.0, jitter: float = 0.0, seed: int = 1):
    times = START_S + np.arange(0.0, days * DAY_S, cadence_s)
    return times + rng(seed).uniform(-jitter, jitter, len(times)) * cadence_s * (np.arange(len(times)) > 0)


def missing(one: Ledger):
    return one.gaps.of(one.gaps.select([State.EXPECTED]))


@pytest.mark.parametrize("declared", [60.0, None], ids=["given", "learned"])
@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.3])
def test_a_whole_row_has_no_gap_and_a_lost_frame_is_one(declared: float | None, jitter: float) -> None:
    times = regular(jitter=jitter)
    whole = written(times, cadence_s=declared)
    assert missing(whole) == [] and whole.total.missing == 0
    assert whole.total.expected == whole.total.received == whole.total.usable == 1440
    assert whole.is_learned is (declared is None) and whole.cadence_s == pytest.approx(60, rel=0.03)
    cut = written(np.delete(times, [100, 700, 701, 702]), cadence_s=declared)
    found = missing(cut)
    assert [gap.frames_lost for gap in found] == [1, 3]
    for gap, place in zip(found, (100, 700), strict=True):
        assert abs(gap.start.timestamp() - times[place]) < 60 * (0.05 + 2 * jitter)
    assert found[1].length_s == pytest.approx(180, abs=60 * (0.1 + 2 * jitter))
    assert cut.total.expected == 1440 and cut.total.missing == 4


@pytest.mark.parametrize("declared", [60.0, None], ids=["given", "learned"])
@pytest.mark.parametrize("rate", [0.98, 1.02, 0.95, 1.05])
def test_a_clock_that_runs_slow_or_fast_opens_no_gap(declared: float | None, rate: float) -> None:
    times = regular(60 * rate, days=5, jitter=0.1)
    whole = written(times, cadence_s=declared, days=5)
    assert missing(whole) == [] and whole.total.received == len(times)
    cut = written(np.delete(times, np.arange(2000, 3000)), cadence_s=declared, days=5)
    assert [gap.frames_lost for gap in missing(cut)] == [pytest.approx(1000, abs=2)]


def test_a_drift_that_changes_its_mind_opens_no_gap() -> None:
    steps = 60 * (1 + 0.02 * np.sin(np.arange(7000) / 300)) + rng(2).normal(0, 4, 7000)
    assert missing(written(START_S + np.cumsum(steps), days=4.8, due_s=START_S + 4.8 * DAY_S)) == []


def test_frames_that_came_twice_do_not_fill_two_slots() -> None:
    times = np.delete(regular(), [500, 501])
    twice = np.concatenate([times, times + 0.4, times[490:499] + 3])
    one = written(twice)
    assert [gap.frames_lost for gap in missing(one)] == [2]
    assert (one.total.received, one.total.frames) == (1438, 2 * 1438 + 9)


def test_the_best_frame_of_a_slot_counts() -> None:
    times = regular()
    worth = np.full(1440, Worth.USABLE, np.int8)
    worth[10:20], worth[20:25], worth[25] = Worth.UNUSABLE, Worth.WAITING, Worth.FROZEN
    both = np.concatenate([times, times[12:14] + 1])
    order = np.argsort(both)
    worths = np.concatenate([worth, np.full(2, Worth.USABLE, np.int8)])
    one = ledger(
        Plan(cadence_s=60),
        Came(both[order], worths[order], first_s=START_S),
        START_S,
        START_S + DAY_S,
        due_s=START_S + DAY_S,
    )
    total = one.total
    assert (total.unusable, total.waiting, total.frozen, total.usable) == (8, 5, 1, 1426)
    assert total.share(total.usable) == pytest.approx(1426 / 1440)


def test_an_instrument_at_ten_times_its_cadence_is_whole_and_its_gaps_are_seen() -> None:
    times = regular(6.0)
    one = written(times)
    assert missing(one) == [] and one.total.frames == 14400
    assert one.total.expected == pytest.approx(1440, abs=2)
    cut = written(times[(times < START_S + 40000) | (times > START_S + 40420)])
    assert [gap.frames_lost for gap in missing(cut)] == [pytest.approx(7, abs=1)]


def test_a_burst_of_ten_times_the_cadence_leaves_the_rest_as_it_is() -> None:
    times = np.concatenate([regular(), START_S + 30000 + np.arange(0, 3600, 6.0)])
    for declared in (60.0, None):
        assert missing(written(times, cadence_s=declared)) == []


@pytest.mark.parametrize(("first", "second"), [(20.0, 60.0), (60.0, 20.0), (60.0, 45.0)])
def test_a_learned_cadence_follows_a_change_in_the_middle(first: float, second: float) -> None:
    times = np.concatenate([regular(first, 0.5), START_S + 43200 + np.arange(0, 43200, second)])
    one = written(times, cadence_s=None)
    assert one.total.missing <= 40, "the change is learned within a block of spacings"
    assert one.total.missing / one.total.expected < 0.02


def test_a_camera_half_as_fast_as_given_misses_every_other_frame() -> None:
    one = written(regular(120.0))
    assert one.total.missing == pytest.approx(720, abs=1) and one.total.received == 720
    slower = written(regular(78.0))
    assert slower.total.expected == pytest.approx(1440, abs=3)


def test_a_silent_year_is_one_gap_and_only_of_a_camera_whose_cadence_was_given() -> None:
    times = START_S - 365 * DAY_S + np.arange(0.0, DAY_S, 60.0)
    given = ledger(
        Plan(cadence_s=60), came(times), START_S - 365 * DAY_S, START_S, due_s=START_S, bin_s=DAY_S
    )
    (gap,) = missing(given)
    assert gap.is_open and gap.frames_lost == pytest.approx(364 * 1440, abs=2)
    assert len(given.bins) == 365 and given.bins[200].missing == 1440
    learned = ledger(Plan(), came(times), START_S - 365 * DAY_S, START_S, due_s=START_S, bin_s=DAY_S)
    assert learned.total.missing == 30 * 1440
    assert not missing(learned)[0].is_open, "nothing is expected any more"
    assert learned.bins[200].expected == 0


def test_nothing_is_expected_of_what_nobody_knows() -> None:
    never = written([], cadence_s=None)
    assert never.cadence_s is None and never.total.expected == 0 and len(never.gaps) == 0
    few = written(START_S + np.array([0.0, 50.0, 500.0]), cadence_s=None)
    assert few.cadence_s is None and few.total.expected == 0 and few.total.frames == 3
    promised = written([])
    assert promised.total.missing == promised.total.expected == 1440
    assert missing(promised)[0].is_open


def test_before_the_first_frame_nothing_is_missing_unless_somebody_said_since_when() -> None:
    times = regular()[720:]
    assert written(times).total.expected == 720
    since = written(times, plan=Plan(cadence_s=60, since=START + timedelta(hours=6)))
    assert since.total.missing == pytest.approx(360, abs=1)


def test_what_is_missing_before_the_first_frame_is_one_gap_up_to_it() -> None:
    one = written(regular()[100:], plan=Plan(cadence_s=60, since=START))
    (gap,) = missing(one)  # the slot at the very moment from which on frames are expected is none
    assert (gap.frames_lost, gap.start, gap.end) == (99, START + MINUTE, START + 100 * MINUTE)
    assert (one.total.expected, one.total.received) == (1439, 1340)


def test_a_frame_at_the_very_end_of_a_span_is_of_the_next_one() -> None:
    times = np.concatenate([regular()[:-10], [START_S + DAY_S]])
    one = written(times, due_s=START_S)
    assert (one.total.expected, one.total.received, one.total.frames) == (1430, 1430, 1430)
    assert missing(one) == []


@pytest.mark.parametrize("bin_s", [None, 6 * 3600.0])
def test_all_frames_of_a_span_are_counted_and_no_other(bin_s: float | None) -> None:
    few = written(START_S + np.array([0.0, 50.0, DAY_S]), cadence_s=None, bin_s=bin_s)
    assert few.total.frames == 2, "the one at its end is of the next span"
    noon = Plan(cadence_s=60, since=START + timedelta(hours=12))
    one = written(regular(days=1.1), plan=noon, bin_s=bin_s)
    assert (one.total.frames, one.total.received) == (1440, 720), "those before any was expected, too"
    assert [count.frames for count in one.bins] == ([360] * 4 if bin_s else [])


def test_frames_that_are_not_due_yet_are_not_missing() -> None:
    now = START_S + 43200
    times = regular()[:720]
    assert missing(written(times, due_s=now)) == []
    assert missing(written(times, due_s=now + 25)) == []
    (gap,) = missing(written(times, due_s=now + 420))
    assert gap.is_open and gap.frames_lost == pytest.approx(7, abs=1)


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_by_an_hour_loses_the_hour_once(by_s: float) -> None:
    times = regular()
    times[600:900] += by_s
    one = written(times)
    assert sum(gap.frames_lost for gap in missing(one)) == pytest.approx(60, abs=3)
    assert len(missing(one)) <= 3


def test_nights_are_excused_and_the_day_is_not() -> None:
    edges = START_S + np.arange(0, 3 * DAY_S, 120.0)
    by_day = edges[sun_elevation_deg(edges, KANZELHOEHE) > 5.0]
    plan = Plan(HALPHA, cadence_s=120.0)
    one = written(by_day, plan=plan, days=3, bin_s=DAY_S)
    assert missing(one) == []
    assert one.total.received == len(by_day)
    assert one.total.excused["night"] + len(by_day) == pytest.approx(3 * 720, abs=720)
    nights = one.gaps.of(one.gaps.select([State.NIGHT]))
    assert len(nights) == 3 and all(gap.length_s > 8 * 3600 for gap in nights[:2])
    late = np.delete(by_day, np.arange(5, 40))
    (gap,) = missing(written(late, plan=plan, days=3))
    assert gap.frames_lost == 35
    noon = (by_day > START_S + 1.4 * DAY_S) & (by_day < START_S + 2.6 * DAY_S)
    found = missing(written(by_day[~noon], plan=plan, days=3, bin_s=3600.0))
    assert len(found) == 2, "the night between does not count"
    assert sum(gap.frames_lost for gap in found) == pytest.approx(noon.sum(), abs=4)


def test_maintenance_and_weather_excuse_and_a_reason_of_people_wins_over_the_night() -> None:
    window = Window(START + timedelta(hours=9), START + timedelta(hours=10), "filter")
    weekly = Weekly(frozenset({0}), time(12), timedelta(minutes=30))  # 1 June 2026 is a Monday
    closed = Window(START + timedelta(hours=15), START + timedelta(hours=30), "snow")
    plan = Plan(HALPHA, 60.0, maintenance=(window, weekly), closures=(closed,))
    hours = (regular(days=2) - START_S) / 3600
    up = sun_elevation_deg(regular(days=2), KANZELHOEHE) > 5.0
    lost = ((hours >= 9) & (hours < 10)) | ((hours >= 12) & (hours < 12.5)) | ((hours >= 15) & (hours < 30))
    one = written(regular(days=2)[up & ~lost], plan=plan, days=2)
    assert missing(one) == []
    assert one.total.excused["maintenance"] == pytest.approx(90, abs=3)
    assert one.total.excused["weather"] == pytest.approx(15 * 60, abs=3)
    assert one.total.excused["night"] < 9 * 60


@pytest.mark.parametrize(
    ("window_min", "lost", "excused"),
    [
        ((59.7, 99.7), range(60, 101), 41),  # the last one is 0.3 cadences after the end of the window
        ((59.7, 99.3), range(60, 101), 40),
        ((60.3, 99.7), range(60, 100), 40),
        ((60.7, 99.7), range(60, 100), 39),
        ((60.3, 60.6), [60], 1),
        ((59.4, 59.7), [60], 1),
        ((59.1, 59.4), [60], 0),
    ],
)
def test_a_frame_within_half_a_cadence_of_a_closure_is_not_missed(
    window_min: tuple[float, float], lost: list[int], excused: int
) -> None:
    closed = Window(*(START + minute * MINUTE for minute in window_min))
    total = written(np.delete(regular(), lost), plan=Plan(cadence_s=60, closures=(closed,))).total
    assert (total.excused["weather"], total.missing) == (excused, len(lost) - excused)


def test_a_frame_right_after_an_eclipse_is_missed_since_eclipses_have_their_margin() -> None:
    season_s = datetime(2024, 7, 20, tzinfo=UTC).timestamp()
    begin_s, end_s = sdo.eclipses(season_s, season_s + DAY_S)[0]
    times = end_s + 18 + 60.0 * np.arange(-300, 300)
    seen = times[((times < begin_s) | (times > end_s)) & (times != end_s + 18)]
    plan = Plan(Observing(is_sdo=True), cadence_s=60.0)
    one = ledger(plan, came(seen), times[0], times[-1], due_s=times[-1])
    assert [gap.start.timestamp() for gap in missing(one)] == [pytest.approx(end_s + 18, abs=1)]
    assert one.total.missing == 1


def test_a_plan_is_cut_into_states_at_the_right_minutes() -> None:
    weekly = Weekly(frozenset(range(7)), time(23, 30), timedelta(hours=1))
    line = timeline(Plan(maintenance=(weekly,)), START_S, START_S + DAY_S)
    assert [State(int(state)) for state in line.states] == [
        State.MAINTENANCE,
        State.EXPECTED,
        State.MAINTENANCE,
    ]
    assert list((line.edges_s - START_S) / 60) == [0, 30, 23 * 60 + 30, 24 * 60]
    with pytest.raises(ValueError, match="an end after its start"):
        timeline(Plan(), START_S, START_S)


@pytest.mark.parametrize("bin_s", [3600.0, DAY_S])
def test_bins_add_up_to_the_whole(bin_s: float) -> None:
    times = np.delete(regular(days=3, jitter=0.2), rng(3).choice(4320, 900, replace=False))
    plan = Plan(HALPHA, 60.0)
    one = written(times, plan=plan, days=3, bin_s=bin_s)
    total = one.total
    assert len(one.bins) == 3 * DAY_S / bin_s
    assert total.expected == total.received + total.missing
    assert total.received == total.usable
    for name in ("expected", "received", "missing", "extra", "frames"):
        assert sum(getattr(count, name) for count in one.bins) == getattr(total, name)
    assert sum(gap.frames_lost for gap in missing(one)) == total.missing
    assert written(times, plan=plan, days=3).total == total


@pytest.mark.parametrize("bin_s", [250.0, 1000.0])
def test_bins_narrower_than_the_cadence_count_no_lost_frame_twice(bin_s: float) -> None:
    for late_s in range(0, 1200, 100):
        start = datetime.fromtimestamp(START_S + 10_000 + late_s, UTC)
        closed = Window(start, start + timedelta(seconds=9_700))
        plan = Plan(cadence_s=1200.0, maintenance=(closed,))
        times = START_S + 1200.0 * np.array([0, 1, 2, 3, 60, 61])
        whole, cut = (written(times, plan=plan, **more) for more in ({}, {"bin_s": bin_s}))
        assert cut.total == whole.total and len(cut.gaps) == len(whole.gaps)


def test_lateness_is_told_in_percentiles() -> None:
    late = np.arange(1.0, 101.0)
    one = ledger(
        Plan(cadence_s=60), came(regular(), lateness_s=late), START_S, START_S + DAY_S, due_s=START_S + DAY_S
    )
    assert one.lateness_s["p50"] == pytest.approx(50.5) and one.lateness_s["max"] == 100
