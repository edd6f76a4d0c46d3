"""The ledger over REST, as metric, as page and on the stream."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas
import pytest
from astropy.table import Table
from fastapi.testclient import TestClient

from observatory.settings import InstrumentSettings, Settings
from observatory.storage import events
from observatory.storage.session import Database
from service import coverage
from service.main import create_app
from tests.observatory.test_completeness import put, with_station
from tests.service.telescope import on_sqlite
from workers.coverage import CoverageSweep

DAY = datetime(2026, 6, 1, tzinfo=UTC)
LEDGER, GAPS = "/api/v1/coverage", "/api/v1/coverage/gaps"


@pytest.fixture
def filled(db: Database) -> None:
    """AIA at a minute from 6 to 12 o'clock with a gap of seven frames; H-alpha by day with a bad hour."""
    times = DAY.timestamp() + 6 * 3600 + np.arange(0.0, 6 * 3600.0, 60.0)
    put(db, "aia-193", np.delete(times, np.arange(100, 107)))
    put(db, "kso-halpha", times[:200])
    put(db, "kso-halpha", times[200:260], is_degraded=True)


def test_the_ledger_counts_what_came_and_what_did_not(client: TestClient, filled: None) -> None:
    params = {"time": "2026-06-01T06:00Z/2026-06-01T10:00Z", "bin": "1h"}
    body = client.get(LEDGER, params=params).json()
    aia, kso = body["items"]
    assert (body["bin_s"], aia["instrument"], kso["instrument"]) == (3600, "aia-193", "kso-halpha")
    assert (aia["expected"], aia["received"], aia["usable"], aia["missing"]) == (240, 233, 233, 7)
    assert aia["ratio"]["received"] == pytest.approx(233 / 240)
    assert aia["gaps"]["missing"] == 1 and aia["is_cadence_learned"] and aia["cadence_s"] == pytest.approx(60)
    assert [hour["missing"] for hour in aia["bins"]] == [0, 7, 0, 0]
    assert (kso["received"], kso["usable"], kso["unusable"]) == (240, 200, 40)
    assert aia["lateness_s"]["p50"] > 3
    day = client.get(LEDGER, params={"date": "2026-06-01", "instrument": "kso-halpha"}).json()["items"]
    assert len(day) == 1 and day[0]["excused"]["night"] > 0 and day[0]["bins"] is None


@on_sqlite
def test_gaps_are_listed_with_their_length_and_reason(client: TestClient, filled: None) -> None:
    query = {"date": "2026-06-01", "instrument": "aia-193", "order": "asc"}
    first, last = client.get(GAPS, params=query).json()["items"]
    assert (first["start"], first["length_s"]) == ("2026-06-01T07:40:00Z", 420)
    assert (first["frames_lost"], first["state"], first["is_open"]) == (7, "missing", False)
    assert last["is_open"] and last["end"] <= "2026-06-02T00:01"
    newest = client.get(GAPS, params=query | {"order": "desc", "limit": 1}).json()
    assert newest["is_truncated"] and newest["items"] == [last]
    night = client.get(GAPS, params={"date": "2026-06-01", "state": "night"}).json()["items"]
    assert {gap["instrument"] for gap in night} == {"kso-halpha"}


