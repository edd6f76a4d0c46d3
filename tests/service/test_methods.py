"""HEAD and OPTIONS of every address, and what is logged when a handler breaks."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from tests.service.telescope import Telescope, in_thread, on_sqlite

PATHS = (
    "/",
    "/docs",
    "/healthz",
    "/metrics",
    "/static/now.js",
    "/now/refusals",
    "/api/v1/instruments",
    "/api/v1/frames",
    "/api/v1/frames?format=csv",
    "/api/v1/frames/1",
    "/api/v1/frames/1/results",
    "/api/v1/frames/1/products",
    "/api/v1/products/1/data",
    "/api/v1/products/1/preview",
    "/api/v1/quality",
    "/api/v1/latest/kso-halpha.json",
    "/api/v1/latest/kso-halpha.jpg",
    "/api/v1/status",
)


@on_sqlite
def test_head_says_what_get_says_without_a_body(client: TestClient, telescope: Telescope) -> None:
    telescope.observe(with_picture=True)
    for path in PATHS:
        head = client.head(path, follow_redirects=False)
        got = client.get(path, follow_redirects=False)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers.keys() == got.headers.keys(), path
    assert client.head("/readyz").status_code == 503
    assert client.head("/api/v1/frames/99").status_code == 404
    assert client.head("/api/v1/frames?limit=0").status_code == 422


@on_sqlite
def test_head_of_the_stream_ends_at_once_and_leaves_no_listener(app: FastAPI) -> None:
    with in_thread(app) as address:
        for _ in range(3):
            answer = httpx2.head(f"{address}/api/v1/events", timeout=5)
            assert answer.headers["content-type"].startswith("text/event-stream")
        assert httpx2.head(f"{address}/", timeout=5).status_code == 200
        assert httpx2.get(f"{address}/api/v1/status", timeout=5).json()["listeners"] == 0


@on_sqlite
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/api/v1/products/1/data", "GET, HEAD, OPTIONS"),
        ("/static/now.js", "GET, HEAD, OPTIONS"),
        ("/api/v1/frames", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/frames/1/mark", "OPTIONS, PUT"),
        ("/vo/sia2", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/reprocess/1", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
def test_options_names_what_is_allowed(client: TestClient, path: str, allowed: str) -> None:
    answer = client.options(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == allowed
    refused = client.patch(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert client.options("/api/v1/nothing").status_code == 404


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_defect_is_answered_as_a_problem_and_logged_once(
    app: FastAPI, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("ours alone")

    with in_thread(app) as address, capture_logs() as logged:
        answer = httpx2.request(method, f"{address}/broken", timeout=5)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "ours alone" not in answer.text
    assert [entry["event"] for entry in logged] == ["request_failed"]
    assert not caplog.records
