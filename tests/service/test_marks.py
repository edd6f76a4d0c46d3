"""A human's word beside the machine's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.storage import events, marks, results
from observatory.storage.marks import Mark, NoSuchFrameError, SeveralFramesError
from observatory.storage.session import Database
from tests.service.access import bearer, make_key
from tests.service.telescope import Telescope, on_sqlite


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
