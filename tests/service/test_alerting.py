"""The engine at work on a database: each alert once, whatever dies, and good rules in place of broken ones."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete

from heliowatch import alert_rules
from observatory import sdo
from observatory.alerts.facts import Sighted
from observatory.analysis import Cause
from observatory.settings import InstrumentSettings, Settings
from observatory.storage import alert_facts, events, frames, marks, notifications, schema
from observatory.storage import alerts as storage
from observatory.storage import coverage as ledger
from observatory.storage.coverage import OpenGap
from observatory.storage.session import Database
from service.main import create_app
from tests.service.observing_night import (
    AIA,
    KSO,
    MINUTE,
    RULES,
    START,
    Night,
    Priority,
    Status,
    engine_of,
    outbox,
    raised,
    told,
    with_rules,
)
from tests.service.telescope import on_sqlite
from workers.coverage import CoverageSweep


@pytest.fixture
def night(db: Database) -> Night:
    return Night(db)


@pytest.fixture
def ruled(settings: Settings, tmp_path: Path) -> Settings:
    return with_rules(settings, tmp_path)


# -- a night and a day ------------------------------------------------------------------------


@on_sqlite
def test_a_day_and_a_night_with_planted_faults_raise_exactly_the_expected_alerts(
    ruled: Settings, night: Night, db: Database, capsys: pytest.CaptureFixture[str]
):
    closed = f"{START + 190 * MINUTE:%Y-%m-%dT%H:%MZ}/2024-07-20T20:00Z"
    stations = {
        KSO: InstrumentSettings(kind=KSO, cadence_s=60, maintenance=[{"time": closed}]),
        AIA: InstrumentSettings(kind=AIA, cadence_s=900),
    }
    settings = ruled.model_copy(update={"instruments": stations})
    engine, sweep = engine_of(settings, db, night.clock), CoverageSweep(settings, db)
    end = datetime(2024, 7, 21, 3, tzinfo=UTC)
    dark = sdo.eclipses(START.timestamp(), end.timestamp())
    assert dark  # there is an eclipse in it
    draw = random.Random(1)
    while night.clock.now < end:
        place = round((night.clock.now - START) / MINUTE)
        if place < 190:  # then the telescope is closed, and then comes the night
            _observe(night, place, draw)
        second = night.clock.now.timestamp()
        if place % 15 == 0 and not any(begin <= second <= stop for begin, stop in dark):
            night.see(name=AIA)
        if place % 2:
            sweep.sweep(night.clock.now)
        engine.turn()
        night.clock.now += MINUTE if place < 195 else 15 * MINUTE
    found = [
        (row["rule"], row["instrument"], row["evidence"]["cause"], row["resolved_at"] is not None)
        for row in raised(db)
    ]
    assert found == [
        ("HalphaDegraded", KSO, "cloud", True),
        ("Frozen", KSO, None, True),
        ("Gap", KSO, None, True),
        ("HalphaDegraded", KSO, "seeing", True),
    ]
    minutes = [
        ((row["fired_at"] - START) / MINUTE, (row["resolved_at"] - START) / MINUTE) for row in raised(db)
    ]
    assert minutes[:2] == [(22, 64), (73, 90)]
    assert 114 <= minutes[2][0] <= 117 <= minutes[2][1] <= 118
    assert 130 <= minutes[3][0] < 170 and minutes[3][1] == 174
    assert raised(db)[0]["annotations"]["summary"] == "kso-halpha: cloud for 40 frames"
    assert told(db) == [(rule, kind) for rule, *_ in found for kind in ("fired", "resolved")]
    assert len(outbox(db)) == 8
    _the_past_says_the_same(settings, db, end, capsys)


def _the_past_says_the_same(
    settings: Settings, db: Database, end: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run over what is stored: the same alerts, at the same times to the minute or two."""
    of_its = settings.model_copy(update={"database_url": db.url})
    capsys.readouterr()
    alert_rules.try_rules(of_its, None, START.isoformat(), end.isoformat(), None, "json")
    past = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    live = raised(db)
    assert [(one["rule"], one["evidence"]["cause"]) for one in past] == [
        (row["rule"], row["evidence"]["cause"]) for row in live
    ]
    for one, row in zip(past, live, strict=True):
        for name in ("fired_at", "resolved_at"):
            assert abs(datetime.fromisoformat(one[name]) - row[name]) <= 2 * MINUTE