@on_sqlite
def test_both_are_given_as_csv(client: TestClient, filled: None) -> None:
    answer = client.get(LEDGER, params={"date": "2026-06-01", "bin": "1h"}, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 48 and rows[7]["missing"] == "7" and rows[7]["start"] == "2026-06-01T07:00:00Z"
    assert int(rows[24]["excused_night"]) >= 0
    gaps = list(
        csv.DictReader(io.StringIO(client.get(GAPS, params={"date": "2026-06-01", "format": "csv"}).text))
    )
    assert any(gap["frames_lost"] == "7" for gap in gaps)
    cut = client.get(GAPS, params={"date": "2026-06-01", "format": "csv", "limit": len(gaps) - 1})
    whole = client.get(GAPS, params={"date": "2026-06-01", "format": "csv", "limit": len(gaps)})
    assert [answer.headers.get("heliowatch-truncated") for answer in (cut, whole)] == ["true", None]


@on_sqlite
def test_both_are_given_as_votable_and_parquet(client: TestClient, filled: None) -> None:
    for address in (LEDGER, GAPS):
        asked = {"date": "2026-06-01"}
        lines = list(csv.DictReader(io.StringIO(client.get(address, params=asked | {"format": "csv"}).text)))
        votable = client.get(address, params=asked | {"format": "votable"})
        read = Table.read(io.BytesIO(votable.content), format="votable", verify="exception")
        frame = pandas.read_parquet(
            io.BytesIO(client.get(address, params=asked | {"format": "parquet"}).content)
        )
        assert len(lines) == len(read) == len(frame) > 0
        assert list(lines[0]) == read.colnames == list(frame.columns)


@on_sqlite
@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"time": "../2026-06-01"}, "START"),
        ({"time": "2024-06-01/2026-06-01"}, "366 days"),
        ({"time": "2026-04-01/2026-06-01", "bin": "1h"}, "31 days"),
        ({"time": "2026-06-01/2026-06-02", "date": "2026-06-01"}, "either"),
        ({"time": "9999-12-31T23:59:59.9Z/.."}, "calendar"),
        ({"time": "9998-12-31/9999-12-31T23:59:59Z"}, "needs an END inside the calendar"),
        ({"time": "1599-12-31T23:59:59Z/1600-01-02"}, "needs a START inside the calendar"),
        ({"time": "2025-06-01/2026-06-02T00:00:01Z"}, "366 days"),
        ({"date": "yesterday"}, "a day, UTC"),
        ({"date": "0"}, "a day, UTC"),
        ({"date": "1764806400"}, "a day, UTC"),
        ({"date": "0001-01-01"}, "a day, UTC"),
        ({"bin": "5m"}, "1h or 1d"),
        ({"format": "xlsx"}, "json, csv, votable or parquet"),
        ({"instrument": "\x00"}, "instrument"),
        ({"cadence": "5"}, "parameters"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(
    client: TestClient, params: dict[str, Any], word: str
) -> None:
    answer = client.get(LEDGER, params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.text


@on_sqlite
@pytest.mark.parametrize(
    ("params", "start", "end"),
    [
        ({"date": "2024-02-29"}, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ({"date": "2026-12-31"}, "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
        (
            {"time": "2026-06-01T00:00+02:00/2026-06-01T12:00Z"},
            "2026-05-31T22:00:00Z",
            "2026-06-01T12:00:00Z",
        ),
        ({"time": "2024-01-01/2025-01-01", "bin": "1d"}, "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ({"time": "2026-05-01/2026-06-01", "bin": "1h"}, "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"),
        ({"time": "9000-01-01/.."}, "9000-01-01T00:00:00Z", "9000-01-01T00:00:01Z"),
    ],
)
def test_a_span_is_the_days_that_were_asked_for(
    client: TestClient, params: dict[str, str], start: str, end: str
) -> None:
    body = client.get(LEDGER, params=params).json()
    assert (body["start"], body["end"]) == (start, end)


@on_sqlite
def test_bins_end_with_the_span_and_begin_at_full_hours_and_days(client: TestClient, filled: None) -> None:
    def bins(time: str, width: str) -> list[tuple[str, int]]:
        asked = {"time": time, "bin": width, "instrument": "aia-193"}
        (aia,) = client.get(LEDGER, params=asked).json()["items"]
        return [(one["start"][5:16], one["frames"]) for one in aia["bins"]]

    assert bins("2026-06-01T06:30Z/2026-06-01T08:00Z", "1h") == [("06-01T06:30", 30), ("06-01T07:00", 53)]
    assert bins("2026-06-01T11:58Z/2026-06-02T00:01Z", "1d") == [("06-01T11:58", 2), ("06-02T00:00", 0)]
    assert bins("2026-06-01T06:59Z/2026-06-01T07:00Z", "1h") == [("06-01T06:59", 1)]


@on_sqlite
def test_a_day_may_be_written_without_hyphens(client: TestClient) -> None:
    assert client.get(LEDGER, params={"date": "20260601"}).json()["start"] == "2026-06-01T00:00:00Z"


@on_sqlite
def test_too_many_frames_are_refused_and_an_unknown_instrument_has_no_ledger(
    client: TestClient, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get(LEDGER, params={"instrument": "soho"}).json()["items"] == []
    monkeypatch.setattr(coverage, "MOST_FRAMES", 400)
    refused = client.get(LEDGER, params={"date": "2026-06-01"})
    assert refused.status_code == 422 and "name one instrument" in str(refused.json()["errors"])
    assert client.get(LEDGER, params={"date": "2026-06-01", "instrument": "aia-193"}).status_code == 200


@on_sqlite
def test_too_many_frames_of_the_named_instrument_need_a_shorter_time(
    client: TestClient, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage.storage, "MOST_FRAMES", 100)
    refused = client.get(LEDGER, params={"date": "2026-06-01", "instrument": "aia-193"})
    said = str(refused.json()["errors"])
    assert refused.status_code == 422 and "100 frames of an instrument, so ask for a shorter time" in said
    assert "name one instrument" not in said


def test_the_metric_is_the_ledgers(client: TestClient, db: Database) -> None:
    now = datetime.now(UTC).timestamp()
    times = now - 7200 + np.arange(0.0, 7100.0, 60.0)
    put(db, "aia-193", np.delete(times, np.arange(20, 30)))
    text = client.get("/metrics").text
    line = next(line for line in text.splitlines() if 'state="missing"' in line)
    assert line.startswith('heliowatch_coverage_ratio{instrument="aia-193"')
    assert float(line.split()[-1]) == pytest.approx(10 / 119, rel=0.1)


def told(db: Database) -> list[Any]:
    return [event.payload for event in events.after(db, 0) if event.type == "coverage"]


def test_a_gap_is_told_once_when_it_opens_and_once_when_it_closes(db: Database, settings: Settings) -> None:
    start = DAY + timedelta(hours=8)
    put(db, "kso-halpha", start.timestamp() + np.arange(0.0, 3600.0, 60.0))
    one, other = CoverageSweep(settings, db), CoverageSweep(settings, db)
    for minute in (60, 61, 62):
        one.sweep(start + timedelta(minutes=minute))
    assert told(db) == []
    many = [one, other, *(CoverageSweep(settings, db) for _ in range(4))]
    for minute in (65, 66, 67):
        now = start + timedelta(minutes=minute)
        with ThreadPoolExecutor(len(many)) as pool:
            list(pool.map(lambda sweep, now=now: sweep.sweep(now), many))
    (opened,) = told(db)
    assert (opened["state"], opened["gap"]["is_open"]) == ("open", True)
    assert opened["gap"]["start"] == "2026-06-01T09:00:00Z" and opened["last_frame"] == "2026-06-01T08:59:00Z"
    put(db, "kso-halpha", [(start + timedelta(minutes=67)).timestamp()])
    other.sweep(start + timedelta(minutes=68))
    one.sweep(start + timedelta(minutes=68))
    _, closed = told(db)
    assert (closed["state"], closed["why"]) == ("closed", "frames")
    assert (closed["gap"]["length_s"], closed["gap"]["frames_lost"]) == (420, 7)


@on_sqlite
def test_a_gap_ends_with_the_day_and_the_silent_morning_opens_another(
    db: Database, settings: Settings
) -> None:
    start = DAY + timedelta(hours=8)
    put(db, "kso-halpha", start.timestamp() + np.arange(0.0, 3600.0, 60.0))
    sweep = CoverageSweep(settings, db)
    for hours in (10, 17, 20, 22, 26, 28.5, 34):
        sweep.sweep(DAY + timedelta(hours=hours))
    assert [item["state"] for item in told(db)] == ["open", "closed", "open"]
    assert told(db)[1]["why"] == "night"
    assert told(db)[2]["gap"]["start"] > "2026-06-02T03"


@on_sqlite
def test_a_camera_that_never_sends_is_told_and_so_is_its_first_frame(
    db: Database, settings: Settings
) -> None:
    """A wrong folder or pattern: no frame comes, although the settings give a cadence."""
    start = DAY + timedelta(hours=8)
    roof = with_station(settings, "roof", kind="allsky", cadence_s=60)
    one = CoverageSweep(with_station(roof, "unpaced", kind="allsky"), db)
    for minutes in (0, 1, 2, 3, 3.2, 5):
        one.sweep(start + timedelta(minutes=minutes))
    (opened,) = told(db)
    assert (opened["instrument"], opened["state"], opened["last_frame"]) == ("roof", "open", None)
    assert (opened["gap"]["start"], opened["gap"]["frames_lost"]) == ("2026-06-01T08:01:00Z", 3)
    CoverageSweep(roof, db).sweep(start + timedelta(minutes=5.5))  # after a start it is told already
    put(db, "roof", [(start + timedelta(minutes=9)).timestamp()])
    CoverageSweep(roof, db).sweep(start + timedelta(minutes=9.5))
    _, closed = told(db)
    assert (closed["state"], closed["why"], closed["last_frame"]) == ("closed", "frames", None)
    assert closed["gap"]["frames_lost"] == pytest.approx(8, abs=1)


@on_sqlite
def test_a_camera_that_never_sent_is_not_expected_where_the_settings_say_so(
    db: Database, settings: Settings
) -> None:
    stations = {
        "later": {"since": DAY + timedelta(days=1)},
        "dark": {"site": {"latitude_deg": 46.7, "longitude_deg": 13.9}},  # a camera of the night
        "slow": {"cadence_s": 1e308},
        "closed": {"closures": [{"time": "2026-06-01/2026-06-02", "reason": "snow"}]},
    }
    for name, given in stations.items():
        settings = with_station(settings, name, **({"kind": "allsky", "cadence_s": 60} | given))
    sweep = CoverageSweep(settings, db)
    for minutes in range(0, 60, 5):
        sweep.sweep(DAY + timedelta(hours=10, minutes=minutes))
    assert told(db) == []


@on_sqlite
def test_archives_being_taken_in_open_no_gap(db: Database, settings: Settings) -> None:
    put(db, "aia-193", DAY.timestamp() + np.arange(0.0, 3600.0, 60.0), priority="backfill")
    put(db, "aia-171", DAY.timestamp() - 90 * 86400 + np.arange(0.0, 3600.0, 60.0))
    CoverageSweep(settings, db).sweep(DAY + timedelta(hours=4))
    assert told(db) == []


def test_the_page_shows_the_day_its_gaps_and_what_it_knows(client: TestClient, filled: None) -> None:
    page = client.get("/coverage?day=2026-06-01").text
    assert "Monday 1 June 2026" in page and 'aria-current="page">Coverage</a>' in page
    assert "7 min" in page and "night" in page
    assert "learned" in page
    one = client.get("/coverage?day=2026-06-01&instrument=aia-193&span=7d").text
    assert "kso-halpha" not in one.split('<section class="ledgers"')[1]
    assert 'href="/coverage"' in client.get("/").text


@on_sqlite
@pytest.mark.parametrize(
    "query",
    ["day=yesterday", "day=9999-12-31", "span=1000d", "instrument=%00", "instrument=none", "day=0001-01-01"],
)
def test_an_address_that_makes_no_sense_shows_the_page_all_the_same(
    client: TestClient, filled: None, query: str
) -> None:
    assert client.get(f"/coverage?{query}").status_code == 200


@on_sqlite
def test_a_page_of_too_many_frames_says_so(
    client: TestClient, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "MOST_FRAMES", 100)
    page = client.get("/coverage?day=2026-06-01")
    assert page.status_code == 200 and "one instrument" in page.text


@on_sqlite
def test_names_are_only_text_on_the_page(settings: Settings, db: Database) -> None:
    name = "<b>'\"&"
    put(db, name, DAY.timestamp() + np.arange(0.0, 3600.0, 60.0))
    with TestClient(create_app(settings, db), root_path="/sun") as client:
        page = client.get("/coverage?day=2026-06-01").text
    assert "<b>" not in page and "&lt;b&gt;" in page
    assert 'href="/' not in page.replace('href="/sun/', "")


@on_sqlite
def test_a_configured_camera_that_never_sent_anything_is_on_the_page(
    settings: Settings, db: Database
) -> None:
    stations = {"roof": InstrumentSettings(kind="allsky", cadence_s=60)}
    with TestClient(create_app(settings.model_copy(update={"instruments": stations}), db)) as client:
        page = client.get("/coverage?day=2026-06-01").text
    assert "Where it stands is not known" in page
    assert "roof" in page and "1\u202f440" in page


@on_sqlite
def test_nothing_is_counted_against_a_cadence_that_nobody_knows(client: TestClient, db: Database) -> None:
    put(db, "aia-193", DAY.timestamp() + 6 * 3600 + 60.0 * np.arange(3))
    page = client.get("/coverage?day=2026-06-01").text
    assert "too few frames to say how many were expected" in page
    assert "<dt>Came</dt><dd>3</dd>" in page and "<dt>Usable</dt>" not in page


@on_sqlite
def test_frames_that_tell_no_time_are_not_said_to_have_come_twice(client: TestClient, db: Database) -> None:
    noon_s = DAY.timestamp() + 12 * 3600
    put(db, "aia-193", noon_s + 60.0 * np.arange(20))
    put(db, "aia-193", noon_s + 600 + 0.001 * np.arange(1, 13), date_obs=None, date_obs_source="none")
    page = client.get("/coverage?day=2026-06-01").text
    assert "<dt>Without a time</dt><dd>12</dd>" in page and "Came twice" not in page
    put(db, "aia-193", noon_s + 300 + 0.001 * np.arange(1, 4))
    assert "<dt>Came twice</dt><dd>3</dd>" in client.get("/coverage?day=2026-06-01").text
