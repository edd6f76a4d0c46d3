"""Composites over REST: listed, newest, bytes."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from observatory.storage import composites
from tests.service.corona import NOON
from tests.service.telescope import Telescope, on_sqlite

COMPOSITES = "/api/v1/composites"
LATEST = "/api/v1/latest/composite.jpg"


def test_composites_are_listed_with_frames_and_pictures(client: TestClient, telescope: Telescope) -> None:
    first = telescope.compose(NOON)
    second = telescope.compose(NOON + timedelta(minutes=5), missing="aia-171")
    body = client.get(COMPOSITES).json()
    newest, oldest = body["items"]
    assert (newest["id"], oldest["id"], body["next"]) == (second, first, None)
    assert (newest["is_complete"], len(newest["frames"])) == (False, 2)
    assert (oldest["is_complete"], oldest["look"], oldest["revision"]) == (True, "aia", 1)
    assert {one["channel"] for one in oldest["frames"]} == {"red", "green", "blue"}
    assert [one["width"] for one in oldest["pictures"]] == [256, 1024]
    assert "path" not in oldest["pictures"][0]
    picture = client.get(oldest["pictures"][1]["links"]["data"])
    assert Image.open(io.BytesIO(picture.content)).width == 1024
    assert "immutable" in picture.headers["cache-control"]
    again = client.get(oldest["links"]["picture"], headers={"If-None-Match": picture.headers["etag"]})
    assert again.status_code == 304
    assert client.get(newest["links"]["self"]).json() == newest


@on_sqlite
def test_the_list_narrows_by_time_and_look_and_pages(client: TestClient, telescope: Telescope) -> None:
    made = [telescope.compose(NOON + timedelta(minutes=minute)) for minute in range(3)]
    page = client.get(COMPOSITES, params={"limit": 2})
    assert [one["id"] for one in page.json()["items"]] == made[:0:-1]
    following = client.get(page.json()["next"]).json()
    assert [one["id"] for one in following["items"]] == made[:1] and following["next"] is None
    span = {"time": "2026-06-01T12:01Z/2026-06-01T12:02Z", "look": "aia"}
    assert [one["id"] for one in client.get(COMPOSITES, params=span).json()["items"]] == [made[1]]
    assert client.get(COMPOSITES, params={"look": "other"}).json()["items"] == []


@on_sqlite
def test_latest_redirects_to_the_newest_picture_of_the_wanted_size(
    client: TestClient, telescope: Telescope
) -> None:
    missing = client.get(LATEST)
    assert missing.status_code == 404 and missing.headers["content-type"] == "application/problem+json"
    telescope.compose(NOON)
    newest = telescope.compose(NOON + timedelta(minutes=5))
    telescope.compose(datetime.now(UTC) + timedelta(days=400))  # a camera with a wrong clock
    answer = client.get(LATEST, follow_redirects=False)
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-cache")
    small, large = client.get(f"{COMPOSITES}/{newest}").json()["pictures"]
    assert answer.headers["location"] == large["links"]["data"]
    assert (
        client.get(LATEST, params={"size": 300}, follow_redirects=False).headers["location"]
        == (small["links"]["data"])
    )
    assert client.get("/api/v1/latest/composite.json").json()["id"] == newest
    assert client.get(LATEST, params={"look": "other"}).status_code == 404


@on_sqlite
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=1000000000", "cursor=forged", "time=2026/2025", "look=", "order=x", "a=b"],
)
def test_what_cannot_be_asked_is_a_problem(client: TestClient, query: str) -> None:
    answer = client.get(f"{COMPOSITES}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["allowed"]


@on_sqlite
@pytest.mark.parametrize("path", [f"{COMPOSITES}/7", f"{COMPOSITES}/pictures/7/data"])
def test_what_does_not_exist_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@on_sqlite
def test_a_set_that_is_not_made_yet_is_not_shown(client: TestClient, telescope: Telescope) -> None:
    for name in ("aia-304", "aia-211"):
        telescope.observe(instrument=name, family="aia", date_obs=NOON)
    (set_id,) = telescope.close()
    assert composites.get(telescope.db, set_id) is not None
    assert client.get(f"{COMPOSITES}/{set_id}").status_code == 404


@on_sqlite
def test_a_set_of_which_nothing_can_be_made_says_why(client: TestClient, telescope: Telescope) -> None:
    for name in ("aia-304", "aia-211"):
        telescope.observe(instrument=name, family="aia", date_obs=NOON)
    (set_id,) = telescope.close()
    claimed = composites.claim(telescope.db, set_id, "worker-1", NOON)
    assert claimed is not None
    composites.refuse(telescope.db, claimed, "no disk is in the frame", NOON)
    told = client.get(f"{COMPOSITES}/{set_id}").json()
    assert (told["status"], told["reason"]) == ("failed", "no disk is in the frame")
    assert client.get(COMPOSITES).json()["items"] == []
    made = telescope.compose(NOON + timedelta(hours=1))
    told = client.get(f"{COMPOSITES}/{made}").json()
    assert (told["status"], told["reason"]) == ("done", None)
