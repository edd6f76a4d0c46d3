"""The line of time: what repeats, what wins where several reasons hold, and what a camera of the night needs."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from observatory.observing import Habit, Observing, Plan, State, Weekly, Window, timeline
from observatory.sky import Site, sun_elevation_deg

DAY_S = 86400.0
MONDAY = datetime(2024, 2, 26, tzinfo=UTC)  # of the week with 29 February
KANZELHOEHE = Site(46.678, 13.902, 1526)


def hours(weekly: Weekly, start: datetime, end: datetime) -> list[tuple[float, float]]:
    """Spans in hours from the Monday on."""
    found = weekly.between(start.timestamp(), end.timestamp())
    return [tuple((edge - MONDAY.timestamp()) / 3600 for edge in span) for span in found]  # type: ignore[misc]


def test_what_repeats_is_found_on_leap_days_and_into_the_next_month() -> None:
    weekly = Weekly(frozenset({3, 4}), time(23, 30), timedelta(hours=1))  # Thursday the 29th, Friday 1 March
    found = hours(weekly, MONDAY, MONDAY + timedelta(days=7))
    assert found == [(3 * 24 + 23.5, 4 * 24 + 0.5), (4 * 24 + 23.5, 5 * 24 + 0.5)]


def test_what_began_a_week_ago_still_holds_and_what_only_touches_a_span_does_not() -> None:
    week = Weekly(frozenset({0}), time(12), timedelta(days=7))
    inside = MONDAY + timedelta(days=7, hours=11)
    assert hours(week, inside, inside + timedelta(minutes=59)) == [(12, 12 + 7 * 24)]
    daily = Weekly(frozenset(range(7)), time(12), timedelta(hours=1))
    one = MONDAY + timedelta(hours=13)
    assert hours(daily, one, one + timedelta(hours=23)) == []
    assert hours(daily, one - timedelta(seconds=1), one) == [(12, 13)]


def test_of_several_reasons_maintenance_is_told_before_weather_before_eclipse_before_night() -> None:
    start_s = datetime(2024, 7, 20, tzinfo=UTC).timestamp()  # in SDO's season of eclipses
    observing = Observing(Habit.DAY, KANZELHOEHE, limit_deg=90.0, is_sdo=True)  # never day

    def window(first: float, last: float) -> Window:
        return Window(*(datetime.fromtimestamp(start_s + hour * 3600, UTC) for hour in (first, last)))

    def states(**given: tuple[Window, ...]) -> set[State]:
        found = timeline(Plan(observing, **given), start_s, start_s + DAY_S)
        return {State(int(state)) for state in found.states}

    whole = window(-1, 25)
    assert states() == {State.NIGHT, State.ECLIPSE}
    assert states(closures=(whole,)) == {State.WEATHER}
    assert states(closures=(whole,), maintenance=(whole,)) == {State.MAINTENANCE}
    assert states(maintenance=(window(2, 3),), closures=(window(1, 25),)) >= {
        State.WEATHER,
        State.MAINTENANCE,
    }


@pytest.mark.parametrize("month", [1, 6])
def test_a_camera_of_the_night_rests_while_one_of_the_day_works(month: int) -> None:
    start_s = datetime(2026, month, 1, tzinfo=UTC).timestamp()
    by_night, by_day = (
        timeline(Plan(Observing(habit, KANZELHOEHE, -6.0)), start_s, start_s + 2 * DAY_S)
        for habit in (Habit.NIGHT, Habit.DAY)
    )
    np.testing.assert_array_equal(by_night.edges_s, by_day.edges_s)
    for moment in np.arange(start_s + 450, start_s + 2 * DAY_S, 900.0):
        is_up = sun_elevation_deg(np.array([moment]), KANZELHOEHE)[0] > -6.0
        assert (by_night.state_at(moment) is State.NIGHT) is bool(is_up)
        assert (by_day.state_at(moment) is State.EXPECTED) is bool(is_up)


def test_a_camera_whose_place_nobody_knows_is_always_expected() -> None:
    line = timeline(Plan(Observing(Habit.NIGHT)), MONDAY.timestamp(), MONDAY.timestamp() + DAY_S)
    assert line.states.tolist() == [State.EXPECTED] and len(line.edges_s) == 2


def test_at_its_edges_a_piece_is_the_one_that_begins_there() -> None:
    closed = Window(MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=2))
    start_s = MONDAY.timestamp()
    line = timeline(Plan(closures=(closed,)), start_s, start_s + 3 * 3600)
    told = [line.state_at(start_s + hour * 3600) for hour in (-1, 0, 1, 1.999, 2, 3, 4)]
    up, shut = State.EXPECTED, State.WEATHER
    assert told == [up, up, shut, shut, up, up, up]