def _observe(night: Night, place: int, draw: random.Random) -> None:
    """One minute of the telescope: cloud, a picture that is sent again and again, a gap, a score that flickers."""
    if 20 <= place < 60:
        night.see(0.1, Cause.CLOUD)
    elif 70 <= place < 90:
        frame_id = night.come(sha256="f" * 64)
        if frame_id is not None:
            night.judge(frame_id, 0.9)
    elif 130 <= place < 170:
        night.see(0.4 + draw.uniform(-0.08, 0.08), Cause.SEEING)
    elif not 110 <= place < 117:
        night.see()


# -- once, whatever dies ----------------------------------------------------------------------


def test_two_processes_watch_in_turn_and_each_alert_is_raised_once(
    ruled: Settings, night: Night, database_url: str
):
    one, two = Database(database_url), Database(database_url)
    first, second = engine_of(ruled, one, night.clock), engine_of(ruled, two, night.clock)
    for _ in range(3):
        first.turn()
        second.turn()
        night.minute(0.1, Cause.CLOUD)
    assert first.is_watching and not second.is_watching
    # The first is killed: it lets nothing go, and the second takes over when the lease ends.
    first.turn()
    night.clock.now += timedelta(seconds=5)
    second.turn()
    assert not second.is_watching
    night.clock.now += timedelta(seconds=11)
    second.turn()
    assert second.is_watching
    assert told(one) == [("HalphaDegraded", "fired")]
    first.turn()  # it was only asleep, and finds that it watches no more
    assert not first.is_watching
    for _ in range(6):
        night.minute()
        first.turn()
        second.turn()
    assert told(one) == [("HalphaDegraded", "fired"), ("HalphaDegraded", "resolved")]
    assert outbox(one) == [(1, "hook", "fired"), (1, "hook", "resolved")]
    one.dispose()
    two.dispose()


def test_who_was_overtaken_writes_nothing(ruled: Settings, night: Night, database_url: str):
    one, two = Database(database_url), Database(database_url)
    first, second = engine_of(ruled, one, night.clock), engine_of(ruled, two, night.clock)
    first.turn()
    for _ in range(4):
        night.minute(0.1, Cause.CLOUD)
    storage.let_go(two, first._holder)
    second.turn()
    assert told(one) == [("HalphaDegraded", "fired")]
    first.turn()  # it would fire the same
    assert told(one) == [("HalphaDegraded", "fired")] and len(raised(one)) == 1
    one.dispose()
    two.dispose()


def test_what_is_killed_half_way_leaves_nothing_and_is_done_again(
    ruled: Settings, night: Night, db: Database, monkeypatch: pytest.MonkeyPatch
):
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    for _ in range(4):
        night.minute(0.1, Cause.CLOUD)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(notifications, "enqueue", die)
        with pytest.raises(KeyboardInterrupt):
            engine.turn()
    assert (raised(db), told(db), outbox(db)) == ([], [], [])
    night.clock.now += timedelta(seconds=30)
    engine_of(ruled, db, night.clock).turn()
    assert told(db) == [("HalphaDegraded", "fired")]
    assert [item[1:] for item in outbox(db)] == [("hook", "fired")]


def test_a_restart_goes_on_in_the_middle_of_a_count(ruled: Settings, night: Night, db: Database):
    for score in (0.9, 0.1, 0.1, 0.1, *[0.9] * 4):
        engine = engine_of(ruled, db, night.clock)
        engine.turn()
        night.minute(score, Cause.CLOUD if score < 0.4 else None)
        engine.turn()
        storage.let_go(db, engine._holder)
    assert told(db) == [("HalphaDegraded", "fired")]
    night.minute()
    engine_of(ruled, db, night.clock).turn()
    assert told(db) == [("HalphaDegraded", "fired"), ("HalphaDegraded", "resolved")]


@on_sqlite
def test_more_than_fits_one_transaction_is_taken_in_pieces(settings: Settings, tmp_path: Path, night: Night):
    ruled = with_rules(settings, tmp_path, batch=7)
    engine = engine_of(ruled, night.db, night.clock)
    engine.turn()
    for score in [0.1] * 20 + [0.9] * 10:
        night.minute(score, Cause.CLOUD if score < 0.4 else None)
    turns = 1
    while engine.turn():
        turns += 1
    assert turns == 9
    (alert,) = raised(night.db)
    assert alert["fired_at"] == START + 3 * MINUTE and alert["resolved_at"] == START + 25 * MINUTE


