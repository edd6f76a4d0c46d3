"""Series of scores, and what is known of instruments and of the system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from observatory.analysis import Cause
from observatory.frame import DateSource
from observatory.settings import InstrumentSettings, Settings
from observatory.storage import workers
from observatory.storage.session import Database
from service.main import create_app
from service.routes import quality as routes
from tests.service import corona
from tests.service.telescope import DAY, Telescope, on_sqlite

QUALITY = "/api/v1/quality"


def test_single_scores_come_oldest_first_and_the_newest_survive_a_limit(
    client: TestClient, telescope: Telescope
) -> None:
    for minute, score in ((2, 0.9), (0, 0.1), (1, 0.5)):
        telescope.observe(score, date_obs=DAY + timedelta(minutes=minute))
    telescope.observe(0.7, date_obs=None, date_obs_source=DateSource.NONE)
    body = client.get(QUALITY).json()
    assert [point["score"] for point in body["items"]] == [0.1, 0.5, 0.9]
    assert body["items"][0]["time"] == "2026-06-01T00:00:00Z"
    assert body["items"][0]["is_degraded"] is True
    assert not body["is_truncated"]
    cut = client.get(QUALITY, params={"limit": 2}).json()
    assert [point["score"] for point in cut["items"]] == [0.5, 0.9]
    assert cut["is_truncated"]


def test_a_table_of_single_scores_is_whole(
    client: TestClient, telescope: Telescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_MOST", 2)
    monkeypatch.setattr(routes, "_PIECE", 3)
    ids = [telescope.observe(date_obs=DAY + timedelta(minutes=minute // 2)) for minute in range(7)]
    telescope.observe(date_obs=None, date_obs_source=DateSource.NONE)

    def told(**query: Any) -> list[int]:
        lines = client.get(QUALITY, params={"format": "csv", **query}).text.splitlines()
        assert lines[0] == "time,instrument,id,score,is_degraded"
        return [int(line.split(",")[2]) for line in lines[1:]]

    assert told() == ids
    assert told(time="2026-06-01T00:01Z/2026-06-01T00:03Z", instrument="kso-halpha") == ids[2:6]
    assert told(as_of="2099-01-01") == ids and told(as_of="2000-01-01") == []
    assert told(limit=4) == ids[3:]
    assert len(client.get(QUALITY).json()["items"]) == 2


def test_as_of_a_time_the_newest_points_are_those_that_were_known_then(
    client: TestClient, telescope: Telescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_PIECE", 2)
    known = [telescope.observe(date_obs=DAY + timedelta(minutes=minute)) for minute in range(3)]
    then = datetime.now(UTC).isoformat()
    for minute in (10, 11, 12):
        telescope.observe(date_obs=DAY + timedelta(minutes=minute), received_at=DAY)  # judged later
        telescope.observe(date_obs=DAY + timedelta(minutes=minute))

    def told(**query: Any) -> tuple[list[int], bool]:
        body = client.get(QUALITY, params={"as_of": then, **query}).json()
        return [point["id"] for point in body["items"]], body["is_truncated"]

    assert told() == (known, False)
    assert told(limit=3) == (known, False)
    assert told(limit=2) == (known[1:], True)


def test_bins_hold_mean_extremes_and_the_degraded(client: TestClient, telescope: Telescope) -> None:
    for minute, score in ((0, 0.2), (4, 0.8), (5, 1.0)):
        telescope.observe(score, date_obs=DAY + timedelta(minutes=minute))
    first, second = client.get(QUALITY, params={"bin": "5m", "instrument": "kso-halpha"}).json()["items"]
    assert first["time"] == "2026-06-01T00:00:00Z"
    assert first["score"] == pytest.approx(0.5)
    assert (first["frames"], first["score_min"], first["score_max"], first["degraded"]) == (2, 0.2, 0.8, 1)
    assert second["time"] == "2026-06-01T00:05:00Z"
    csv = client.get(QUALITY, params={"bin": "1h", "format": "csv"}).text.splitlines()
    assert csv[0] == "time,instrument,frames,score,score_min,score_max,degraded"
    assert len(csv) == 2


@on_sqlite
@pytest.mark.parametrize("form", ["csv", "votable", "parquet"])
@pytest.mark.parametrize("path", ["quality?bin=1m", "quality?", "regions/series?bin=1m", "regions/series?"])
def test_a_table_that_is_cut_says_so_in_a_header(
    client: TestClient, telescope: Telescope, path: str, form: str
) -> None:
    for minute in range(3):
        moment = DAY + timedelta(minutes=minute)
        telescope.observe(0.9, date_obs=moment)
        telescope.corona(corona.found(corona.CH, (corona.central(),), moment), date_obs=moment)

    def told(limit: int) -> str | None:
        answer = client.get(f"/api/v1/{path}&format={form}&limit={limit}")
        assert answer.status_code == 200
        header: str | None = answer.headers.get("heliowatch-truncated")
        return header

    assert told(2) == "true" and told(9) is None


@on_sqlite
@pytest.mark.parametrize("word", ["5", "0s", "5 minutes", "-5m", "9999d"])
def test_a_bin_must_be_a_width_of_time(client: TestClient, word: str) -> None:
    answer = client.get(QUALITY, params={"bin": word})
    assert answer.status_code == 422
    assert "30s" in answer.json()["errors"][0]["allowed"]


def test_instruments_are_those_configured_and_those_with_frames(
    settings: Settings, db: Database, telescope: Telescope
) -> None:
    telescope.observe(0.1, (Cause.CLOUD, 1.0))
    telescope.receive()
    stations = {"my-dome": InstrumentSettings(kind="halpha", cadence_s=6)}
    with TestClient(create_app(settings.model_copy(update={"instruments": stations}), db)) as client:
        kso, mine = client.get("/api/v1/instruments").json()["items"]
    assert (kso["name"], kso["frames"], kso["done"], kso["waiting"], kso["degraded"]) == (
        "kso-halpha",
        2,
        1,
        1,
        1,
    )
    assert kso["last_date_obs"] == "2026-06-01T08:00:06Z" and not kso["is_configured"]
    assert (mine["name"], mine["family"], mine["cadence_s"], mine["frames"]) == ("my-dome", "halpha", 6, 0)


def test_status_tells_what_waits_and_who_works(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    telescope.receive()
    telescope.observe()
    facts = {"models": [{"name": "halpha-quality"}], "version": "0.1.0"}
    workers.sign_on(db, "w1", "worker", datetime.now(UTC), facts)
    body = client.get("/api/v1/status").json()
    assert body["frames"]["received"] == body["frames"]["done"] == 1
    assert body["queues"][0]["queue"] == "halpha.live"
    assert body["queues"][0]["waiting"] == 1
    assert body["workers"][0]["facts"] == facts
    assert body["last_event"] > 0


def test_latest_redirects_to_the_newest_and_is_not_cached(client: TestClient, telescope: Telescope) -> None:
    pictured = telescope.observe(with_picture=True)
    bare = telescope.observe()
    picture = client.get("/api/v1/latest/kso-halpha.jpg", follow_redirects=False)
    assert picture.status_code == 307
    assert picture.headers["cache-control"] == "no-cache"
    products = client.get(f"/api/v1/frames/{pictured}/products").json()["items"]
    assert picture.headers["location"] == products[0]["links"]["data"]
    assert client.get("/api/v1/latest/kso-halpha.json").json()["id"] == bare
    unknown = client.get("/api/v1/latest/soho.json")
    assert "kso-halpha" in unknown.json()["detail"]


@pytest.mark.parametrize("name", ["north/zenith", "50 % & more?", "a.json"])
def test_latest_leads_to_any_instrument_that_the_settings_allow(
    client: TestClient, telescope: Telescope, name: str
) -> None:
    frame_id = telescope.observe(instrument=name, with_picture=True)
    assert client.get(f"/api/v1/latest/{quote(name, safe='')}.json").json()["id"] == frame_id
    assert client.get(f"/api/v1/latest/{quote(name)}.jpg").headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("moment", [datetime(9999, 12, 31, 12, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
@pytest.mark.parametrize("width", ["5m", "366d"])
def test_the_last_day_of_the_calendar_breaks_neither_series_nor_page(
    client: TestClient, telescope: Telescope, moment: datetime, width: str
) -> None:
    frame_id = telescope.observe(date_obs=moment)
    assert client.get("/").status_code == 200
    assert client.get("/", params={"frame": frame_id}).status_code == 200
    assert client.get(QUALITY).status_code == 200
    assert client.get(QUALITY, params={"bin": width}).status_code == 200
    assert client.get(QUALITY, params={"bin": width, "format": "csv"}).status_code == 200


def test_a_frame_from_the_future_is_the_newest_only_where_there_is_no_other(
    client: TestClient, telescope: Telescope
) -> None:
    future = telescope.observe(date_obs=datetime.now(UTC) + timedelta(days=400))
    assert client.get("/api/v1/latest/kso-halpha.json").json()["id"] == future
    present = telescope.observe(date_obs=datetime.now(UTC))
    assert client.get("/api/v1/latest/kso-halpha.json").json()["id"] == present
    tile = client.get("/now/tile", params={"instrument": "kso-halpha"}).text
    assert f"{datetime.now(UTC) + timedelta(days=400):%Y-%m-%d}" not in tile.split('class="strip"')[0]
