"""Enhancement over time, as REST and as HAPI; and what a frame tells of its own."""

from __future__ import annotations

import io
from datetime import timedelta

import pyarrow.parquet
import pytest
from astropy.table import Table
from fastapi.testclient import TestClient

from observatory.frame import DateSource
from tests.service.photosphere import numbers, shown, with_pictures
from tests.service.telescope import DAY, Telescope, on_sqlite

SERIES = "/api/v1/enhancement"


def fill(telescope: Telescope, frames: int = 5) -> list[int]:
    return [
        shown(telescope, numbers(0.01 * (minute + 1)), date_obs=DAY + timedelta(minutes=minute))
        for minute in range(frames)
    ]


def test_the_numbers_come_newest_first_a_page_at_a_time(client: TestClient, telescope: Telescope) -> None:
    ids = fill(telescope)
    shown(telescope, date_obs=None, date_obs_source=DateSource.NONE)
    first = client.get(SERIES, params={"limit": 2})
    body = first.json()
    assert [point["frame_id"] for point in body["items"]] == [ids[4], ids[3]]
    assert body["items"][0]["time"] == "2026-06-01T00:04:00Z"
    assert body["items"][0]["contrast_before"] == pytest.approx(0.05)
    assert body["items"][0]["unsigned_flux_before_mx"] is None
    assert body["is_truncated"] and f"<{body['next']}>" in first.headers["link"]
    second = client.get(body["next"]).json()
    assert [point["frame_id"] for point in second["items"]] == [ids[2], ids[1]]
    last = client.get(second["next"]).json()
    assert [point["frame_id"] for point in last["items"]] == [ids[0]] and last["next"] is None
    oldest = client.get(SERIES, params={"order": "asc", "limit": 1}).json()
    assert oldest["items"][0]["frame_id"] == ids[0]
    span = {"time": "2026-06-01T00:01Z/2026-06-01T00:03Z", "instrument": "hmi-continuum"}
    assert [p["frame_id"] for p in client.get(SERIES, params=span).json()["items"]] == [ids[2], ids[1]]
    assert client.get(SERIES, params={"instrument": "hmi-magnetogram"}).json()["items"] == []


def test_bins_hold_the_means(client: TestClient, telescope: Telescope) -> None:
    fill(telescope)
    flux = {"quantity": "field", "unsigned_flux_before_mx": 2e21, "contrast_before": None}
    shown(telescope, numbers(**flux), instrument="hmi-magnetogram", date_obs=DAY)
    body = client.get(SERIES, params={"bin": "2m", "instrument": "hmi-continuum", "limit": 2}).json()
    assert [(point["time"], point["frames"]) for point in body["items"]] == [
        ("2026-06-01T00:04:00Z", 1),
        ("2026-06-01T00:02:00Z", 2),
    ]
    assert body["items"][1]["contrast_before"] == pytest.approx(0.035)
    assert body["is_truncated"] and body["next"] is None
    day = client.get(SERIES, params={"bin": "1d", "order": "asc"}).json()["items"]
    assert {point["instrument"]: point["unsigned_flux_before_mx"] for point in day} == {
        "hmi-continuum": None,
        "hmi-magnetogram": 2e21,
    }


@on_sqlite
def test_frames_that_were_refused_are_listed_with_the_reason(
    client: TestClient, telescope: Telescope
) -> None:
    fill(telescope, 1)
    refused = shown(telescope, {"refused": "the continuum is negative"})
    shown(telescope, {"skipped": "the worker is behind"})
    (point,) = client.get(SERIES, params={"outcome": "refused"}).json()["items"]
    assert (point["frame_id"], point["reason"]) == (refused, "the continuum is negative")
    assert point["contrast_before"] is None
    (skipped,) = client.get(SERIES, params={"outcome": "skipped"}).json()["items"]
    assert skipped["reason"] == "the worker is behind"
    said = client.get(f"/api/v1/frames/{refused}/results").json()["items"]
    assert {"refused": "the continuum is negative"} in [item["payload"] for item in said]


@on_sqlite
def test_every_format_has_the_same_numbers(client: TestClient, telescope: Telescope) -> None:
    fill(telescope, 3)
    rows = client.get(SERIES, params={"format": "csv"}).text.splitlines()
    assert rows[0].split(",")[:4] == ["time", "instrument", "frame_id", "quantity"]
    assert len(rows) == 4 and rows[1].startswith("2026-06-01T00:02:00Z,hmi-continuum,3,continuum,enhanced")
    parquet = client.get(SERIES, params={"format": "parquet"}).content
    table = pyarrow.parquet.read_table(io.BytesIO(parquet)).to_pydict()
    assert table["contrast_before"] == pytest.approx([0.03, 0.02, 0.01])
    votable = client.get(SERIES, headers={"Accept": "application/x-votable+xml"})
    read = Table.read(io.BytesIO(votable.content), format="votable")
    assert list(read["trusted_fraction"]) == [0.998] * 3
    binned = client.get(SERIES, params={"bin": "1h", "format": "csv"}).text.splitlines()
    assert binned[1].startswith("2026-06-01T00:00:00Z,hmi-continuum,3,0.02,")
    cut = client.get(SERIES, params={"format": "csv", "limit": 2})
    assert len(cut.text.splitlines()) == 3 and "next" in cut.headers["link"]


@on_sqlite
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"outcome": "lost"}, "outcome"),
        ({"bin": "5"}, "bin"),
        ({"bin": "5m", "outcome": "refused"}, "outcome"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"as_of": "2026-01-01"}, "as_of"),
    ],
)
def test_what_cannot_be_asked_is_refused_saying_what_can(
    client: TestClient, query: dict[str, object], name: str
) -> None:
    answer = client.get(SERIES, params=query)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == name and error["allowed"]


def test_the_series_is_a_data_set_of_hapi(client: TestClient, telescope: Telescope) -> None:
    fill(telescope, 3)
    shown(telescope, {"refused": "constant"})
    (one,) = [
        item["id"]
        for item in client.get("/hapi/catalog").json()["catalog"]
        if item["id"].endswith("enhancement")
    ]
    assert one == "hmi-continuum/enhancement"
    info = client.get("/hapi/info", params={"id": one}).json()
    names = [parameter["name"] for parameter in info["parameters"]]
    assert names[:3] == ["Time", "contrast_before", "contrast_after"]
    flux = next(item for item in info["parameters"] if item["name"] == "unsigned_flux_before_mx")
    assert flux["units"] == "Mx"
    data = client.get(
        "/hapi/data",
        params={
            "id": one,
            "parameters": "contrast_before",
            "time.min": "2026-06-01Z",
            "time.max": "2026-06-02Z",
        },
    )
    assert [line.split(",")[1] for line in data.text.split()] == ["0.01", "0.02", "0.03"]


@on_sqlite
def test_a_frame_links_to_what_was_made_of_it(client: TestClient, telescope: Telescope) -> None:
    frame_id = shown(telescope)
    with_pictures(telescope, frame_id)
    links = client.get(f"/api/v1/frames/{frame_id}").json()["links"]
    answer = client.get(links["enhanced"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/fits")
    for side in ("compare_before", "compare_after"):
        assert client.get(links[side]).headers["content-type"] == "image/jpeg"
