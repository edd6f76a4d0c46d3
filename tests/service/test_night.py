"""Nights over REST and on their page."""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select, update

from observatory.analysis import SkyClass
from observatory.frame import DateSource
from observatory.settings import Settings, load_settings
from observatory.storage import nights
from observatory.storage.night_schema import night_works
from observatory.storage.nights import WorkKind
from observatory.storage.session import Database
from tests.service.telescope import on_sqlite
from tests.workers.nights import EVENING, take
from workers.app import make_app
from workers.nights import work
from workers.tasks import Desk

KEOGRAMS = "/api/v1/keograms"


@pytest.fixture
def at(settings: Settings, db: Database) -> Desk:
    """A worker's desk on the service's database."""
    made = load_settings(data_dir=settings.data_dir, database_url=db.url, nights={"rebuild_s": 1e-6})
    make_app(made)
    return Desk(made)


def make(at: Desk) -> None:
    now = datetime.now(UTC)
    for work_id in nights.due(at.db, now, now, [WorkKind.PICTURES]):
        work(at, work_id)


def one_night(at: Desk, folder: Path, days: int = 0, **more) -> None:
    for minute in range(0, 30, 2):
        take(at, folder, minute, begin=EVENING - timedelta(days=days), **more)
    for minute in range(30, 40, 2):
        begin = EVENING - timedelta(days=days)
        take(at, folder, minute, begin=begin, name=SkyClass.ARC, arc=90, cloud=0.4, **more)


def test_nights_are_listed_with_numbers_and_pictures(client: TestClient, at: Desk, tmp_path: Path):
    one_night(at, tmp_path)
    one_night(at, tmp_path, days=1)
    assert client.get(KEOGRAMS).json() == {"items": [], "next": None}  # no picture yet
    make(at)
    newest, oldest = client.get(KEOGRAMS).json()["items"]
    assert (newest["date"], oldest["date"]) == ("2026-11-20", "2026-11-19")
    assert (newest["frames"], newest["judged"], newest["classes"]) == (20, 20, {"arc": 5, "clear": 15})
    assert newest["aurora_occurrence"] == 0.25
    assert newest["onsets"][0]["time"] == "2026-11-20T17:30:00Z"
    assert newest["hours"][0]["cloud_cover"] == pytest.approx(0.175)
    assert newest["film"] == {"status": "waiting", "reason": None, "frames": None, "seconds": None}
    assert (newest["is_oriented"], newest["is_simulated"], newest["wavelength_nm"]) == (True, False, None)
    assert client.get(newest["links"]["self"]).json() == newest


@on_sqlite
def test_times_of_files_are_told_where_it_is_known(
    client: TestClient, at: Desk, db: Database, tmp_path: Path
):
    take(at, tmp_path, 0)
    take(at, tmp_path, 0, begin=EVENING - timedelta(days=1), date_source=DateSource.FILE_TIME)
    make(at)

    def told() -> list[bool | None]:
        return [one["is_file_time"] for one in client.get(KEOGRAMS).json()["items"]]

    assert told() == [False, True]
    lines = client.get(KEOGRAMS, params={"format": "csv"}).text.splitlines()
    place = lines[0].split(",").index("is_file_time")
    assert [line.split(",")[place] for line in lines[1:]] == ["false", "true"]
    assert "times of the files" not in client.get("/night").text
    assert "times of the files" in client.get("/night?day=2026-11-19").text
    with db.write() as connection:  # as it was made before this was noted
        payload = connection.execute(select(night_works.c.payload)).scalars().first()
        del payload["is_file_time"]
        connection.execute(update(night_works).values(payload=payload))
    assert told() == [None, None]


