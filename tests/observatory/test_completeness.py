"""The ledger over a database: a month with a thousand frames deleted, and what else may go wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert, update

from observatory import completeness, sdo
from observatory.ledger import Came, Ledger
from observatory.observing import Plan, State, Window
from observatory.settings import InstrumentSettings, Settings
from observatory.sky import Site, sun_elevation_deg
from observatory.storage import coverage as storage
from observatory.storage import schema
from observatory.storage.coverage import TooManyFramesError
from observatory.storage.session import Database

MONTH = timedelta(days=31)
DAY = timedelta(days=1)
ECLIPSES = datetime(2024, 7, 14, tzinfo=UTC)  # SDO's season: 15 July to 11 August 2024
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
KANZELHOEHE = Site(46.6784, 13.9019, 1526.0)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def put(
    db: Database, name: str, times_s: Sequence[float] | np.ndarray, *, ahead_s: float = 0.0, **given: Any
) -> None:
    """Frames as the ingester and the workers leave them, many at once; dated ahead where a clock is."""
    rows = []
    for seconds in times_s:
        moment = datetime.fromtimestamp(round(float(seconds), 3), UTC)
        received = moment + timedelta(seconds=4 + seconds % 3)
        moment += timedelta(seconds=ahead_s)
        rows.append(
            {
                "sha256": hashlib.sha256(f"{name} {seconds}".encode()).hexdigest(),
                "frame_index": 0,
                "instrument": name,
                "family": "halpha",
                "date_obs": moment,
                "date_obs_source": "header",
                "moment": moment,
                "is_simulated": True,
                "file_name": "x.fits",
                "path": "/x.fits",
                "bytes": 1,
                "status": "done",
                "priority": "live",
                "received_at": received,
                "attempts": 1,
                "is_degraded": False,
            }
            | given
        )
    with db.write() as connection:
        for first in range(0, len(rows), 2000):
            connection.execute(insert(schema.frames), rows[first : first + 2000])


def write(db: Database, settings: Settings, name: str, start: datetime, end: datetime, **more: Any) -> Ledger:
    return completeness.write_ledger(db, settings, name, start, end, now=more.pop("now", end + DAY), **more)


def missing(one: Ledger):
    return one.gaps.of(one.gaps.select([State.EXPECTED]))


def with_station(settings: Settings, name: str, **given: Any) -> Settings:
    station = InstrumentSettings(**({"kind": name} | given))
    return settings.model_copy(update={"instruments": {**settings.instruments, name: station}})


def through_eclipses() -> np.ndarray:
    """AIA at five minutes: no frame while the Earth covers the Sun, nor for a while of its own after that."""
    rng = np.random.default_rng(11)
    start_s = ECLIPSES.timestamp()
    times = start_s + np.arange(0.0, MONTH.total_seconds(), 300.0)
    times += rng.normal(0, 2.0, len(times))
    dark = np.zeros(len(times), bool)
    for begin, end in sdo.eclipses(start_s, start_s + MONTH.total_seconds(), margin_deg=0.0):
        dark |= (times > begin - rng.uniform(0, 60)) & (times < end + rng.uniform(0, 180))
    return times[~dark]


def by_day() -> np.ndarray:
    """H-alpha at two minutes while the Sun is up, a fifth of a cadence of jitter, a clock 2 % slow."""
    rng = np.random.default_rng(12)
    times = JUNE.timestamp() + np.arange(0.0, MONTH.total_seconds(), 120.0 * 1.02)
    times = np.sort(times + rng.uniform(-24, 24, len(times)))
    return times[sun_elevation_deg(times, KANZELHOEHE) > 5.0]


AIA = ("aia-193", 300.0, ECLIPSES, through_eclipses)
HALPHA = ("kso-halpha", 120.0, JUNE, by_day)


@pytest.mark.parametrize(
    ("database_url", "name", "cadence_s", "start", "make", "is_given"),
    [
        ("sqlite", *AIA, True),
        ("sqlite", *HALPHA, False),
        ("postgres", *AIA, False),
        ("postgres", *HALPHA, True),
    ],
    ids=["AIA, cadence given", "H-alpha, learned", "AIA, learned", "H-alpha, cadence given"],
    indirect=["database_url"],
)
def test_of_a_thousand_deleted_frames_of_a_month_the_ledger_names_99_percent_and_no_false_gap(
    db: Database, settings: Settings, name: str, cadence_s: float, start: datetime, make: Any, is_given: bool
) -> None:
    times = make()
    put(db, name, times)
    if is_given:
        settings = with_station(settings, name, cadence_s=cadence_s)
    end = start + MONTH
    whole = write(db, settings, name, start, end, now=end)
    assert missing(whole) == [], "no false gap"
    lost = np.sort(np.random.default_rng(1000).choice(times, 1000, replace=False))
    with db.write() as connection:
        for first in range(0, 1000, 500):
            some = [datetime.fromtimestamp(round(float(at), 3), UTC) for at in lost[first : first + 500]]
            connection.execute(delete(schema.frames).where(schema.frames.c.moment.in_(some)))
    one = write(db, settings, name, start, end, now=end)
    gaps = missing(one)
    starts = np.array([gap.start.timestamp() for gap in gaps]) - 0.5 * cadence_s
    ends = np.array([gap.end.timestamp() for gap in gaps]) - 0.5 * cadence_s
    place = np.searchsorted(starts, lost, side="right") - 1
    named = (place >= 0) & (lost < ends[np.maximum(place, 0)])
    holds_one = np.searchsorted(lost, ends) > np.searchsorted(lost, starts)
    assert named.sum() >= 990
    assert holds_one.all(), "no false gap"
    assert one.total.missing == pytest.approx(1000, abs=12)


def test_what_the_database_tells_is_what_was_written(db: Database, settings: Settings) -> None:
    start_s = JUNE.timestamp() + 8 * 3600
    times = start_s + np.arange(0.0, 3600.0, 60.0) + 0.123456
    put(db, "kso-halpha", times[:50])
    put(db, "kso-halpha", times[50:52], is_degraded=True)
    put(db, "kso-halpha", times[52:53], is_degraded=True, mark="good")
    put(db, "kso-halpha", times[53:54], mark="bad")
    put(db, "kso-halpha", times[54:55], status="rejected")
    put(db, "kso-halpha", times[55:57], status="received", is_degraded=None)
    put(db, "kso-halpha", times[57:58], date_obs=None)
    put(db, "kso-halpha", times[59:], priority="backfill")
    put(db, "other", times)
    # An archive's frame without a time came at some time: it tells nothing of the camera's.
    put(db, "kso-halpha", times[58:59], date_obs=None, priority="backfill")
    one = write(db, settings, "kso-halpha", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=9, seconds=20))
    total = one.total
    assert (total.expected, total.received, total.missing) == (60, 59, 1)
    assert (total.usable, total.unusable, total.waiting) == (53, 4, 2)
    assert one.cadence_s == pytest.approx(60) and one.is_learned and one.undated == 2
    assert 4 <= one.lateness_s["p50"] <= 7 and one.lateness_s["max"] < 7.1
    assert missing(one)[0].start.timestamp() == pytest.approx(times[58], abs=1)


def test_files_that_were_copied_together_tell_no_cadence(db: Database, settings: Settings) -> None:
    start_s = JUNE.timestamp() + 8 * 3600
    now = JUNE + timedelta(hours=9)
    put(db, "kso-halpha", start_s + np.arange(12) * 0.05, date_obs=None, date_obs_source="none")
    one = write(db, settings, "kso-halpha", JUNE, JUNE + DAY, now=now)
    assert (one.cadence_s, one.total.expected, one.total.missing, one.total.frames) == (None, 0, 0, 12)
    assert completeness.current_gap(db, settings, "kso-halpha", now, first_due_s=start_s)[0] is None


def test_the_same_bytes_again_are_received_but_not_usable(db: Database, settings: Settings) -> None:
    start_s = JUNE.timestamp() + 8 * 3600
    times = start_s + np.arange(0.0, 3600.0, 60.0)
    frozen = times[20:30]
    put(db, "kso-halpha", np.concatenate([times[:20], times[30:]]))
    digest = hashlib.sha256(f"kso-halpha {times[19]}".encode()).hexdigest()
    copied = start_s + 7200  # into an archive, hours later
    with db.write() as connection:
        for number, seen in enumerate([times[19], *frozen, copied]):
            row = {"sha256": digest, "path": f"/{number}", "bytes": 1, "mtime_ns": number}
            seen_at = datetime.fromtimestamp(float(seen) + 2.5, UTC)
            connection.execute(insert(schema.arrivals), [row | {"seen_at": seen_at}])
    one = write(db, settings, "kso-halpha", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=9))
    assert (one.total.frozen, one.total.missing) == (10, 0)
    assert (one.total.received, one.total.usable) == (60, 50)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=26_700)])
def test_a_camera_whose_clock_is_ahead_is_seen_when_its_frames_come(
    db: Database, settings: Settings, ahead: timedelta
) -> None:
    start, now = JUNE + timedelta(hours=8), JUNE + timedelta(hours=10)
    times = start.timestamp() + np.arange(0.0, 3600.0, 60.0)
    put(db, "roof", np.delete(times, [30, 31, 32]), ahead_s=ahead.total_seconds())
    one = write(db, settings, "roof", JUNE, JUNE + DAY, now=now, bin_s=3600.0)
    hours = [
        (hour.start.hour, hour.received, hour.missing) for hour in one.bins if hour.frames or hour.missing
    ]
    assert hours == [(8, 57, 3), (9, 0, pytest.approx(60, abs=1))]
    assert (one.lateness_s, one.undated) == ({}, 0)
    gap, last = completeness.current_gap(db, settings, "roof", now, first_due_s=0.0)
    assert gap is not None and gap.frames_lost == pytest.approx(60, abs=1)
    assert last is not None and times[-1] < last.timestamp() < times[-1] + 7
    assert storage.first_after(db, "roof", last, now) is None
    put(db, "roof", [now.timestamp() - 20.0], ahead_s=ahead.total_seconds())
    assert completeness.current_gap(db, settings, "roof", now, first_due_s=0.0)[0] is None
    assert storage.first_after(db, "roof", last, now) is not None


def test_a_clock_that_was_put_right_leaves_no_frame_out(db: Database, settings: Settings) -> None:
    times = JUNE.timestamp() + 8 * 3600 + np.arange(0.0, 7200.0, 10.0)
    put(db, "roof", times[:400], ahead_s=3600.0)
    put(db, "roof", times[400:])
    one = write(db, settings, "roof", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=10, seconds=5))
    assert (one.total.received, one.total.missing, one.total.frames) == (720, 0, 720)
    known, _ = storage.recent(db, "roof", datetime.fromtimestamp(float(times[450]), UTC))
    assert len(known.times_s) == 200 and np.abs(known.times_s - times[250:450]).max() < 7


def test_a_frame_of_an_archive_that_is_dated_ahead_stands_nowhere(db: Database, settings: Settings) -> None:
    times = JUNE.timestamp() + 8 * 3600 + np.arange(0.0, 600.0, 60.0)
    put(db, "roof", times)
    put(db, "roof", times + 1.0, ahead_s=1e9, priority="backfill")
    one = write(db, settings, "roof", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=8, minutes=10))
    assert (one.total.received, one.total.missing, one.undated) == (10, 0, 10)


def test_a_frozen_camera_whose_clock_is_ahead_is_found_out(db: Database, settings: Settings) -> None:
    times = JUNE.timestamp() + 8 * 3600 + np.arange(0.0, 1200.0, 60.0)
    put(db, "roof", times, ahead_s=7200.0)
    digest = hashlib.sha256(f"roof {times[-1]}".encode()).hexdigest()
    with db.write() as connection:
        for number in range(11):
            seen_at = datetime.fromtimestamp(float(times[-1]) + 4 + 60 * number, UTC)
            row = {"sha256": digest, "path": f"/{number}", "bytes": 1, "mtime_ns": number, "seen_at": seen_at}
            connection.execute(insert(schema.arrivals), [row])
    one = write(db, settings, "roof", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=8, minutes=30))
    assert (one.total.received, one.total.frozen, one.total.missing) == (30, 10, 0)


@on_sqlite
@pytest.mark.parametrize(("apart_s", "frozen"), [(60, 10), (540, 3), (660, 0)])
def test_what_was_copied_long_after_a_camera_froze_is_no_frame_of_it(
    db: Database, settings: Settings, apart_s: int, frozen: int
) -> None:
    times = JUNE.timestamp() + 8 * 3600 + np.arange(0.0, 1200.0, 60.0)
    put(db, "kso-halpha", times)
    last = float(times[-1])
    digest = hashlib.sha256(f"kso-halpha {last}".encode()).hexdigest()
    again = [last + apart_s * number for number in range(1, frozen + 1)]
    copied = [last + 4 * 3600 + 60 * number for number in range(5)]
    with db.write() as connection:
        for number, seen in enumerate([last, *again, *copied]):
            seen_at = datetime.fromtimestamp(seen + 2.5, UTC)
            row = {"sha256": digest, "path": f"/{number}", "bytes": 1, "mtime_ns": number, "seen_at": seen_at}
            connection.execute(insert(schema.arrivals), [row])
    one = write(db, settings, "kso-halpha", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=14))
    assert (one.total.frozen, one.total.usable) == (frozen, 20)


def test_a_frame_is_waited_for_as_long_as_nineteen_of_twenty_take_within_reason() -> None:
    def waited(lateness_s: Sequence[float], stated_s: float | None = None) -> float:
        came = Came(np.array([]), np.array([], np.int8), np.asarray(lateness_s, float))
        return completeness.lateness_s(Plan(lateness_s=stated_s), came)

    assert waited(range(101)) == 95
    assert waited([]) == waited([0.1, 0.2]) == waited([-3600.0]) == 5
    assert waited([86400.0 * 30]) == 86400
    assert waited([86400.0 * 30], 0.0) == 0 and waited([], 1e6) == 1e6


@on_sqlite
def test_a_gap_of_now_is_none_of_a_camera_that_rests_or_may_still_send(
    db: Database, settings: Settings
) -> None:
    start = JUNE + timedelta(hours=8)
    put(db, "kso-halpha", start.timestamp() + np.arange(0.0, 3600.0, 60.0))
    last = start + timedelta(minutes=59)

    def found(hours: float) -> int | None:
        now = last + timedelta(hours=hours)
        gap, at = completeness.current_gap(db, settings, "kso-halpha", now, first_due_s=0.0)
        assert at == last
        return None if gap is None else gap.frames_lost

    assert found(0) is None and found(90 / 3600) is None
    assert found(1) == pytest.approx(59, abs=1)
    assert found(13) is None, "it is night"
    unknown = completeness.current_gap(db, settings, "nobody", last, first_due_s=0.0)
    assert unknown == (None, None)


@on_sqlite
def test_what_is_owed_counts_from_before_the_first_frame_on(db: Database, settings: Settings) -> None:
    put(db, "aia-193", JUNE.timestamp() + 6 * 3600 + np.arange(0.0, 6 * 3600.0, 60.0))
    configured = with_station(settings, "aia-193", cadence_s=60)
    noon = JUNE + timedelta(hours=12)
    known = write(db, configured, "aia-193", JUNE, noon).total
    owed = write(db, configured, "aia-193", JUNE, noon, is_owed=True).total
    assert (known.expected, known.missing) == (360, 0)
    assert (owed.expected, owed.missing) == (pytest.approx(720, abs=1), pytest.approx(360, abs=1))


def test_closures_that_people_noted_excuse_and_can_be_taken_back(db: Database, settings: Settings) -> None:
    start_s = JUNE.timestamp() + 8 * 3600
    times = start_s + np.arange(0.0, 7200.0, 60.0)
    put(db, "kso-halpha", np.concatenate([times[:40], times[80:]]))
    window = Window(*(datetime.fromtimestamp(start_s + at, UTC) for at in (2300, 4900)), "hail")
    noted = storage.close(db, "kso-halpha", window, "anna", JUNE)
    storage.close(db, None, Window(JUNE - DAY, JUNE), "anna", JUNE)
    now = JUNE + timedelta(hours=10)
    one = write(db, settings, "kso-halpha", JUNE, JUNE + DAY, now=now)
    assert (one.total.missing, one.total.excused["weather"]) == (0, 40)
    assert [found.id for found in storage.closed(db, "kso-halpha", JUNE)] == [noted.id]
    assert len(storage.closed(db)) == 2
    storage.withdraw(db, noted.id)
    assert write(db, settings, "kso-halpha", JUNE, JUNE + DAY, now=now).total.missing == 40
    with pytest.raises(storage.NoSuchClosureError, match="no closure"):
        storage.withdraw(db, noted.id)


@on_sqlite
def test_a_span_looks_over_its_own_edges(db: Database, settings: Settings) -> None:
    times = JUNE.timestamp() + 8 * 3600 + np.arange(0.0, 7200.0, 60.0)
    put(db, "aia-193", np.delete(times, np.arange(50, 70)))
    noon = JUNE + timedelta(hours=9)
    before = write(db, settings, "aia-193", JUNE, noon).total
    after = write(db, settings, "aia-193", noon, JUNE + timedelta(hours=10)).total
    assert (before.missing, after.missing) == (10, 10)
    assert before.expected == after.expected == 60
    inside = write(db, settings, "aia-193", noon - timedelta(minutes=5), noon).total
    assert (inside.expected, inside.missing) == (5, 5)


@on_sqlite
def test_odd_clocks_break_nothing(db: Database, settings: Settings) -> None:
    times = JUNE.timestamp() + np.arange(0.0, 7200.0, 60.0)
    put(db, "aia-193", times)
    for year in (1601, 9998):
        put(db, "aia-193", [datetime(year, 1, 1, tzinfo=UTC).timestamp()])
    one = write(db, settings, "aia-193", JUNE, JUNE + DAY, now=JUNE + timedelta(hours=2))
    assert one.total.missing == 0 and one.total.received == 120
    year = write(db, settings, "aia-193", JUNE - 300 * DAY, JUNE + 60 * DAY, bin_s=86400.0)
    assert len(year.bins) == 360 and year.total.missing == pytest.approx(30 * 1440, abs=2)


@on_sqlite
def test_a_span_of_too_many_frames_is_refused(db: Database, settings: Settings) -> None:
    put(db, "aia-193", JUNE.timestamp() + np.arange(0.0, 600.0, 60.0))
    with pytest.raises(TooManyFramesError, match="more than 9 frames"):
        write(db, settings, "aia-193", JUNE, JUNE + DAY, most_frames=9)


@on_sqlite
def test_an_instrument_that_never_sent_anything_owes_all_of_it_once_it_is_configured(
    db: Database, settings: Settings
) -> None:
    assert write(db, settings, "roof", JUNE, JUNE + DAY).total.expected == 0
    configured = with_station(settings, "roof", kind="allsky", cadence_s=60)
    assert write(db, configured, "roof", JUNE, JUNE + DAY).total.missing == 1440
    assert completeness.instruments(db, configured) == ["roof"]


@on_sqlite
def test_late_frames_are_waited_for_as_long_as_they_mostly_take(db: Database, settings: Settings) -> None:
    times = JUNE.timestamp() + np.arange(0.0, 7200.0, 60.0)
    put(db, "aia-193", times)
    with db.write() as connection:
        late = [JUNE + timedelta(seconds=1800)]
        connection.execute(update(schema.frames).values(received_at=late[0] + timedelta(hours=2)))
    now = JUNE + timedelta(hours=2, minutes=40)
    waited = write(db, settings, "aia-193", JUNE, JUNE + DAY, now=now)
    assert waited.total.missing == 0
    hurried = with_station(settings, "aia-193", lateness_s=60)
    assert write(db, hurried, "aia-193", JUNE, JUNE + DAY, now=now).total.missing == pytest.approx(39, abs=1)
