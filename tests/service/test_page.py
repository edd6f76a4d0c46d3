"""The page Now as it is served, before any script runs."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from observatory.analysis import Cause
from observatory.settings import InstrumentSettings, Settings
from observatory.storage import frames, workers
from observatory.storage.frames import Priority
from observatory.storage.session import Database
from service.main import create_app
from service.views import words
from tests.service.telescope import DAY, Telescope, on_sqlite


def test_an_empty_observatory_says_what_to_do(client: TestClient) -> None:
    page = client.get("/").text
    assert "Nothing has arrived yet" in page
    assert "heliowatch up --watch" in page


def test_a_tile_tells_the_newest_frame_in_words(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(0.93, with_picture=True, is_simulated=True)
    page = client.get("/").text
    assert "kso-halpha" in page and "simulated" in page
    assert "clear" in page and "0.93" in page
    assert "0 of the last 1 frame degraded" in page
    telescope.observe(0.12, (Cause.THIN_CLOUD, 0.7))
    page = client.get("/").text
    assert "degraded" in page and "0.12: thin cloud" in page
    assert "1 of the last 2 frames degraded" in page
    telescope.observe(None, instrument="aia-193", family="aia")
    assert "no analysis yet" in client.get("/").text


def test_without_a_day_the_newest_with_frames_is_shown(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(date_obs=DAY + timedelta(hours=23))
    telescope.observe(date_obs=DAY + timedelta(days=3))
    page = client.get("/").text
    assert "Thursday 4 June 2026" in page
    assert "day=2026-06-01" in page
    earlier = client.get("/?instrument=kso-halpha&day=2026-06-01").text
    assert "Monday 1 June 2026" in earlier
    assert "day=2026-06-04" in earlier
    assert "No judged frames on this day" in client.get("/?day=2026-06-02").text


def test_a_frame_of_the_address_is_shown_with_its_day(client: TestClient, telescope: Telescope) -> None:
    old = telescope.observe(
        0.2, (Cause.CLOUD, 0.81), with_picture=True, with_map=True, date_obs=DAY, file_name="kanz_old.fts.gz"
    )
    telescope.observe(date_obs=DAY + timedelta(days=3))
    page = client.get(f"/?frame={old}").text
    assert "kanz_old.fts.gz" in page and "Monday 1 June 2026" in page
    assert "Back to live" in page
    assert "81 %" in page and 'id="show-map"' in page
    assert "halpha-quality 1.0.0" in page


def test_refused_files_are_shown_with_their_reason(client: TestClient, telescope: Telescope) -> None:
    refused = telescope.refuse("the file is empty")
    page = client.get("/").text
    assert "Could not be used" in page and "the file is empty" in page
    assert "the file is empty" in client.get(f"/?frame={refused}").text


@on_sqlite
@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>.fits", "a'b\" onload=x.fits", "two\nlines.fits", "</script><b>.png"]
)
def test_hostile_names_are_only_text(client: TestClient, telescope: Telescope, name: str) -> None:
    telescope.observe(file_name=name, with_picture=True, observatory=name)
    telescope.refuse(name, file_name=name)
    page = client.get("/").text
    assert "<script>alert" not in page and "<b>" not in page and '" onload' not in page


@on_sqlite
@pytest.mark.parametrize(
    "query",
    [
        "day=yesterday",
        "day=9999-12-31",
        "frame=x",
        "frame=99999",
        f"frame={2**70}",
        "instrument=%00",
        "instrument=none",
    ],
)
def test_an_address_that_makes_no_sense_shows_the_newest(
    client: TestClient, telescope: Telescope, query: str
) -> None:
    telescope.observe()
    answer = client.get(f"/?{query}")
    assert answer.status_code == 200
    assert "Monday 1 June 2026" in answer.text


def test_pieces_are_fetched_on_their_own(client: TestClient, telescope: Telescope) -> None:
    frame_id = telescope.observe()
    assert client.get("/now/tile?instrument=kso-halpha").text.count("<article") == 1
    assert 'id="frame"' in client.get(f"/now/frame/{frame_id}").text
    assert 'id="refusals"' in client.get("/now/refusals").text
    assert client.get("/now/frame/99").status_code == 404
    assert client.get("/now/refusals").headers["cache-control"] == "no-store"


def test_a_camera_whose_frames_are_overdue_is_late(
    settings: Settings, db: Database, telescope: Telescope
) -> None:
    telescope.observe(date_obs=datetime.now(UTC) - timedelta(seconds=30), instrument="roof")
    for cadence_s, is_late in ((6.0, True), (60.0, False)):
        station = {"roof": InstrumentSettings(kind="halpha", cadence_s=cadence_s)}  # nobody knows its nights
        with TestClient(create_app(settings.model_copy(update={"instruments": station}), db)) as client:
            assert ("late:" in client.get("/").text) is is_late


@on_sqlite
@pytest.mark.parametrize(("ahead", "word"), [(timedelta(hours=2), "2 h"), (timedelta(days=26_700), "73 y")])
def test_a_camera_whose_clock_is_ahead_grows_old_and_late_from_when_its_frames_came(
    settings: Settings, db: Database, telescope: Telescope, ahead: timedelta, word: str
) -> None:
    came = datetime.now(UTC) - timedelta(minutes=5)
    telescope.observe(date_obs=came + ahead, received_at=came, instrument="roof")
    station = {"roof": InstrumentSettings(kind="halpha", cadence_s=60.0)}
    with TestClient(create_app(settings.model_copy(update={"instruments": station}), db)) as client:
        page = client.get("/").text
    assert "late:" in page and f"dated {word} after it came" in page
    assert re.search(rf'datetime="{came:%Y-%m-%dT%H:%M:%S}[^"]*" data-age>5 min', page)
    assert f"{came + ahead:%Y-%m-%d %H:%M:%S}" in page


def test_a_composite_of_frames_that_are_dated_ahead_grows_old_from_when_they_came(
    client: TestClient, telescope: Telescope
) -> None:
    dated = datetime.now(UTC) + timedelta(hours=2)
    telescope.compose(dated)
    tile = client.get("/now/composite").text
    (seen,) = re.findall(r'datetime="([^"]*)" data-age', tile)
    assert datetime.fromisoformat(seen) < datetime.now(UTC)
    assert f"{dated:%Y-%m-%d %H:%M:%S}" in tile


def test_frames_of_a_clock_that_was_ahead_hide_none_that_came_after_it_was_put_right(
    client: TestClient, telescope: Telescope
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for age, ahead in ((9, timedelta(hours=2)), (8, timedelta(hours=2)), (7, timedelta(days=26_700))):
        came = now - timedelta(minutes=age)
        telescope.observe(
            date_obs=came + ahead, received_at=came, file_name=f"ahead {age}", with_picture=True
        )
    right = telescope.observe(
        date_obs=now - timedelta(minutes=1), received_at=now, file_name="right", with_picture=True
    )
    page = client.get("/").text
    assert f'data-frame="{right}"' in page
    assert re.findall(r'data-select="(\d+)"', page)[0] == str(right)
    points = json.loads(re.findall(r'id="points">(.*?)</script>', page)[0])
    assert points["id"][-1] == right and points["t"] == sorted(points["t"])
    assert points["t"][-1] <= now.timestamp()
    assert "Later day with frames" not in page
    assert client.get("/api/v1/latest/kso-halpha.json").json()["id"] == right
    picture = client.get(f"/api/v1/frames/{right}").json()["links"]["preview"]
    assert client.get("/api/v1/latest/kso-halpha.jpg").url.path == picture
    (camera,) = client.get("/api/v1/instruments").json()["items"]
    assert datetime.fromisoformat(camera["last_date_obs"]) == now - timedelta(minutes=1)


def test_addresses_keep_the_path_a_proxy_serves_below(
    settings: Settings, db: Database, telescope: Telescope
) -> None:
    for _ in range(2):
        telescope.observe(with_picture=True)
    with TestClient(create_app(settings, db), root_path="/sun") as client:
        page = client.get("/").text
        assert 'href="/' not in page.replace('href="/sun/', "") and 'src="/' not in page.replace(
            'src="/sun/', ""
        )
        assert client.get("/api/v1/frames?limit=1").json()["next"].startswith("/sun/api/v1/frames?")


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (172800, "2 d"),
        (63115200, "2 y"),
    ],
)
def test_ages_are_round(seconds: float, word: str) -> None:
    assert words.age(seconds) == word


def test_words_are_those_of_people() -> None:
    assert words.size(999) == "999 B"
    assert words.size(4_200_000) == "4.2 MB"
    assert words.size(5_000_000_000) == "5.0 GB"
    assert words.printable("a\nb\x00☉") == "a\\nb\\x00☉"
    assert words.long_day(date(2026, 6, 1)) == "Monday 1 June 2026"


def test_a_tile_tells_of_a_frame_that_no_worker_takes(client: TestClient, telescope: Telescope) -> None:
    telescope.receive(received_at=datetime.now(UTC) - timedelta(minutes=3))
    page = client.get("/").text
    assert "waiting for a worker: 3 min" in page
    telescope.observe()
    assert "waiting for a worker" not in client.get("/").text


def test_a_tile_tells_how_many_go_first_while_workers_work(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    then = datetime.now(UTC) - timedelta(minutes=3)
    workers.sign_on(db, "w", "worker", datetime.now(UTC), {})
    telescope.receive(received_at=then, priority=Priority.BACKFILL)
    ids = [telescope.receive(received_at=then) for _ in range(3)]
    assert "waiting, 2 before it: 3 min" in client.get("/").text
    assert frames.claim(db, ids[-1], "w", datetime.now(UTC))
    assert "in work for 3 min" in client.get("/").text
    workers.sign_off(db, "w")
    assert "waiting for a worker: 3 min" in client.get("/").text  # whoever had it will not end it


@on_sqlite
def test_files_that_were_copied_together_are_not_said_to_come_every_millisecond(
    client: TestClient, telescope: Telescope
) -> None:
    for number in range(5):
        telescope.observe(date_obs=DAY + timedelta(milliseconds=number))
    assert "about every" not in client.get("/").text


def test_a_tile_tells_how_often_frames_come_and_that_a_camera_is_switched_off(
    db: Database, settings: Settings, telescope: Telescope
) -> None:
    for minute in range(5):
        telescope.observe(date_obs=DAY + timedelta(minutes=3 * minute), instrument="roof")
    unsaid = InstrumentSettings(kind="halpha")
    with TestClient(create_app(settings.model_copy(update={"instruments": {"roof": unsaid}}), db)) as client:
        assert "about every 3 min" in client.get("/").text
    now = datetime.now(UTC)
    span = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%MZ}/{now + timedelta(hours=1):%Y-%m-%dT%H:%MZ}"
    closed = InstrumentSettings(kind="halpha", cadence_s=60, maintenance=[{"time": span}])
    station = settings.model_copy(update={"instruments": {"roof": closed}})
    with TestClient(create_app(station, db)) as client:
        page = client.get("/").text
    assert "every 1 min" in page and "switched off: maintenance" in page and "late:" not in page
    open_ = closed.model_copy(update={"maintenance": []})
    with TestClient(create_app(settings.model_copy(update={"instruments": {"roof": open_}}), db)) as client:
        assert "late:" in client.get("/").text