@on_sqlite
def test_a_picture_is_asked_for_again_by_its_etag(client: TestClient, at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    make(at)
    (night,) = client.get(KEOGRAMS).json()["items"]
    picture = client.get(night["links"]["keogram"])
    assert Image.open(io.BytesIO(picture.content)).width == 1600
    assert picture.headers["cache-control"] == "no-cache"
    assert "keogram-kho-2026-11-20.png" in picture.headers["content-disposition"]
    etag = {"If-None-Match": picture.headers["etag"]}
    assert client.get(night["links"]["keogram"], headers=etag).status_code == 304
    take(at, tmp_path, 1)
    make(at)
    assert client.get(f"{KEOGRAMS}/{night['id']}/keogram", headers=etag).status_code == 200
    assert client.get(f"{KEOGRAMS}/{night['id']}").json()["revision"] == 2
    part = client.get(night["links"]["ewogram"], headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, b"\x89PNG\r\n\x1a\n")
    shutil.rmtree(at.files.root)
    assert client.get(night["links"]["keogram"]).status_code == 410


@on_sqlite
def test_the_list_narrows_and_pages_and_is_a_table(client: TestClient, at: Desk, tmp_path: Path):
    for days in range(3):
        take(at, tmp_path, 0, begin=EVENING - timedelta(days=days))
    take(at, tmp_path, 0, instrument="other")
    make(at)
    page = client.get(KEOGRAMS, params={"limit": 2, "instrument": "kho"}).json()
    rest = client.get(page["next"]).json()
    assert [one["date"] for one in page["items"] + rest["items"]] == [
        "2026-11-20",
        "2026-11-19",
        "2026-11-18",
    ]
    span = {"time": "2026-11-20T03:00Z/2026-11-20T04:00Z", "instrument": "kho"}
    assert [one["date"] for one in client.get(KEOGRAMS, params=span).json()["items"]] == ["2026-11-19"]
    lines = client.get(KEOGRAMS, params={"format": "csv"}).text.splitlines()
    assert len(lines) == 5 and lines[0].startswith("id,instrument,wavelength_nm,date")
    assert client.get(KEOGRAMS, params={"format": "votable"}).status_code == 200


@on_sqlite
def test_what_is_not_there_and_what_makes_no_sense_is_a_problem(client: TestClient, at: Desk, tmp_path: Path):
    take(at, tmp_path, 0)
    make(at)
    (night,) = client.get(KEOGRAMS).json()["items"]
    for path in ("/77", "/77/keogram", f"/{night['id']}/film"):
        assert client.get(KEOGRAMS + path).status_code == 404
    for path in (f"/{night['id']}/photo", "/x", "?limit=0", "?colour=red", "?time=tomorrow"):
        answer = client.get(KEOGRAMS + path)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


@on_sqlite
def test_the_page_shows_the_newest_full_night_and_tells_it_in_words(
    client: TestClient, at: Desk, tmp_path: Path
):
    assert "No night yet" in client.get("/night").text
    one_night(at, tmp_path)
    one_night(at, tmp_path, days=1)
    take(at, tmp_path, 0, instrument="<b>&", begin=EVENING + timedelta(days=1))
    one_night(at, tmp_path, days=-9000)  # a camera with a wrong clock
    make(at)
    shown = client.get("/night").text
    assert "20 to 21 November 2026" in shown
    assert "20 frames from 17:00 to 17:38 UTC; 15 clear, 5 arc; onset at 17:30" in shown
    assert "1 onset" in shown and "25 %" in shown
    assert "&lt;b&gt;&amp;" in shown and "<b>&" not in shown
    before = client.get("/night", params={"day": "2026-11-19", "camera": "kho@0"}).text
    assert "19 to 20 November 2026" in before
    for query in (
        "night=x",
        "night=99999999999999999999999",
        "day=2026-13-01",
        "camera=nobody@0",
        "camera=@",
    ):
        assert client.get(f"/night?{query}").status_code == 200


@on_sqlite
def test_the_page_names_both_days_of_a_night_and_leads_to_the_frames_of_both(
    client: TestClient, at: Desk, tmp_path: Path
):
    for evening in (datetime(2025, 12, 31, 22, tzinfo=UTC), datetime(2026, 1, 30, 18, tzinfo=UTC)):
        for minute in range(0, 300, 30):
            take(at, tmp_path, minute, begin=evening)
    make(at)
    page = client.get("/night?day=2025-12-31").text
    assert "31 December 2025 to 1 January 2026" in page
    assert "day=2025-12-31" in page and "day=2026-01-01" in page
    page = client.get("/night?day=2026-01-30").text
    assert "30 to 31 January 2026" in page and "another one" not in page
    assert "day=2026-01-30" in page and "day=2026-01-31" not in page


@on_sqlite
def test_who_asks_for_a_night_that_is_not_there_is_told_that_it_is_another(
    client: TestClient, at: Desk, tmp_path: Path
):
    one_night(at, tmp_path)
    make(at)
    words = "No night with pictures began on Monday 30 November 2026: this is another one."
    assert words in client.get("/night?day=2026-11-30").text
    for query in ("day=2026-11-01", "camera=elsewhere@0"):
        page = client.get(f"/night?{query}").text
        assert "choose another" in page and "No night yet" not in page
    for query in ("", "?day=2026-11-20", "?day=x", "?night=1&day=2026-11-01"):
        assert "another one" not in client.get(f"/night{query}").text
