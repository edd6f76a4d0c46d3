"""Frames over REST: filters, paging, formats, errors."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from observatory.analysis import Cause
from observatory.frame import DateSource
from observatory.storage.results import NewResult, quality_payload
from observatory.storage.session import Database
from tests.service.telescope import DAY, MODEL, Telescope, on_sqlite, quality

FRAMES = "/api/v1/frames"
PROMISED = set(
    "id instrument observatory date_obs date_obs_source frame wavelength_nm file_name sha256 bytes status reason "  # noqa: SIM905
    "received_at processed_at latency_s quality sky mark links exposure_time_s is_simulated priority".split()
)


def ids(client: TestClient, **query: Any) -> list[int]:
    answer = client.get(FRAMES, params=query)
    assert answer.status_code == 200, answer.text
    return [frame["id"] for frame in answer.json()["items"]]


def test_a_frame_has_the_promised_names_and_no_path(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(0.12, (Cause.CLOUD, 0.8), with_picture=True)
    frame = client.get(FRAMES).json()["items"][0]
    assert set(frame) == PROMISED
    assert frame["quality"] == {
        "score": 0.12,
        "p_value": 0.001,
        "is_degraded": True,
        "causes": [{"cause": "cloud", "probability": 0.8}],
        "model": "halpha-quality 1.0.0",
    }
    assert frame["date_obs"] == "2026-06-01T08:00:00Z"
    assert frame["received_at"].endswith("Z")
    assert "secret" not in client.get(FRAMES).text
    assert client.get(frame["links"]["preview"]).headers["content-type"] == "image/jpeg"


def test_one_frame_tells_how_often_its_bytes_arrived_but_not_where(
    client: TestClient, telescope: Telescope
) -> None:
    first = telescope.observe(sha256="c" * 64)
    telescope.receive(sha256="c" * 64, file_name="copy.fts.gz")
    answer = client.get(f"{FRAMES}/{first}")
    assert answer.json()["arrivals"] == 2
    assert "secret" not in answer.text
    assert client.get(f"{FRAMES}/{first}/results").json()["items"][0]["model"]["sha256"] == "ab" * 32


@pytest.mark.parametrize("address", [f"{FRAMES}/{{}}", FRAMES, "/", "/frame/{}"])
def test_a_frame_that_is_worked_on_again_meanwhile_is_told_as_it_was(
    client: TestClient, telescope: Telescope, db: Database, address: str
) -> None:
    """Never the score of one run with the model of another."""
    frame_id = telescope.observe(0.93)
    newer = replace(quality(0.12), model=replace(MODEL, version="2.0.0", sha256="cd" * 32))
    begun: list[str] = []

    def work_again() -> None:
        telescope.again(
            frame_id, quality=newer, made=[NewResult("quality", newer.model, quality_payload(newer))]
        )

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "frames.quality_score" in statement and not begun:
            begun.append(statement)
            worker = Thread(target=work_again)
            worker.start()
            worker.join()

    event.listen(db.engine, "after_cursor_execute", listen)
    told = [client.get(address.format(frame_id)).text for _ in range(2)]
    assert begun and "2.0.0" not in told[0]
    for text, score, model in zip(told, ("0.93", "0.12"), ("1.0.0", "2.0.0"), strict=True):
        assert score in text and f"halpha-quality {model}" in text


def test_filters_narrow_the_list(client: TestClient, telescope: Telescope) -> None:
    clear = telescope.observe(0.9)
    cloudy = telescope.observe(0.2, (Cause.CLOUD, 0.9))
    aia = telescope.observe(None, instrument="aia-193", family="aia", wavelength_nm=19.3)
    waiting = telescope.receive()
    refused = telescope.refuse()
    assert ids(client) == [refused, waiting, aia, cloudy, clear]
    assert ids(client, order="asc") == [clear, cloudy, aia, waiting, refused]
    assert ids(client, instrument="aia-193") == [aia]
    assert ids(client, wavelength="193A") == ids(client, wavelength="19.3nm") == [aia]
    assert ids(client, quality_min=0.5) == [clear]
    assert ids(client, quality_max=0.5) == [cloudy]
    assert ids(client, status="rejected") == [refused]
    assert ids(client, cause="cloud") == [cloudy]
    assert ids(client, instrument="nothing") == []


def test_time_is_half_open_and_either_side_may_be_open(client: TestClient, telescope: Telescope) -> None:
    first, second, third = (telescope.observe(date_obs=DAY + timedelta(hours=hour)) for hour in (1, 2, 3))
    assert ids(client, time="2026-06-01T01:00Z/2026-06-01T03:00Z") == [second, first]
    assert ids(client, time="2026-06-01T02:00:00/..") == [third, second]
    assert ids(client, time="../2026-06-01T02:00:00.000Z") == [first]
    assert ids(client, time="2026-06-01T04:00+02:00/2026-06-02") == [third, second]
    assert ids(client, time="../..") == [third, second, first]


def test_an_unescaped_plus_of_a_time_zone_is_understood(client: TestClient, telescope: Telescope) -> None:
    frame = telescope.observe(date_obs=DAY + timedelta(hours=1))
    answer = client.get(f"{FRAMES}?time=2026-06-01T02:30+02:00/..")
    assert [item["id"] for item in answer.json()["items"]] == [frame]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_neither_lose_nor_repeat_while_frames_arrive(
    client: TestClient, telescope: Telescope, order: str
) -> None:
    same_second = DAY + timedelta(hours=5)
    there = [telescope.observe(date_obs=same_second) for _ in range(7)]
    answer = client.get(FRAMES, params={"limit": 3, "order": order, "instrument": "kso-halpha"})
    seen = [frame["id"] for frame in answer.json()["items"]]
    late = []
    while following := answer.json()["next"]:
        assert answer.headers["link"] == f'<{following}>; rel="next"'
        assert parse_qs(urlsplit(following).query)["instrument"] == ["kso-halpha"]
        late.append(telescope.observe(date_obs=DAY + timedelta(hours=4 if order == "asc" else 6)))
        answer = client.get(following)
        seen += [frame["id"] for frame in answer.json()["items"]]
    assert seen == (there if order == "asc" else there[::-1])
    assert late
    assert "link" not in answer.headers


@on_sqlite
@pytest.mark.parametrize(
    ("query", "parameter", "allowed"),
    [
        ("limit=0", "limit", "1 to 1000"),
        ("limit=1001", "limit", "1 to 1000"),
        ("limit=ten", "limit", "1 to 1000"),
        ("quality_min=1.5", "quality_min", "0 to 1"),
        ("quality_max=nan", "quality_max", "0 to 1"),
        ("status=lost", "status", "received, processing, done"),
        ("cause=rain", "cause", "thin_cloud"),
        ("order=up", "order", "asc"),
        ("time=yesterday", "time", "START/END"),
        ("time=2026-06-02/2026-06-01", "time", "START/END"),
        ("time=0001-01-01T00:00%2B14:00/..", "time", "START/END"),
        ("wavelength=193", "wavelength", "193A"),
        ("cursor=abc", "cursor", "unchanged"),
        ("cursor=%F0%9F%8C%9E", "cursor", "unchanged"),
        ("format=xml", "format", "json, csv, votable or parquet"),
        ("limit=-1", "limit", "1 to 1000"),
        ("limit=1000000000", "limit", "1 to 1000"),
        ("quality_min=0.9&quality_max=0.1", "quality_min", "at most quality_max"),
        ("sha256=abc", "sha256", "64 hexadecimal"),
        ("mark=ugly", "mark", "good or bad"),
        ("sky_class=rain", "sky_class", "arc"),
        ("event_type=FL", "event_type", "CH"),
        ("wavelength=" + "9" * 400 + "nm", "wavelength", "193A"),
        ("instrument=%00", "instrument", "name of an instrument"),
        ("quality_mim=0.5", "quality_mim", "quality_min"),
        ("instrument=kso-halpha&limit=1&instrument=aia-193", "instrument", "ask once for each"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    client: TestClient, query: str, parameter: str, allowed: str
) -> None:
    answer = client.get(f"{FRAMES}?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == 422 and body["type"] and body["title"]
    assert body["errors"][0]["parameter"] == parameter
    assert allowed in body["errors"][0]["allowed"]


@on_sqlite
def test_a_word_written_large_stays_so_in_a_problem(client: TestClient) -> None:
    said = client.get(FRAMES, params={"time": "2027-01-01/2026-01-01"}).json()["detail"]
    assert said == "time: START is not before END"


def test_a_cursor_of_the_other_order_is_refused(client: TestClient, telescope: Telescope) -> None:
    for _ in range(2):
        telescope.observe()
    following = client.get(FRAMES, params={"limit": 1}).json()["next"]
    assert client.get(following + "&order=asc").status_code == 422


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "frames/99",
        "frames/99/results",
        "frames/99/products",
        "products/99/data",
        "products/99/preview",
        "latest/none.jpg",
        "latest/none.json",
        "nothing",
    ],
)
def test_what_is_not_there_is_a_problem(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@on_sqlite
def test_every_address_takes_numbers_in_digits_alone(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    numbered = [
        path
        for path, methods in described.items()
        for given in methods.get("get", {}).get("parameters", [])
        if given["in"] == "path" and given["schema"].get("type") == "integer"
    ]
    assert f"{FRAMES}/{{frame_id}}" in numbered
    for path in numbered:
        assert client.get(re.sub(r"{\w+}", "1.0", path)).status_code == 422, path


@on_sqlite
@pytest.mark.parametrize(
    "frame_id", ["0", "-1", "x", str(2**63), "1.5", "1.0", "+1", "0_1", "%201", "\u0661"]
)
def test_an_impossible_id_is_a_problem(client: TestClient, telescope: Telescope, frame_id: str) -> None:
    telescope.observe()
    answer = client.get(f"{FRAMES}/{frame_id}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "frame_id"


def test_csv_streams_every_frame_and_keeps_hostile_names_whole(
    client: TestClient, telescope: Telescope
) -> None:
    name = 'a "quoted", name\nwith a line.fts'
    telescope.observe(0.2, (Cause.CLOUD, 0.7), (Cause.SEEING, 0.2), file_name=name)
    telescope.refuse()
    answer = client.get(FRAMES, params={"format": "csv", "order": "asc"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert rows[0]["file_name"] == name
    assert rows[0]["causes"] == "cloud seeing"
    assert rows[0]["is_degraded"] == "true"
    assert rows[1]["score"] == "" and rows[1]["status"] == "rejected"
    page = client.get(FRAMES, params={"limit": 1}, headers={"Accept": "text/csv"})
    assert 'rel="next"' in page.headers["link"]
    assert len(list(csv.reader(io.StringIO(page.text)))) == 2


def test_the_accept_header_chooses_the_format(client: TestClient) -> None:
    wanted = {"*/*": "application/json", "text/html,*/*;q=0.8": "application/json", "text/*": "text/csv"}
    for accept, media_type in wanted.items():
        assert client.get(FRAMES, headers={"Accept": accept}).headers["content-type"].startswith(media_type)
    for nothing in ("", " ", ","):
        assert client.get(FRAMES, headers={"Accept": nothing}).json()["items"] == []
    refused = client.get(FRAMES, headers={"Accept": "application/pdf"})
    assert refused.status_code == 406
    assert "text/csv" in refused.json()["detail"]


def test_hostile_names_are_json_strings(client: TestClient, telescope: Telescope) -> None:
    name = "<script>alert('☉')</script>\u2028 \x7f.fits"
    telescope.observe(file_name=name)
    assert client.get(FRAMES).json()["items"][0]["file_name"] == name


def test_a_frame_without_a_time_takes_its_place_by_arrival(client: TestClient, telescope: Telescope) -> None:
    old = telescope.observe()
    timeless = telescope.observe(date_obs=None, date_obs_source=DateSource.NONE)
    assert ids(client) == [timeless, old]
    assert client.get(f"{FRAMES}/{timeless}").json()["date_obs"] is None
