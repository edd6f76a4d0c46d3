"""Reprocessing over HTTP: counted, started, followed, cancelled, and refused when it makes no sense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from observatory.storage import queues, reprocess, reprocess_jobs, schema, workers
from observatory.storage.frame_keys import FrameFilter
from observatory.storage.reprocess import Item
from service.metrics import DatabaseCollector
from tests.service.telescope import Telescope, on_sqlite
from workers.app import queue_names

REPROCESS = "/api/v1/reprocess"
MODELS = [
    {"name": "halpha_quality", "version": "1", "family": "halpha"},
    {"name": "aia_quality", "version": "1", "family": "aia"},
]


@pytest.fixture(autouse=True)
def a_worker(telescope: Telescope) -> None:
    workers.sign_on(telescope.db, "w", "worker", datetime.now(UTC), {"models": MODELS})


@pytest.fixture
def local(app: FastAPI) -> Iterator[TestClient]:
    """A program of this machine, which may write while there is no key."""
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 4711)) as open_client:
        yield open_client


def post(client: TestClient, **body: Any) -> Any:
    return client.post(REPROCESS, content=json.dumps(body), headers={"content-type": "application/json"})


def test_a_dry_run_counts_and_does_nothing(local: TestClient, telescope: Telescope):
    telescope.observe(0.9)
    telescope.observe(0.2)
    telescope.receive()
    answer = post(local, dry_run=True)
    assert (answer.status_code, answer.json()) == (200, {"is_dry_run": True, "frames": 2})
    assert post(local, dry_run=True, quality_max=0.5).json()["frames"] == 1
    assert post(local, dry_run=True, instrument="aia-193").json()["frames"] == 0
    assert post(local, dry_run=True, status="received").json()["frames"] == 0
    assert local.get(REPROCESS).json()["items"] == []


def test_a_job_is_followed_from_its_beginning_to_its_end(local: TestClient, telescope: Telescope):
    frame_ids = [telescope.observe(0.9), telescope.observe(0.8)]
    answer = post(local, instrument="kso-halpha", model="halpha_quality")
    assert answer.status_code == 202
    path = answer.headers["location"]
    begun = local.get(path).json()
    assert (begun["status"], begun["frames"], begun["waiting"]) == ("selecting", 2, 2)
    assert begun["filters"] == {"instrument": "kso-halpha"}
    while reprocess_jobs.select_more(telescope.db, begun["id"]):
        pass
    claimed = [reprocess.claim(telescope.db, Item(begun["id"], n), "w", datetime.now(UTC)) for n in frame_ids]
    assert claimed[0] is not None and claimed[0].model == "halpha_quality"
    assert (local.get(path).json()["status"], local.get(path).json()["working"]) == ("running", 2)
    for one in claimed:
        assert one is not None
        reprocess.refuse(telescope.db, one, "the file is gone")
    reprocess_jobs.close_finished(telescope.db, datetime.now(UTC))
    ended = local.get(path).json()
    assert (ended["status"], ended["failed"], ended["waiting"]) == ("done", 2, 0)
    assert ended["failures"][0] == {"frame_id": frame_ids[0], "reason": "the file is gone"}
    assert ended["finished_at"] is not None
    assert local.get(REPROCESS).json()["items"][0]["id"] == begun["id"]
    assert local.delete(path).status_code == 409


@on_sqlite
def test_a_job_tells_its_filters_as_they_were_asked_for(local: TestClient):
    asked = {"time": "2026-11-20T08:00Z/2026-11-21", "wavelength": "193 A", "quality_max": 0.5, "mark": "bad"}
    told = {"time": "2026-11-20T08:00:00Z/2026-11-21T00:00:00Z", "wavelength": "19.3nm"}
    path = post(local, **asked).headers["location"]
    assert local.get(path).json()["filters"] == asked | told
    assert post(local, **local.get(path).json()["filters"]).json()["filters"] == asked | told
    assert post(local, time="../2026-11-21").json()["filters"] == {"time": "../2026-11-21T00:00:00Z"}
    assert [job["id"] for job in local.get(REPROCESS).json()["items"]] == [3, 2, 1]


def test_a_job_of_before_that_asked_for_nonsense_is_told(local: TestClient, telescope: Telescope):
    nonsense = FrameFilter(wavelength_nm=1e308)
    now = datetime.now(UTC)
    reprocess_jobs.create(telescope.db, author="a", wanted=nonsense, model=None, families=None, now=now)
    (job,) = local.get(REPROCESS).json()["items"]
    assert job["filters"]["wavelength"].startswith("1000000000")


def test_a_cancelled_job_stays_cancelled(local: TestClient, telescope: Telescope):
    telescope.observe(0.9)
    path = post(local).headers["location"]
    assert local.delete(path).json()["status"] == "cancelled"
    assert local.delete(path).status_code == 200
    assert local.get(path).json()["status"] == "cancelled"


def test_a_model_takes_the_frames_of_its_kind_alone(local: TestClient, telescope: Telescope):
    telescope.observe(0.9)
    telescope.corona()
    assert post(local, dry_run=True, model="aia_quality").json()["frames"] == 1
    answer = post(local, model="siqa")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["allowed"].endswith("aia_quality, halpha_quality")


def test_an_instrument_that_nobody_knows_starts_no_job(local: TestClient, telescope: Telescope):
    telescope.observe(0.9)
    for is_rehearsal in (True, False):
        answer = post(local, instrument="kso-halfa", dry_run=is_rehearsal)
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["parameter"] == "instrument" and "kso-halpha" in problem["allowed"]
    assert local.get(REPROCESS).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"time": "2026-01-02/2026-01-01"}, "time"),
        ({"time": "2026"}, "time"),
        ({"quality_min": 2}, "quality_min"),
        ({"quality_max": True}, "quality_max"),
        ({"wavelength": "193"}, "wavelength"),
        ({"wavelength": 193}, "wavelength"),
        ({"wavelength": 1e308}, "wavelength"),
        ({"wavelength": True}, "wavelength"),
        ({"wavelength": "999999999um"}, "wavelength"),
        ({"wavelength": "0nm"}, "wavelength"),
        ({"time": {"start": "2026-01-01"}}, "time"),
        ({"time": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}, "time"),
        ({"time": ["2026-01-01", "2026-01-02"]}, "time"),
        ({"time": 0}, "time"),
        ({"status": "lost"}, "status"),
        ({"cause": "gremlins"}, "cause"),
        ({"instrument": ""}, "instrument"),
        ({"model": ""}, "model"),
        ({"limit": 5}, "limit"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"newest_frame": 1}, "newest_frame"),
    ],
)
@on_sqlite
def test_filters_that_are_none_are_refused(local: TestClient, body: dict[str, Any], name: str):
    answer = post(local, **body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == name
    assert error["allowed"]
    assert local.get(REPROCESS).json()["items"] == []


@on_sqlite
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"all"'])
def test_a_body_that_is_none_is_refused(local: TestClient, body: bytes):
    answer = local.post(REPROCESS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert local.get(REPROCESS).json()["items"] == []


@on_sqlite
def test_who_may_not_write_starts_and_cancels_nothing(client: TestClient):
    assert client.post(REPROCESS, json={}).status_code == 401
    assert client.delete(f"{REPROCESS}/1").status_code == 401
    assert client.get(REPROCESS).json() == {"items": []}


@on_sqlite
@pytest.mark.parametrize("number", ["0", "-1", "x", str(2**63)])
def test_a_number_that_is_no_job_is_refused(local: TestClient, number: str):
    assert local.get(f"{REPROCESS}/{number}").status_code == 422
    assert local.delete(f"{REPROCESS}/{number}").status_code == 422
    assert local.get(f"{REPROCESS}/77").status_code == 404
    assert local.delete(f"{REPROCESS}/77").status_code == 404


def test_what_waits_to_be_done_again_is_seen_from_outside(
    local: TestClient, telescope: Telescope, app: FastAPI
):
    for _ in range(3):
        telescope.observe(0.9)
    assert queue_metrics(local, "reprocessing") == {"tasks": 0, "oldest_task_age_seconds": 0}
    wanted = FrameFilter()
    begun = datetime.now(UTC) - timedelta(seconds=300)
    job = reprocess_jobs.create(
        telescope.db, author="ada", wanted=wanted, model=None, families=None, now=begun
    )
    cancelled = reprocess_jobs.create(
        telescope.db, author="eve", wanted=wanted, model=None, families=None, now=begun - timedelta(days=1)
    )
    for each in (job, cancelled):
        while reprocess_jobs.select_more(telescope.db, each.id):
            pass
    reprocess_jobs.cancel(telescope.db, cancelled.id, datetime.now(UTC))
    assert reprocess.claim(telescope.db, Item(job.id, 1), "w", datetime.now(UTC)) is not None
    app.state.context = replace(app.state.context, collector=DatabaseCollector(telescope.db, 60))
    found = queue_metrics(local, "reprocessing")
    assert found["tasks"] == 2
    assert found["oldest_task_age_seconds"] == pytest.approx(300, abs=20)
    (queue,) = local.get("/api/v1/status").json()["queues"]
    assert (queue["queue"], queue["waiting"], queue["family"]) == ("reprocessing", 2, None)
    assert queue["oldest_age_s"] == pytest.approx(300, abs=20)


def test_composites_that_wait_are_seen_from_outside(local: TestClient, telescope: Telescope):
    with telescope.db.write() as connection:
        rows = [("waiting", 600, 100), ("waiting", 50, None), ("done", 900, 800)]
        for status, created_s, made_s in rows:
            now = datetime.now(UTC)
            connection.execute(
                insert(schema.composites).values(
                    look="aia",
                    date_obs=now,
                    status=status,
                    is_complete=True,
                    revision=0 if made_s is None else 1,
                    attempts=0,
                    created_at=now - timedelta(seconds=created_s),
                    made_at=None if made_s is None else now - timedelta(seconds=made_s),
                )
            )
    found = queue_metrics(local, "composites")
    assert found["tasks"] == 2
    assert found["oldest_task_age_seconds"] == pytest.approx(100, abs=20)


def test_the_queues_have_the_names_that_workers_give_them() -> None:
    assert {queues.COMPOSITES, queues.REPROCESSING} <= set(queue_names())


def queue_metrics(client: TestClient, queue: str) -> dict[str, float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        family.name.removeprefix("heliowatch_queue_"): sample.value
        for family in families
        for sample in family.samples
        if sample.labels == {"queue": queue}
    }
