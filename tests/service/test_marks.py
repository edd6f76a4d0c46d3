"""A human's word beside the machine's."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from observatory.access import Scope
from observatory.storage import audit, events, marks, results
from observatory.storage.marks import Mark, NoSuchFrameError, SeveralFramesError
from observatory.storage.session import Database
from service import gate, trail
from service.slots import Turns
from tests.service.access import bearer, make_key
from tests.service.telescope import Telescope, in_thread, on_sqlite


@pytest.fixture
def writer(client: TestClient, db: Database) -> TestClient:
    client.headers.update(bearer(make_key(db, Scope.WRITE, name="observer")))
    return client


def put(client: TestClient, frame_id: object, body: Any) -> Any:
    return client.put(f"/api/v1/frames/{frame_id}/mark", json=body)


def test_a_mark_stands_beside_the_score_and_its_history_is_kept(
    writer: TestClient, telescope: Telescope, db: Database
) -> None:
    frame_id = telescope.observe(0.93)
    before = results.of_frame(db, frame_id)
    for body, word in (
        ({"mark": "bad", "note": "a bird \u0000 in front"}, "bad"),
        ({"mark": "good"}, "good"),
        ({"mark": "clear", "note": "unsure"}, None),
        ({"mark": "bad"}, "bad"),
    ):
        given = put(writer, frame_id, body)
        assert given.status_code == 200, given.text
        assert given.json()["mark"] == word
        frame = writer.get(f"/api/v1/frames/{frame_id}").json()
        assert frame["mark"] == word
        assert frame["quality"]["score"] == 0.93
    history = writer.get(f"/api/v1/frames/{frame_id}/marks").json()["items"]
    assert [item["mark"] for item in history] == ["bad", None, "good", "bad"]
    assert history[-1]["note"] == "a bird \\0 in front"
    assert {item["author"] for item in history} == {"observer"}
    assert results.of_frame(db, frame_id) == before
    assert len(writer.get(f"/api/v1/frames/{frame_id}/marks?limit=1").json()["items"]) == 1


def test_listeners_hear_of_a_mark(writer: TestClient, telescope: Telescope, db: Database) -> None:
    frame_id = telescope.observe()
    last = events.last_seq(db)
    put(writer, frame_id, {"mark": "bad", "note": "a bird"})
    (event,) = events.after(db, last)
    assert (event.type, event.instrument, event.payload["id"]) == ("frame", "kso-halpha", frame_id)
    assert event.payload["status"] == "done"
    assert event.payload["mark"]["mark"] == "bad"
    assert event.payload["mark"]["note"] == "a bird"


@on_sqlite
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mark": "ugly"},
        {"mark": None},
        {"mark": "bad", "note": "x" * 2001},
        {"mark": "bad", "x": 1},
        [],
        1,
    ],
)
def test_a_mark_that_is_none_is_refused(writer: TestClient, telescope: Telescope, body: Any) -> None:
    assert put(writer, telescope.observe(), body).status_code == 422


@on_sqlite
def test_a_body_that_is_no_json_is_refused(writer: TestClient, telescope: Telescope) -> None:
    path = f"/api/v1/frames/{telescope.observe()}/mark"
    for content in (b"", b"{", b'{"mark": "bad"', b"\xff\xfe", b'{"mark": "bad", "note": "\\ud800"}'):
        assert writer.put(path, content=content).status_code == 422, content


@on_sqlite
@pytest.mark.parametrize("number", [0, -1, 10**19, "x", "1;DROP TABLE frames", "..%2F1", "%00"])
def test_a_frame_that_cannot_be_is_refused(writer: TestClient, number: object) -> None:
    assert put(writer, number, {"mark": "bad"}).status_code in (404, 422)
    assert writer.get(f"/api/v1/frames/{number}/marks").status_code in (404, 422)


@on_sqlite
@pytest.mark.parametrize(
    ("body", "kind", "parameter", "says"),
    [
        (b'{"mark": "bad"', "application/json", "body", "is no JSON"),
        (b"[]", "application/json", "body", "is no JSON object"),
        (b'{"mark": "bad"}', "text/plain", "Content-Type", "text/plain"),
        (b'{"mark": "bad"}', "application/x-www-form-urlencoded", "Content-Type", "form-urlencoded"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_as_the_body(
    writer: TestClient, telescope: Telescope, body: bytes, kind: str, parameter: str, says: str
) -> None:
    path = f"/api/v1/frames/{telescope.observe()}/mark"
    answer = writer.put(path, content=body, headers={"Content-Type": kind})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["parameter"]) == (422, parameter)
    assert says in error["detail"] and error["allowed"]


@on_sqlite
def test_a_frame_that_is_not_there_is_not_found(writer: TestClient, db: Database) -> None:
    assert put(writer, 77, {"mark": "bad"}).status_code == 404
    assert writer.get("/api/v1/frames/77/marks").status_code == 404
    assert events.last_seq(db) == 0


@on_sqlite
def test_a_frame_is_found_by_number_sum_or_name(telescope: Telescope, db: Database) -> None:
    one = telescope.observe(file_name="a.fits", sha256="ab" * 32)
    two, three = telescope.observe(file_name="b.fits"), telescope.observe(file_name="b.fits")
    assert marks.find_frame(db, str(one)) == marks.find_frame(db, "ab" * 32) == one
    assert marks.find_frame(db, "a.fits") == one
    with pytest.raises(SeveralFramesError, match=f"{three}, {two}"):
        marks.find_frame(db, "b.fits")
    for word in ("c.fits", "", "' OR 1=1", "9" * 30):
        with pytest.raises(NoSuchFrameError):
            marks.find_frame(db, word)
    with pytest.raises(NoSuchFrameError):
        marks.put(db, 99, Mark.BAD, None, "x", datetime.now(UTC))


@on_sqlite
def test_while_somebody_holds_the_database_writes_give_up_soon_and_reading_goes_on(
    app: FastAPI, telescope: Telescope, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_WRITE_PATIENCE_S", 1.0)
    app.state.context = replace(app.state.context, turns=Turns(patience_s=1.0))
    frame_id = telescope.observe()
    key = bearer(make_key(db, Scope.WRITE))
    with in_thread(app) as address, httpx2.Client(base_url=address, timeout=20) as reader:
        mark = f"{address}/api/v1/frames/{frame_id}/mark"

        def write(_: int) -> httpx2.Response:
            return httpx2.put(mark, json={"mark": "bad"}, headers=key, timeout=20)

        reader.get("/api/v1/frames")
        with ThreadPoolExecutor(60) as crowd, db.write():
            started = time.monotonic()
            refused = [crowd.submit(write, number) for number in range(60)]
            read = 0
            while not all(item.done() for item in refused):
                asked = time.monotonic()
                assert reader.get("/api/v1/frames").status_code == 200
                read += 1
                assert time.monotonic() - asked < 2
            answers = [item.result() for item in refused]
            took_s = time.monotonic() - started
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["retry-after"] == "5" for answer in answers)
        assert {answer.json()["type"].rpartition(":")[2] for answer in answers} == {
            "busy",
            "storage-unavailable",
        }
        assert read > 3 and took_s < 10
        assert audit.page(db, audit.AuditFilter(status=503), limit=10) == []
        assert write(0).status_code == 200
    assert [entry["status"] for entry in audit.page(db, audit.AuditFilter(), limit=10)] == [200]


@on_sqlite
def test_an_entry_waits_for_a_lock_once_and_the_next_ones_go_to_the_log(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "_PATIENCE_S", 0.5)
    entry = audit.Entry(datetime.now(UTC), "camera", "PUT /x", 422)
    notes = trail.Trail(Database(db.url))
    with db.write(), capture_logs() as logs:
        started = time.monotonic()
        for _ in range(20):
            notes.note(entry)
        took_s = time.monotonic() - started
    assert [line["event"] for line in logs] == ["audit_not_written"] * 20
    assert 0.5 <= took_s < 1.0
    assert audit.count(db) == 0
