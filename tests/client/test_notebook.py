"""The notebook's client: tables with times and units, files, maps, events; and patience with bounds."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time
from heliowatch_fido import Client, RefusedError, UnreachableError
from heliowatch_fido.spans import span
from sunpy.time import TimeRange

from tests.client.conftest import GONG, House

DAY = "2026-06-01/2026-06-02"


@pytest.fixture
def client(house: House) -> Client:
    return Client(house.url)


def test_frames_are_a_table_with_times_and_units(client: Client) -> None:
    table = client.frames(time=DAY, instrument="kso-halpha", quality_min=0.8)
    assert isinstance(table, QTable)
    assert len(table) == 9
    assert isinstance(table["date_obs"], Time)
    assert table["wavelength"].unit == u.nm
    assert table["size"].unit == u.byte
    assert np.all(table["score"] >= 0.8)
    assert table["date_obs"][0] > table["date_obs"][-1]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("2026-06-01T01:00+02:00/2026-06-01", "2026-05-31T23:00:00.000000Z/2026-06-01T00:00:00.000000Z"),
        ("2026-06-01T00:00:00.5-05/..", "2026-06-01T05:00:00.500000Z/.."),
        ((None, "2026-06-01T12:00Z"), "../2026-06-01T12:00:00.000000Z"),
        (TimeRange("2026-06-01", "2026-06-02"), "2026-06-01T00:00:00.000000Z/2026-06-02T00:00:00.000000Z"),
    ],
)
def test_times_are_asked_for_in_utc(given: object, asked: str) -> None:
    assert span(given) == asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("yesterday/2026-06-01", "'yesterday' is no time: write it in ISO 8601"),
        ("2026-06-01/2026-06-02/2026-06-03", "'2026-06-02/2026-06-03' is no time"),
        ("0001-01-01T00:00+02:00/..", "no time"),
        ("2026-06-01", "write START/END"),
        (datetime(2026, 6, 1, tzinfo=UTC), "write START/END"),
        (("2026-06-01",), "write START/END"),
    ],
)
def test_what_is_no_span_of_time_is_refused_in_one_line(given: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        span(given)
    assert "\n" not in str(caught.value)


def test_what_is_not_known_yet_is_masked(client: Client) -> None:
    table = client.frames(time=DAY, status="received")
    assert len(table) == 1
    assert np.isnan(table["score"][0])
    assert table["processed_at"].mask[0]
    assert table["is_degraded"].mask[0]


def test_an_empty_answer_is_an_empty_table(client: Client) -> None:
    table = client.frames(time="1999-01-01/1999-01-02")
    assert len(table) == 0
    assert "date_obs" in table.colnames


def test_several_values_for_one_filter_are_refused_and_not_an_empty_answer(client: Client) -> None:
    with pytest.raises(ValueError, match="instrument takes one value"):
        client.frames(instrument=["kso-halpha", "aia-193"])  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [193, 19.3, [171, 193] * u.AA])
def test_a_wavelength_without_its_unit_or_several_are_refused(client: Client, given: object) -> None:
    with pytest.raises(ValueError, match="give one with its unit, such as"):
        client.frames(wavelength=given)  # type: ignore[arg-type]


def test_a_limit_below_zero_is_no_empty_answer(client: Client) -> None:
    with pytest.raises(ValueError, match="limit=-1: give 0 or more, or None for all"):
        client.frames(time=DAY, limit=-1)


def test_a_limit_holds_and_none_reads_every_page(client: Client) -> None:
    assert len(client.frames(time=DAY, limit=5)) == 5
    assert len(client.frames(time=DAY, limit=None)) == 15


def test_the_time_is_taken_in_every_form(client: Client) -> None:
    from sunpy.time import TimeRange

    forms = (
        DAY,
        ("2026-06-01", "2026-06-02"),
        (Time("2026-06-01"), None),
        TimeRange("2026-06-01", "2026-06-02"),
    )
    assert {len(client.frames(time=form, instrument="kso-halpha", status="done")) for form in forms} == {12}


def test_quality_is_a_series_single_or_binned(client: Client) -> None:
    assert len(client.quality(time=DAY, instrument="kso-halpha")) == 12
    binned = client.quality(time=DAY, instrument="kso-halpha", bin="4m")
    assert list(binned["frames"]) == [4, 4, 4]
    assert list(binned["degraded"]) == [1, 1, 1]


def test_instruments_and_the_newest_frame(client: Client) -> None:
    assert "gong-halpha" in client.instruments()["name"]
    assert client.latest("gong-halpha")["file_name"] == GONG.name


def test_regions_of_nowhere_are_an_empty_table(client: Client) -> None:
    table = client.regions(time=DAY)
    assert table["hpc_x"].unit == u.arcsec


def test_download_writes_whole_files_once(client: Client, house: House, tmp_path: Path) -> None:
    file = client.download(house.ids["gong"], tmp_path)
    assert file.read_bytes() == GONG.read_bytes()
    assert client.download(house.ids["gong"], tmp_path) == file
    file.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        client.download(house.ids["gong"], tmp_path)
    assert client.download(house.ids["gong"], tmp_path, overwrite=True).read_bytes() == GONG.read_bytes()
    assert client.download(house.ids["gong"], tmp_path, product="preview").suffix == ".jpg"


def test_maps_are_made_of_originals(client: Client, house: House) -> None:
    corona = client.map(house.ids["aia"])
    assert corona.wavelength == 171 * u.AA
    assert client.map(house.ids["gong"]).data.shape == (2048, 2048)


def test_the_servers_words_reach_the_user(client: Client) -> None:
    with pytest.raises(RefusedError, match="quality_min may be: lowest score") as caught:
        client.frames(quality_min=7)
    assert caught.value.status == 422
    with pytest.raises(RefusedError, match="there is no frame 4242"):
        client.frame(4242)


def test_events_come_from_the_first_and_go_on_after_the_last(client: Client, house: House) -> None:
    seen = list(itertools.islice(client.events(after=0), 3))
    assert [event.type for event in seen] == ["frame", "result", "frame"]
    (following,) = itertools.islice(client.events(after=seen[1].id), 1)
    assert following == seen[2]
    (only,) = itertools.islice(client.events(instrument="aia-171", after=0), 1)
    assert only.data["instrument"] == "aia-171"


# -- servers that misbehave ------------------------------------------------------------------------


@contextmanager
def stand_in(answer: Callable[[http.server.BaseHTTPRequestHandler, int], None]) -> Iterator[tuple[str, list]]:
    """A server whose n-th answer is what the test says; yields its address and what was asked."""
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, {name.title(): word for name, word in self.headers.items()}))
            answer(self, len(asked))

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


EMPTY = json.dumps({"items": [], "next": None}).encode()


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    def busy_twice(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
        if number <= 2:
            say(handler, 429 if number == 1 else 503, b"{}", Retry_After="0")
        else:
            say(handler, 200, EMPTY)

    with stand_in(busy_twice) as (url, asked):
        assert len(Client(url).frames()) == 0
        assert len(asked) == 3


def test_patience_ends_with_the_servers_own_words() -> None:
    problem = json.dumps(
        {"type": "urn:heliowatch:problem:too-many", "detail": "ask less", "status": 429}
    ).encode()

    def busy(handler: http.server.BaseHTTPRequestHandler, _: int) -> None:
        say(handler, 429, problem, Retry_After="0")

    with stand_in(busy) as (url, asked):
        with pytest.raises(RefusedError, match=r"ask less \(429\)"):
            Client(url, tries=3).frames()
        assert len(asked) == 3


def test_a_page_of_something_else_is_no_server_of_ours() -> None:
    with (
        stand_in(lambda handler, _: say(handler, 200, b"<html>hello</html>")) as (url, _),
        pytest.raises(UnreachableError, match="no whole JSON"),
    ):
        Client(url).frames()
    with (
        stand_in(lambda handler, _: say(handler, 200, b'{"hello": 1}')) as (url, _),
        pytest.raises(UnreachableError, match="no list"),
    ):
        Client(url).frames()
    with pytest.raises(UnreachableError, match="refused"):
        Client("http://127.0.0.1:9", tries=1).frames()


def test_the_key_is_not_carried_to_another_server() -> None:
    def elsewhere(handler: http.server.BaseHTTPRequestHandler, _: int) -> None:
        say(handler, 307, b"", Location=f"{other}/api/v1/frames")

    with (
        stand_in(lambda handler, _: say(handler, 200, EMPTY)) as (other, asked_other),
        stand_in(elsewhere) as (url, asked),
    ):
        with pytest.raises(UnreachableError, match="another server"):
            Client(url, key="hw_secret", tries=1).frames()
        assert asked[0][1]["Authorization"] == "Bearer hw_secret"
        assert asked_other == []


def test_a_next_page_of_another_server_is_not_asked_for() -> None:
    page = json.dumps({"items": [], "next": "http://elsewhere.example/api/v1/frames?cursor=x"}).encode()
    with (
        stand_in(lambda handler, _: say(handler, 200, page)) as (url, _),
        pytest.raises(UnreachableError, match="another server"),
    ):
        Client(url).frames(limit=None)


def test_a_download_that_ends_early_leaves_nothing_behind(house: House, tmp_path: Path) -> None:
    frame = json.dumps({"id": 1, "file_name": "../../evil.fits", "sha256": "0" * 64, "bytes": 4}).encode()

    def cut(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
        say(handler, 200, frame if number == 1 else b"half")

    with stand_in(cut) as (url, _), pytest.raises(UnreachableError, match="ended early"):
        Client(url).download(1, tmp_path / "inner")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_broken_stream_is_opened_again_after_the_last_event() -> None:
    def short(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
        body = f'retry: 1\n\nid: {number}\nevent: frame\ndata: {{"n": {number}}}\n\n'.encode()
        say(handler, 200, body, Content_Type="text/event-stream")

    with stand_in(short) as (url, asked):
        seen = list(itertools.islice(Client(url).events(), 3))
    assert [event.data["n"] for event in seen] == [1, 2, 3]
    assert [headers.get("Last-Event-Id") for _, headers in asked[:3]] == [None, "1", "2"]


def test_a_stream_that_is_refused_is_not_asked_for_for_ever() -> None:
    with (
        stand_in(lambda handler, _: say(handler, 401, b'{"detail": "no key"}')) as (url, asked),
        pytest.raises(RefusedError, match="no key"),
    ):
        next(Client(url).events())
    assert len(asked) == 1
