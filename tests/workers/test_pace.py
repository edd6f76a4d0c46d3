"""Costly work is begun only as often as its share of the time allows, and no instrument is passed over for ever."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.settings import Settings
from workers.pace import UNHURRIED, Pace


@dataclass
class Clock:
    """Seconds that pass when told."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def day(
    share: float, cost_s: float, cadence_s: float, names: list[str], frames: int
) -> tuple[Counter, Clock]:
    """Frames of several instruments at once, again and again; how many of each were worked on."""
    clock = Clock()
    pace = Pace(share, clock)
    given = Counter({name: 0 for name in names})
    for number in range(frames):
        clock.now = max(clock.now, number * cadence_s)
        for name in names:
            with pace.turn(name) as turn:
                if turn.denied is None:
                    clock.now += cost_s
                    given[name] += 1
                else:
                    assert turn.is_behind
    return given, clock


def test_what_fits_into_the_share_is_all_done():
    given, _ = day(0.5, 10, 45, ["continuum", "field"], 100)
    assert given["continuum"] >= 99 and given["field"] >= 99


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_of_the_time_is_held(share: float):
    given, clock = day(share, 20, 12, ["continuum", "field"], 2000)
    assert 20 * given.total() / clock.now == pytest.approx(share, rel=0.05)


def test_instruments_that_come_at_once_take_turns():
    given, _ = day(0.5, 20, 45, ["continuum", "field"], 200)
    assert abs(given["continuum"] - given["field"]) <= 2
    assert given.total() == pytest.approx(200 * 45 * 0.5 / 20, rel=0.05)


@given(
    costs=st.lists(st.floats(0.1, 60), min_size=3, max_size=3),
    share=st.floats(0.05, 1.0),
    cadence_s=st.floats(1, 60),
)
def test_no_instrument_is_passed_over_for_ever(costs: list[float], share: float, cadence_s: float):
    clock, names = Clock(), ("a", "b", "c")
    pace = Pace(share, clock)
    last = dict.fromkeys(names, 0.0)
    longest = 3 * 3 * max(costs) / share + 3 * max(costs) + 2 * cadence_s
    for number in range(300):
        clock.now = max(clock.now, number * cadence_s)
        for name, cost_s in zip(names, costs, strict=True):
            with pace.turn(name) as turn:
                if turn.denied is None:
                    clock.now += cost_s
                    last[name] = clock.now
            assert clock.now - last[name] <= longest


def test_an_instrument_that_stays_away_holds_up_nobody():
    clock = Clock()
    pace = Pace(0.5, clock)
    done = 0
    for number in range(400):
        clock.now = max(clock.now, number * 5.0)
        for name in ("continuum", "field") if number < 3 else ("continuum",):
            with pace.turn(name) as turn:
                if turn.denied is None:
                    clock.now += 10.0
                    done += 1
    assert 10.0 * done / clock.now == pytest.approx(0.5, rel=0.05)


def test_an_idle_night_saves_up_no_more_than_one_turn_each():
    clock, given = Clock(), []
    pace = Pace(0.5, clock)
    for at in (0, 1_000_000, 1_000_010, 1_000_020, 1_000_030):
        clock.now = at
        with pace.turn("continuum") as turn:
            if turn.denied is None:
                clock.now += 10
                given.append(at)
    assert given == [0, 1_000_000, 1_000_020]


def test_work_that_ends_by_an_error_costs_its_time_and_foretells_nothing():
    clock = Clock()
    pace = Pace(0.5, clock)
    with pace.turn("continuum"):
        clock.now += 10.0
    clock.now = 100.0
    with pytest.raises(ValueError, match="no Sun"), pace.turn("continuum"):
        clock.now += 0.5
        raise ValueError("no Sun")
    with pace.turn("continuum") as turn:
        assert turn.denied is not None  # half a second was spent, a quarter earned: ten are not there yet
    clock.now = 101.0
    with pace.turn("continuum") as turn:
        assert turn.denied is None


def test_threads_do_not_spend_the_same_time_twice():
    clock = Clock()
    pace = Pace(0.5, clock)
    with pace.turn("continuum"):
        clock.now += 10.0
    clock.now = 1000.0
    given, ready, leave = [], threading.Barrier(8), threading.Barrier(8)

    def work() -> None:
        ready.wait()
        with pace.turn("continuum") as turn:
            given.append(turn.denied is None)
            leave.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(given) == 1


def test_waiting_for_each_other_is_no_work():
    clock = Clock()
    pace = Pace(0.5, clock)

    class Waiting:
        def __enter__(self) -> None:
            clock.now += 100.0

        def __exit__(self, *_: object) -> None: ...

    for _ in range(2):
        with pace.turn("continuum", Waiting()) as turn:
            assert turn.denied is None
            clock.now += 10.0
    assert pace._cost_s == {"continuum": 10.0}


@pytest.mark.parametrize(
    ("wanted", "device", "is_given"),
    [("every", "cpu", True), ("auto", "cuda", True), ("off", "cuda", False), ("off", "cpu", False)],
)
def test_the_settings_decide(wanted: str, device: str, is_given: bool):
    settings = Settings(enhancement={"full_disk": wanted}, runtime={"device": device})
    pace = Pace.of(settings)
    for _ in range(3):
        with pace.turn("continuum") as turn:
            assert (turn.denied is None) == is_given
            assert not turn.is_behind


def test_on_a_cpu_a_share_of_the_time_is_the_default(settings: Settings):
    pace = Pace.of(settings)
    assert pace._share == settings.enhancement.cpu_share == 0.5


def test_what_a_person_asked_for_always_has_its_turn():
    for _ in range(3):
        with UNHURRIED.turn("continuum") as turn:
            assert turn.denied is None