@on_sqlite
def test_a_gap_that_was_open_before_anybody_watched_is_told(ruled: Settings, night: Night, db: Database):
    night.see()
    since = night.clock.now - MINUTE
    gap = OpenGap(KSO, night.clock.now, since, since)
    assert ledger.open_gap(db, gap, {"state": "open"})
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    for _ in range(6):
        night.clock.now += MINUTE
        engine.turn()
    assert told(db) == [("Gap", "fired")]
    assert ledger.end_gap(db, gap, {"state": "closed"})
    with db.write() as connection:  # what told of its end was pruned before anybody watched again
        connection.execute(delete(schema.events).where(schema.events.c.type == "coverage"))
    night.clock.now += timedelta(seconds=30)
    engine_of(ruled, db, night.clock).turn()
    assert told(db)[-1] == ("Gap", "resolved")


@on_sqlite
def test_a_gap_that_a_frame_has_ended_is_not_told_again_by_whoever_takes_over(
    ruled: Settings, night: Night, db: Database
):
    night.see()
    begun = night.clock.now
    first = engine_of(ruled, db, night.clock)
    first.turn()
    night.clock.now += 10 * MINUTE
    gap = OpenGap(KSO, begun - timedelta(seconds=2), begun + MINUTE, night.clock.now)
    payload = {"state": "open", "gap": {"start": gap.start_at}}
    assert ledger.open_gap(db, gap, payload)
    first.turn()
    night.see()  # the ledger looks every ten seconds alone
    first.turn()
    assert told(db) == [("Gap", "fired"), ("Gap", "resolved")]
    first._let_go()
    night.clock.now += timedelta(seconds=1)
    engine_of(ruled, db, night.clock).turn()
    assert told(db) == [("Gap", "fired"), ("Gap", "resolved")]


@on_sqlite
def test_no_sighting_is_passed_over_for_one_that_was_written_later(night: Night, db: Database):
    start = night.clock.now
    night.clock.now = start + MINUTE
    night.come(received_at=start)
    night.clock.now = start  # another ingester's, who wrote it later
    night.come()
    seen: list[datetime] = []
    place, is_last = (0, 0), False
    while not is_last:
        batch = alert_facts.after(db, *place, 2, start + MINUTE)
        seen += [fact.at for fact in batch.facts if isinstance(fact, Sighted)]
        place, is_last = (batch.event_seq, batch.arrival_id), batch.is_last
    assert sorted(seen) == [start, start + MINUTE]


@on_sqlite
def test_an_event_that_cannot_be_read_stops_nothing(ruled: Settings, night: Night, db: Database):
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    odd: list[dict[str, object]] = [
        {},
        {"id": "x"},
        {"id": 1, "status": "done", "quality": {"score": 1}},
        {"id": 2, "status": "done", "quality": 7},
        {"id": 3, "status": "done", "date_obs": "yesterday"},
        {"id": 4, "status": "received", "received_at": 12},
    ]
    with db.write() as connection:
        for kind in ("frame", "result", "coverage"):
            new = [events.NewEvent(kind, KSO, None, payload) for payload in odd]
            events.append(db, connection, new)
    for _ in range(3):
        night.minute(0.1, Cause.CLOUD)
    engine.turn()
    assert told(db) == [("HalphaDegraded", "fired")]


@on_sqlite
def test_files_that_nothing_recognises_are_told_by_a_rule_that_says_so(
    settings: Settings, tmp_path: Path, night: Night, db: Database
):
    text = """
- alert: Refused
  when: {status: rejected}
- alert: Unrecognised
  instrument: unknown
  when: {status: rejected}
  for_frames: 2
"""
    engine = engine_of(with_rules(settings, tmp_path, text), db, night.clock)
    engine.turn()
    for _ in range(3):
        night.clock.now += MINUTE
        night.come(instrument=None, status=Status.REJECTED, reason="no frame", date_obs=None)
    engine.turn()
    assert told(db) == [("Unrecognised", "fired")]
    night.come(status=Status.REJECTED, reason="empty")
    engine.turn()
    assert told(db) == [("Unrecognised", "fired"), ("Refused", "fired")]


@on_sqlite
def test_a_file_that_is_refused_as_it_comes_has_come_once_whoever_refuses_it(night: Night, db: Database):
    start = night.clock.now
    night.come(status=Status.REJECTED, reason="empty", processed_at=start)  # by the ingester
    frame_id = night.come()
    assert frame_id is not None and frames.claim(db, frame_id, "w", start)
    frames.refuse(db, frame_id, "w", Status.REJECTED, "damaged", start)
    facts = alert_facts.after(db, 0, 0, 500, start).facts
    kinds = [type(fact).__name__ for fact in facts if not isinstance(fact, Sighted)]
    assert sorted(kinds) == ["Arrived", "Arrived", "Judged", "Judged"]


# -- what raises nothing ------------------------------------------------------------------------


