"""Health, readiness, metrics, headers, the published description."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY, Counter
from prometheus_client.parser import text_string_to_metric_families

from observatory.errors import SchemaOutdatedError
from observatory.settings import Settings
from observatory.storage import workers
from observatory.storage.session import Database
from service import readiness
from service.main import create_app
from service.readiness import QueueProbe
from service.views.assets import STATIC
from tests.service.telescope import Telescope, on_sqlite


def failed_parts(client: TestClient) -> set[str]:
    answer = client.get("/readyz")
    body = answer.json()
    assert answer.status_code == (200 if body["is_ready"] else 503)
    return {check["name"] for check in body["checks"] if not check["is_ok"]}


def test_ready_needs_a_worker_that_lives(client: TestClient, db: Database) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert failed_parts(client) == {"worker"}
    workers.sign_on(db, "i", "ingester", datetime.now(UTC), {})
    workers.sign_on(db, "w", "worker", datetime.now(UTC) - timedelta(seconds=61), {})
    assert failed_parts(client) == {"worker"}
    workers.sign_on(db, "w", "worker", datetime.now(UTC), {})
    assert failed_parts(client) == set()


def test_a_worker_that_is_not_heard_has_its_way_out_told(
    client: TestClient, settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "none heard of for 60 s; the log of `heliowatch up` tells why" in client.get("/readyz").text
    apart = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    with TestClient(create_app(apart, db, probe_queue=lambda: None)) as other:
        assert "none heard of for 60 s; start `heliowatch worker`" in other.get("/readyz").text
        settings.data_dir.mkdir(exist_ok=True)
        monkeypatch.setattr(readiness, "_ROOM_BYTES", math.inf)  # so that this disk counts as full
        assert "the disk with the data is full" in other.get("/readyz").text


def test_ready_needs_the_queue(settings: Settings, db: Database) -> None:
    workers.sign_on(db, "w", "worker", datetime.now(UTC), {})
    with TestClient(create_app(settings, db, probe_queue=lambda: "refused")) as client:
        assert failed_parts(client) == {"queue"}
        assert "queue: refused" in client.get("/readyz").json()["detail"]


def test_ready_needs_the_database_and_the_rest_says_so_too(
    app: FastAPI, db: Database, tmp_path: Path
) -> None:
    with TestClient(app, raise_server_exceptions=False) as client:
        good = db.url
        db.dispose()
        db.url = f"sqlite:///{tmp_path}" if db.is_sqlite else "postgresql://heliowatch@127.0.0.1:1/none"
        try:
            assert {"database", "worker"} <= failed_parts(client)
            answer = client.get("/api/v1/frames")
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"]
            assert "127.0.0.1" not in answer.text and str(tmp_path) not in answer.text
            assert "heliowatch_database_reachable 0.0" in client.get("/metrics").text
        finally:
            db.dispose()
            db.url = good


def test_redis_is_asked_for_a_sign_of_life(settings: Settings, redis_server: Any) -> None:
    def problem(url: str) -> str | None:
        return QueueProbe(settings.model_copy(update={"broker_url": url}))()

    assert problem("memory://") is None
    assert problem(redis_server.url) is None
    assert "no answer" in str(problem("redis://127.0.0.1:1/0"))


def test_an_old_schema_is_refused_at_the_start(settings: Settings, empty_database_url: str) -> None:
    with pytest.raises(SchemaOutdatedError), TestClient(create_app(settings, Database(empty_database_url))):
        pass


def test_metrics_come_from_the_database_and_this_process(
    client: TestClient, telescope: Telescope, db: Database
) -> None:
    telescope.observe()
    came = datetime.now(UTC) - timedelta(seconds=50)
    telescope.observe(date_obs=came + timedelta(days=900), received_at=came)  # by a wrong clock
    telescope.receive(received_at=datetime.now(UTC) - timedelta(seconds=100))
    telescope.refuse()
    model = {"name": "halpha-quality", "version": "1.0.0", "provider": "CPUExecutionProvider"}
    workers.sign_on(db, "w", "worker", datetime.now(UTC), {"models": [model]})
    counter = Counter("heliowatch_service_test", "Counts in this process")
    try:
        counter.inc()
        families = {
            family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)
        }
    finally:
        REGISTRY.unregister(counter)

    def value(name: str, **labels: str) -> float:
        return next(sample.value for sample in families[name].samples if sample.labels == labels)

    assert value("heliowatch_queue_tasks", queue="halpha.live") == 1
    assert value("heliowatch_queue_tasks", queue="aia.backfill") == 0
    assert value("heliowatch_queue_oldest_task_age_seconds", queue="halpha.live") == pytest.approx(
        100, abs=20
    )
    assert value("heliowatch_frames", instrument="kso-halpha", status="done") == 2
    assert value("heliowatch_frames", instrument="unknown", status="rejected") == 1
    stamp = value("heliowatch_last_frame_timestamp_seconds", instrument="kso-halpha")
    assert stamp == pytest.approx(came.timestamp(), abs=1e-5)
    labels = {"model": "halpha-quality", "version": "1.0.0", "provider": "CPUExecutionProvider"}
    assert value("heliowatch_model_info", **labels) == 1
    assert "heliowatch_service_test" in families
    assert value("heliowatch_database_reachable") == 1


@on_sqlite
@pytest.mark.parametrize("path", ["/", "/docs", "/api/v1/frames", "/api/v1/nothing", "/static/now.js"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@on_sqlite
def test_pages_hold_no_inline_script_or_style_and_ask_no_other_host(
    client: TestClient, telescope: Telescope
) -> None:
    telescope.observe(with_picture=True, with_map=True)
    for path in ("/", "/docs"):
        page = client.get(path).text
        assert "<style" not in page and " style=" not in page and " onclick=" not in page
        assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
        assert page.count("<script") == page.count("<script src=") + page.count(
            '<script type="application/json"'
        )


def test_vendored_files_are_those_listed() -> None:
    folder = STATIC / "vendor"
    listed = json.loads((folder / "VENDORED.json").read_text())
    for name, entry in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"], name
        assert (folder / entry["licence_file"]).is_file()
    licences = {entry["licence_file"] for entry in listed.values()}
    assert {path.name for path in Path(folder).iterdir()} == {*listed, *licences, "VENDORED.json"}


@on_sqlite
def test_hashed_static_files_are_kept_for_ever(client: TestClient) -> None:
    page = client.get("/").text
    start = page.index("/static/now.js?v=")
    address = page[start : page.index('"', start)]
    assert "immutable" in client.get(address).headers["cache-control"]
    assert client.get("/static/now.js").headers["cache-control"] == "no-cache"
    assert client.get("/static/../main.py").status_code == 404


@on_sqlite
def test_answers_are_as_the_published_description_says(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(with_picture=True)
    telescope.refuse()
    description = client.get("/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    names = [
        operation["operationId"]
        for methods in description["paths"].values()
        for operation in methods.values()
    ]
    assert len(names) == len(set(names))
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    answered = (
        "instruments",
        "frames",
        "frames/{frame_id}",
        "frames/{frame_id}/results",
        "quality",
        "status",
    )
    for path in (f"/api/v1/{name}" for name in (*answered, "frames/{frame_id}/products")):
        schema = description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"][
            "schema"
        ]
        answer = client.get(path.replace("{frame_id}", "1"))
        jsonschema.validate(answer.json(), {**schema, "components": description["components"]})
    problem = {"$ref": "#/components/schemas/Problem", "components": description["components"]}
    jsonschema.validate(client.get("/api/v1/frames?limit=0").json(), problem)


@on_sqlite
def test_the_reference_names_every_resource_and_parameter(client: TestClient) -> None:
    page = client.get("/docs").text
    for word in (
        "/api/v1/frames",
        "quality_min",
        "/api/v1/events",
        "last-event-id",
        "/readyz",
        "received_at",
    ):
        assert word in page
