"""Pages, scripts and styles are packed for whoever takes it, and are the same for whoever does not."""

from __future__ import annotations

import gzip
import re

import pytest
from fastapi.testclient import TestClient

from service.views.assets import static_address
from tests.service.telescope import Telescope, on_sqlite

pytestmark = on_sqlite
SCRIPT = static_address("vendor/htmx.min.js")
PLAIN = {"Accept-Encoding": "identity"}


def without_clock(page: bytes) -> bytes:
    return re.sub(rb"<time .*?</time>", b"", page, flags=re.DOTALL)


@pytest.mark.parametrize("path", ["/docs", SCRIPT, static_address("heliowatch.css")])
def test_what_is_packed_says_so_and_is_the_same_unpacked(client: TestClient, path: str) -> None:
    plain = client.get(path, headers=PLAIN)
    assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding"
    with client.stream("GET", path, headers={"Accept-Encoding": "br, gzip"}) as packed:
        sent = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip" and packed.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) == len(sent) < len(plain.content) / 2
    assert without_clock(gzip.decompress(sent)) == without_clock(plain.content)
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert packed.headers.get("cache-control") == plain.headers.get("cache-control")


@pytest.mark.parametrize("said", ["identity", "gzip;q=0", "br", ""])
def test_nobody_gets_gzip_who_does_not_take_it(client: TestClient, said: str) -> None:
    for path in ("/docs", SCRIPT):
        assert "content-encoding" not in client.get(path, headers={"Accept-Encoding": said}).headers


@pytest.mark.parametrize("said", ["gzip", "identity"])
def test_a_script_that_is_known_is_not_sent_again(client: TestClient, said: str) -> None:
    asked = {"Accept-Encoding": said}
    known = client.get(SCRIPT, headers=asked).headers["etag"]
    again = client.get(SCRIPT, headers=asked | {"If-None-Match": known})
    assert (again.status_code, again.content) == (304, b"")


def test_pictures_parts_of_files_and_answers_of_the_api_are_left_alone(
    client: TestClient, telescope: Telescope
) -> None:
    telescope.observe(with_picture=True)
    picture = client.get("/api/v1/frames").json()["items"][0]["links"]["preview"]
    for path in (picture, "/api/v1/frames"):
        assert "content-encoding" not in client.get(path).headers
    part = client.get(SCRIPT, headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
