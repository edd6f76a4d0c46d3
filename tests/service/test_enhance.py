"""Cut-outs over HTTP: asked for, waited for, given, refused with the reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from observatory.frame import DateSource
from observatory.settings import CutoutSettings
from observatory.storage import audit, cutouts, queues, workers
from observatory.storage.audit import AuditFilter
from observatory.storage.cutouts import CutoutStatus
from observatory.storage.frames import Status
from service.broker import ENHANCE as TASK
from service.broker import TaskSender
from service.waiting import Patience, patience
from tests.servers import RedisServer
from tests.service.photosphere import FITS, RUNNING, CutoutWorker, shown
from tests.service.telescope import Telescope, on_sqlite
from workers.app import CUTOUTS, make_app, queue_names
from workers.app import ENHANCE as WORKERS_TASK
from workers.queues import depth

ENHANCE = "/api/v1/enhance"
PIXELS = {"x_px": 10, "y_px": 20, "width_px": 64, "height_px": 32}
ARCSEC = {"x_arcsec": -120.5, "y_arcsec": 310, "width_arcsec": 200, "height_arcsec": 150}
NOT_NOW = {"Prefer": "respond-async"}


@pytest.fixture
def worker(app: FastAPI, telescope: Telescope) -> CutoutWorker:
    made = CutoutWorker(telescope.db, telescope.files)
    app.state.context = replace(app.state.context, send_task=made.send)
    workers.sign_on(telescope.db, "w", "worker", datetime.now(UTC), RUNNING)
    return made


@pytest.fixture
def local(app: FastAPI, worker: CutoutWorker) -> Iterator[TestClient]:
    """A program of this machine, which may write while there is no key."""
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 4711)) as open_client:
        yield open_client


def ask(client: TestClient, frame: int, field: Any = PIXELS, **headers: str) -> Any:
    content = json.dumps({"frame": frame, "field_of_view": field})
    return client.post(ENHANCE, content=content, headers={"content-type": "application/json"} | headers)


@pytest.mark.parametrize("field", [PIXELS, ARCSEC], ids=["pixels", "arcsec"])
def test_a_part_of_a_frame_comes_back_as_fits(
    local: TestClient, telescope: Telescope, worker: CutoutWorker, field: dict[str, float]
) -> None:
    frame_id = shown(telescope)
    answer = ask(local, frame_id, field)
    assert answer.status_code == 200
    assert answer.content.startswith(FITS)
    assert answer.headers["content-type"] == "application/fits"
    disposition = f'attachment; filename="frame-{frame_id}-enhanced-1.fits"'
    assert answer.headers["content-disposition"] == disposition
    assert answer.headers["content-location"] == f"{ENHANCE}/1"
    assert worker.sent == [(WORKERS_TASK, 1, CUTOUTS)]


def test_the_same_wish_is_made_once_and_given_again(
    local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    frame_id = shown(telescope)
    first = ask(local, frame_id)
    again = ask(local, frame_id, Range="bytes=0-9")
    assert (again.status_code, again.content) == (200, first.content)  # a range is of GET alone
    assert again.headers["etag"] == first.headers["etag"]
    assert len(worker.sent) == 1
    newer = {"models": [RUNNING["models"][0] | {"sha256": "99" * 32}]}
    workers.sign_on(telescope.db, "w", "worker", datetime.now(UTC), newer)
    assert ask(local, frame_id).headers["content-location"] == f"{ENHANCE}/2"


@on_sqlite
def test_a_cutout_is_given_whole_in_part_or_not_at_all(local: TestClient, telescope: Telescope) -> None:
    whole = ask(local, shown(telescope))
    assert local.get(f"{ENHANCE}/1").content == whole.content
    part = local.get(f"{ENHANCE}/1", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, whole.content[:10])
    known = local.get(f"{ENHANCE}/1", headers={"If-None-Match": whole.headers["etag"]})
    assert known.status_code == 304
    assert local.head(f"{ENHANCE}/1").headers["content-length"] == str(len(whole.content))


@on_sqlite
def test_who_does_not_wait_is_told_where_to_ask_again(
    local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    worker.ending = None
    frame_id = shown(telescope)
    answer = ask(local, frame_id, **NOT_NOW)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    address = answer.headers["location"]
    body = answer.json()
    assert (body["frame_id"], body["status"], body["links"]["self"]) == (frame_id, "waiting", address)
    assert body["field_of_view"] == PIXELS
    later = local.get(address)
    assert (later.status_code, later.headers["retry-after"]) == (202, "2")
    assert cutouts.claim(telescope.db, body["id"], "slow", datetime.now(UTC)) is not None
    assert local.get(address, headers={"Prefer": "wait=0"}).json()["status"] == "working"
    ask(local, frame_id, **NOT_NOW)
    assert len(worker.sent) == 1


@on_sqlite
def test_who_waits_has_it_as_soon_as_it_is_there(
    local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    worker.ending = None
    address = ask(local, shown(telescope), **NOT_NOW).headers["location"]
    threading.Timer(0.2, worker.make, [1]).start()
    answer = local.get(address, headers={"Prefer": "wait=30"})
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=30"


@on_sqlite
def test_more_than_may_wait_are_told_to_come_again(
    app: FastAPI, local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    app.state.context.settings.cutouts.most_waiting = 0
    worker.ending = None
    assert ask(local, shown(telescope), Prefer="wait=60").status_code == 202


@on_sqlite
def test_more_than_may_be_under_way_are_refused(
    app: FastAPI, local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    app.state.context.settings.cutouts.max_under_way = 1
    worker.ending = None
    frame_id = shown(telescope)
    assert ask(local, frame_id, **NOT_NOW).status_code == 202
    assert ask(local, frame_id, **NOT_NOW).status_code == 202
    busy = ask(local, frame_id, ARCSEC, **NOT_NOW)
    assert (busy.status_code, busy.json()["type"]) == (503, "urn:heliowatch:problem:busy")
    assert "retry-after" in busy.headers


@on_sqlite
@pytest.mark.parametrize(
    ("ending", "status", "kind"),
    [
        (CutoutStatus.REFUSED, 422, "not-enhanced"),
        (CutoutStatus.LOST, 410, "gone"),
        (CutoutStatus.FAILED, 500, "enhancement-failed"),
    ],
)
def test_what_cannot_be_made_is_a_problem_with_the_reason(
    local: TestClient,
    telescope: Telescope,
    worker: CutoutWorker,
    ending: CutoutStatus,
    status: int,
    kind: str,
) -> None:
    worker.ending = ending
    frame_id = shown(telescope)
    for answer in (ask(local, frame_id), local.get(f"{ENHANCE}/1")):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == f"urn:heliowatch:problem:{kind}"
        assert "all of it is NaN" in answer.json()["detail"]
    worker.ending = CutoutStatus.DONE
    anew = ask(local, frame_id)
    assert anew.status_code == (422 if ending is CutoutStatus.REFUSED else 200)


@on_sqlite
def test_a_file_that_was_removed_is_made_anew_when_it_is_asked_for(
    local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    frame_id = shown(telescope)
    first = ask(local, frame_id)
    row = cutouts.get(telescope.db, 1)
    assert row is not None
    telescope.files.remove(row["path"])
    gone = local.get(f"{ENHANCE}/1")
    assert gone.status_code == 410 and "ask" in gone.json()["detail"]
    again = ask(local, frame_id)
    assert (again.status_code, again.content) == (200, first.content)


@on_sqlite
def test_without_a_broker_the_wish_is_kept_for_the_sweep(
    local: TestClient, telescope: Telescope, worker: CutoutWorker
) -> None:
    worker.is_reachable = False
    answer = ask(local, shown(telescope), **NOT_NOW)
    assert answer.status_code == 202
    now = datetime.now(UTC)
    assert cutouts.due(telescope.db, now, now, 9) == [answer.json()["id"]]


NO_FIELDS: list[tuple[Any, str]] = [
    ({}, "x_arcsec"),
    ({"x_px": 1, "y_px": 1, "width_px": 9}, "height_px"),
    (PIXELS | {"width_px": 0}, "width_px"),
    (PIXELS | {"x_px": -1}, "x_px"),
    (PIXELS | {"x_px": 1.5}, "x_px"),
    (PIXELS | {"x_px": True}, "x_px"),
    (ARCSEC | {"width_arcsec": True}, "width_arcsec"),
    (PIXELS | {"width_px": 100_000, "height_px": 100_000}, "field_of_view"),
    (ARCSEC | {"x_arcsec": 1e9}, "x_arcsec"),
    (ARCSEC | {"height_arcsec": 0}, "height_arcsec"),
    (ARCSEC | {"x_arcsec": "middle"}, "x_arcsec"),
    (ARCSEC | PIXELS, "x_arcsec"),
    ("all", "field_of_view"),
    ([1, 2, 3, 4], "field_of_view"),
    (None, "field_of_view"),
]


@on_sqlite
def test_a_field_of_view_that_is_none_is_refused(local: TestClient, telescope: Telescope) -> None:
    frame_id = shown(telescope)
    for field, name in NO_FIELDS:
        answer = ask(local, frame_id, field, **NOT_NOW)
        assert answer.status_code == 422, field
        errors = {item["parameter"]: item for item in answer.json()["errors"]}
        assert errors[name]["allowed"], (field, errors)
    assert cutouts.get(telescope.db, 1) is None


@on_sqlite
def test_only_frames_of_hmi_that_can_be_read_are_enhanced(local: TestClient, telescope: Telescope) -> None:
    sun = telescope.observe()
    refused = ask(local, sun)
    assert refused.status_code == 422
    assert "kso-halpha" in refused.json()["detail"]
    assert "hmi-continuum" in refused.json()["errors"][0]["allowed"]
    assert ask(local, 77).status_code == 404
    assert "frame: needs to be a number" in ask(local, True).json()["detail"]
    facts = {"instrument": "hmi-continuum", "family": "hmi", "date_obs_source": DateSource.NONE}
    broken = telescope.receive(status=Status.REJECTED, reason="the file is empty", **facts)
    assert "the file is empty" in ask(local, broken).json()["detail"]


@on_sqlite
def test_who_may_not_write_may_not_spend_a_workers_time(client: TestClient, telescope: Telescope) -> None:
    assert ask(client, shown(telescope)).status_code == 401
    assert client.get(f"{ENHANCE}/1").status_code == 404
    assert cutouts.get(telescope.db, 1) is None


@on_sqlite
def test_the_reference_says_what_to_send(client: TestClient) -> None:
    operation = (
        client.get("/docs").text.partition("POST</span> <code>/api/v1/enhance<")[2].partition("</section>")[0]
    )
    for word in ("<code>frame</code>", "field_of_view", "width_arcsec", "respond-async", "the scope"):
        assert word in operation


@on_sqlite
def test_the_audit_log_says_who_had_what_enhanced(local: TestClient, telescope: Telescope) -> None:
    frame_id = shown(telescope)
    ask(local, frame_id)
    (entry,) = audit.page(telescope.db, AuditFilter(), limit=9)
    assert entry["action"] == f"POST {ENHANCE}"
    assert entry["detail"] == {"frame": frame_id, "cutout": 1}


@on_sqlite
def test_the_service_sends_what_a_worker_on_redis_hears(app: FastAPI, redis_server: RedisServer) -> None:
    settings = app.state.context.settings.model_copy(update={"broker_url": redis_server.url})
    workers_app = make_app(settings)
    assert TaskSender(settings)(TASK, 4711, queues.CUTOUTS)
    assert depth(CUTOUTS) == 1
    with workers_app.connection_for_read() as connection:
        message = connection.SimpleQueue(CUTOUTS).get(timeout=5)
        message.ack()
    assert message.headers["task"] == TASK
    assert message.payload[0] == [4711]


@on_sqlite
def test_within_one_process_the_worker_beside_it_hears(app: FastAPI) -> None:
    settings = app.state.context.settings
    workers_app = make_app(settings)
    assert settings.is_embedded and TaskSender(settings)(TASK, 4711, queues.CUTOUTS)
    with workers_app.connection_for_read() as connection:
        assert connection.default_channel._size(CUTOUTS) == 1
        connection.default_channel._purge(CUTOUTS)


@pytest.mark.parametrize(
    ("prefer", "seconds", "applied"),
    [
        (None, 20, None),
        ("wait=5", 5, "wait=5"),
        ("respond-async, wait=7", 7, "wait=7"),
        ("WAIT = 7 , handling=lenient", 7, "wait=7"),
        ("respond-async", 0, "respond-async"),
        ("wait=86400", 60, "wait=60"),
        ("wait=-1", 20, None),
        ("wait=soon, return=minimal,,", 20, None),
    ],
)
def test_a_client_says_how_long_it_waits(prefer: str | None, seconds: float, applied: str | None) -> None:
    assert patience(prefer, 20, CutoutSettings()) == Patience(seconds, applied)


@on_sqlite
def test_a_broker_that_is_away_delays_a_cutout_and_breaks_nothing(app: FastAPI) -> None:
    settings = app.state.context.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    assert not TaskSender(settings)(TASK, 1, queues.CUTOUTS)


def test_task_and_queue_have_the_names_that_workers_give_them() -> None:
    assert TASK == WORKERS_TASK
    assert queues.CUTOUTS == CUTOUTS
    assert CUTOUTS in queue_names()