@on_sqlite
def test_archives_marks_and_what_came_before_the_engine_raise_nothing(
    ruled: Settings, night: Night, db: Database
):
    for _ in range(9):
        night.minute(0.1)
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    for _ in range(9):
        night.clock.now += MINUTE
        frame_id = night.see(0.1, priority=Priority.BACKFILL)
        marks.put(db, frame_id, marks.Mark.BAD, None, "me", night.clock.now)
    engine.turn()
    assert raised(db) == []


@on_sqlite
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_an_hour_raises_nothing(ruled: Settings, night: Night, db: Database, hours: int):
    clock = night.clock
    offset = timedelta(0)
    engine = engine_of(ruled, db, clock)
    engine._steady = lambda: (clock.now - offset).timestamp()
    sweep = CoverageSweep(ruled, db)
    for number in range(40):
        if number == 25:
            offset = timedelta(hours=hours)
            clock.now += offset
        night.minute()
        if number % 10 == 0:
            night.see(name=AIA)
        if number % 3 == 0:
            sweep.sweep(clock.now)
        engine.turn()
    assert raised(db) == []
    for _ in range(4):
        night.minute(0.1, Cause.CLOUD)
        engine.turn()
    assert told(db) == [("HalphaDegraded", "fired")]


@on_sqlite
def test_a_camera_at_ten_times_its_cadence_is_told_by_the_cadence_that_it_had(
    ruled: Settings, night: Night, db: Database
):
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    for _ in range(85):
        night.minute()
    engine.turn()
    for _ in range(60):
        night.clock.now += timedelta(seconds=6)
        night.see()
    engine.turn()
    assert told(db) == [("Wild", "fired")]


# -- rules that change ------------------------------------------------------------------------


def _rewrite(settings: Settings, text: str | bytes, second: int) -> None:
    path = settings.alerts.rules
    assert path is not None
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (second, second))


@on_sqlite
def test_a_broken_file_never_takes_the_place_of_good_rules_even_over_a_restart(
    ruled: Settings, night: Night, db: Database
):
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    for second, text in enumerate([RULES.replace("quality", "qualty", 1), b"\xff\xfe", "- alert: ["]):
        _rewrite(ruled, text, second + 5)
        engine.turn()
        engine.turn()
        assert engine.problem
    assert ruled.alerts.rules is not None
    ruled.alerts.rules.unlink()
    engine.turn()
    engine.turn()
    assert engine.problem is not None and "cannot be read" in engine.problem
    night.minute(0.1)
    night.minute(0.1)
    engine.turn()
    storage.let_go(db, engine._holder)
    again = engine_of(ruled, db, night.clock)
    night.minute(0.1)
    again.turn()
    assert told(db) == [("HalphaDegraded", "fired")]
    _rewrite(ruled, RULES, 50)
    again.turn()
    again.turn()
    assert again.problem is None


@on_sqlite
def test_a_rule_that_is_removed_while_it_fires_ends_its_alert(ruled: Settings, night: Night, db: Database):
    engine = engine_of(ruled, db, night.clock)
    engine.turn()
    for _ in range(3):
        night.minute(0.1)
    engine.turn()
    _rewrite(ruled, "", 5)
    engine.turn()  # an editor may be at work: a changed file counts when it has rested
    assert told(db) == [("HalphaDegraded", "fired")]
    engine.turn()
    assert told(db) == [("HalphaDegraded", "fired"), ("HalphaDegraded", "resolved")]
    assert raised(db)[0]["evidence"]["reason"] == "the rule was removed"


# -- inside the service -------------------------------------------------------------------------


def test_the_service_watches_and_says_what_is_wrong_with_its_rules(
    settings: Settings, tmp_path: Path, night: Night, db: Database, eventually: Callable[..., None]
):
    ruled = with_rules(settings, tmp_path, poll_s=0.02)
    app: FastAPI = create_app(ruled, db)
    night.clock.now = datetime.now(UTC)
    with TestClient(app) as client:
        eventually(lambda: app.state.context.alerting.is_watching, "nobody watches")
        for _ in range(3):
            night.clock.now = datetime.now(UTC)
            night.see(0.1, Cause.CLOUD)
        eventually(lambda: told(db) == [("HalphaDegraded", "fired")], "it was not told")
        _rewrite(ruled, "- alert: A\n  wen: x\n", 5)
        eventually(lambda: app.state.context.alerting.problem, "nothing is wrong")
        checks = {check["name"]: check for check in client.get("/readyz").json()["checks"]}
        assert "line 2, column 3: A: 'wen' is no field here" in checks["alert rules"]["detail"]
    found = storage.take_over(db, "next", datetime.now(UTC), 10.0)
    assert found is not None  # the lease was handed over
