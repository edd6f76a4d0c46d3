"""The pages Instrument, Calendar and System as they are served, before any script runs."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from observatory.analysis import Cause
from observatory.settings import Device, InstrumentSettings, Settings
from observatory.storage import instrument_facts, workers
from observatory.storage.session import Database
from service.main import create_app
from service.views import instrument
from tests.service.telescope import DAY, Telescope, on_sqlite

WAYS = ("/now/tile?instrument=", "/instrument/")


def test_scores_causes_and_times_of_a_day_are_summed_up(client: TestClient, telescope: Telescope) -> None:
    good = telescope.observe(0.97, date_obs=DAY + timedelta(hours=8))
    bad = telescope.observe(0.12, (Cause.CLOUD, 0.9), date_obs=DAY + timedelta(hours=9))
    telescope.observe(0.9, date_obs=DAY - timedelta(days=1))
    page = client.get("/instrument/kso-halpha").text
    assert "Monday 1 June 2026" in page and "50.0 % clear" in page
    assert f'href="/frame/{good}"' in page and f'href="/frame/{bad}"' in page
    assert "1 frame from 0.10; 1 frame from 0.95;" in page
    assert re.search(r"<span>cloud</span>.*?>1</span>", page, re.DOTALL)
    assert "worked on" in page and "in all" in page
    assert "<span>0.75</span>" in page and "Frames by score" in page  # scales, and what they are of
    week = client.get("/instrument/kso-halpha?span=7d").text
    assert "66.7 % clear" in week and "2026-05-26 to 2026-06-01" in week


@on_sqlite
def test_frames_without_a_time_are_said_to_be_there_but_not_drawn(
    client: TestClient, telescope: Telescope
) -> None:
    telescope.observe(0.9, date_obs=None)
    telescope.observe(0.1, (Cause.CLOUD, 0.9), date_obs=None)
    shown = client.get("/instrument/kso-halpha").text
    assert "50.0 % clear" in shown and "2 without a time of their own, not drawn" in shown
    assert "Nothing to draw in this time." in shown and "1 frame from 0.90;" in shown
    assert re.search(r'<span>cloud</span>.*?class="part" width="50.00%"', shown, re.DOTALL)
    page = client.get("/").text
    assert "tell no time of their own" in page and "No judged frames" not in page


def test_many_frames_are_drawn_in_bins_that_lead_to_their_day(
    client: TestClient, telescope: Telescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instrument, "_SINGLE", 3)
    for minute in range(4):
        telescope.observe(0.2 * minute, date_obs=DAY + timedelta(minutes=minute))
    page = client.get("/instrument/kso-halpha").text
    assert "4 frames, 3 degraded, scores 0.00 to 0.60, mean 0.30" in page
    assert 'href="/instrument/kso-halpha?day=2026-06-01&amp;span=1d"' in page
    assert "/frame/" not in page.split("</svg>")[0]


def test_a_score_of_one_lies_in_the_last_column(db: Database, telescope: Telescope) -> None:
    telescope.observe(1.0, date_obs=DAY)
    telescope.observe(0.0, date_obs=DAY)
    found = instrument_facts.histogram(db, "kso-halpha", DAY, DAY + timedelta(days=1))
    assert [step.frames for step in found] == [1] + 18 * [0] + [1]


def test_an_instrument_nobody_knows_is_not_found(client: TestClient, telescope: Telescope) -> None:
    telescope.observe()
    assert client.get("/instrument/nobody").status_code == 404
    assert client.get("/instrument/kso-halpha?day=yesterday&span=9y").status_code == 200


def test_the_calendar_says_what_of_each_day_was_usable(
    db: Database, settings: Settings, telescope: Telescope
) -> None:
    telescope.observe(0.97, date_obs=DAY + timedelta(hours=8))
    telescope.observe(0.12, (Cause.CLOUD, 0.9), date_obs=DAY + timedelta(hours=20))
    station = InstrumentSettings(kind="aia-193", cadence_s=43_200.0)
    watched = settings.model_copy(update={"instruments": {"kso-halpha": station}})
    with TestClient(create_app(watched, db)) as client:
        page = client.get("/calendar?instrument=kso-halpha&month=2026-06").text
    (told,) = re.findall(r'aria-label="Monday 1 June 2026: ([^"]*)"', page)
    assert told == "1 of 2 expected frames usable, 0 missing"
    assert "<b>50</b>" in page
    assert page.count('class="ledger month"') == 12 and "July 2025" in page


def test_days_without_a_cadence_say_how_many_frames_came(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(0.97, date_obs=DAY)
    page = client.get("/calendar?month=2026-06&instrument=").text
    assert "Monday 1 June 2026: 1 frame, none expected" in page
    assert client.get("/calendar?month=9999-99&instrument=nobody").status_code == 200


def test_the_calendar_of_an_archive_opens_at_its_newest_year(
    client: TestClient, telescope: Telescope
) -> None:
    telescope.observe(0.97, date_obs=datetime(2014, 3, 5, tzinfo=UTC))
    page = client.get("/calendar").text
    assert "Wednesday 5 March 2014: 1 frame, none expected" in page
    assert page.count('class="ledger month"') == 12 and "April 2013" in page
    telescope.observe(0.97, date_obs=datetime.now(UTC) - timedelta(days=200))
    assert "March 2014" not in client.get("/calendar").text


def test_an_empty_calendar_says_so(client: TestClient) -> None:
    assert "Nothing has arrived yet" in client.get("/calendar").text


def test_the_system_tells_who_works_and_on_what(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    assert "no worker is alive" in client.get("/system").text
    model = {"name": "halpha_quality", "version": "1.0.1", "sha256": "ab", "provider": "CPUExecutionProvider"}
    workers.sign_on(db, "host:1:a", "worker", datetime.now(UTC), {"version": "1.2", "models": [model]})
    telescope.receive()
    page = client.get("/system").text
    assert "a worker is alive" in page and "halpha_quality 1.0.1" in page and ">CPU<" in page
    assert "halpha.live" in page
    assert "free of" in page


def test_a_gpu_that_was_asked_for_and_is_not_used_is_a_fault(db: Database, settings: Settings) -> None:
    asked = settings.model_copy(
        update={"runtime": settings.runtime.model_copy(update={"device": Device.CUDA})}
    )
    model = {"name": "halpha_quality", "version": "1.0.1", "sha256": "ab", "provider": "CPUExecutionProvider"}
    workers.sign_on(db, "host:1:a", "worker", datetime.now(UTC), {"version": "1.2", "models": [model]})
    with TestClient(create_app(asked, db)) as client:
        assert "asked for cuda, but networks run on the CPU" in client.get("/system").text


@on_sqlite
@pytest.mark.parametrize("name", ["roof #2", "north/zenith", "50 % & more?"])
def test_every_link_leads_on_whatever_an_instrument_is_called(
    db: Database, settings: Settings, telescope: Telescope, name: str
) -> None:
    telescope.observe(0.97, instrument=name, date_obs=DAY + timedelta(hours=8))
    station = settings.model_copy(update={"instruments": {name: InstrumentSettings(kind="halpha")}})
    with TestClient(create_app(station, db)) as client:
        pages = [
            "/",
            f"/instrument/{quote(name)}?span=1d",
            f"/calendar?instrument={quote(name)}&month=2026-06",
        ]
        for path in pages:
            page = client.get(path).text
            links = {
                html.unescape(link) for link in re.findall(r'href="(/(?:instrument/|mode\?)[^"]*)"', page)
            }
            assert links
            for link in links:
                answer = client.get(link)
                assert answer.status_code == 200, link
                assert link.startswith("/mode") or html.escape(name) in re.findall(r"<h1>.*", answer.text)[0]


@on_sqlite
def test_pages_say_whether_a_camera_that_never_sent_is_missed(
    db: Database, settings: Settings, telescope: Telescope
) -> None:
    telescope.observe()
    later = datetime.now(UTC) + timedelta(days=40)
    stations = {
        "new-cam": InstrumentSettings(kind="halpha"),
        "paced-cam": InstrumentSettings(kind="halpha", cadence_s=60.0, observing="always"),
        "built-cam": InstrumentSettings(kind="halpha", cadence_s=60.0, observing="always", since=later),
    }
    watched = settings.model_copy(update={"instruments": stations})
    with TestClient(create_app(watched, db)) as client:
        tile, page = ({name: client.get(f"{way}{name}").text for name in stations} for way in WAYS)
        coverage = client.get("/coverage").text
    assert "not waited for: no cadence" in tile["new-cam"] and "expected" not in tile["new-cam"]
    assert "expected every 1 min" in tile["paced-cam"] and "not waited for" not in tile["paced-cam"]
    assert (
        f"expected from {later:%Y-%m-%d} on" in tile["built-cam"]
        and "expected every" not in tile["built-cam"]
    )
    assert "None is missed, either" in page["new-cam"] and "Nothing to draw" not in page["new-cam"]
    assert "One is expected every 1 min" in page["paced-cam"]
    assert "Not one frame came yet of new-cam, and none is missed" in coverage
