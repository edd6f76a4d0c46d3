"""Keys: what is refused, how it is said, and how soon a revoked one is no longer believed."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.settings import Settings
from observatory.storage import keys
from observatory.storage.session import Database
from service.identity import Keyring
from service.main import create_app
from tests.service.access import bearer, house, make_key, with_service
from tests.service.telescope import Telescope, on_sqlite

pytestmark = on_sqlite

MARK = {"mark": "bad"}


def put_mark(client: TestClient | httpx2.Client, frame_id: int, **headers: str) -> Any:
    return client.put(f"/api/v1/frames/{frame_id}/mark", json=MARK, headers=headers)


def test_writing_needs_a_key_and_says_how_to_get_one(client: TestClient, telescope: Telescope) -> None:
    answer = put_mark(client, telescope.observe())
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="heliowatch"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert "heliowatch keys create" in answer.json()["detail"]


def test_a_key_opens_what_its_scopes_name(client: TestClient, telescope: Telescope, db: Database) -> None:
    frame_id = telescope.observe()
    assert put_mark(client, frame_id, **bearer(make_key(db, Scope.WRITE))).status_code == 200
    reader = make_key(db, Scope.READ, name="reader")
    refused = put_mark(client, frame_id, **bearer(reader))
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="write"' in refused.headers["www-authenticate"]
    assert "reader has read" in refused.json()["detail"]
    assert client.get("/api/v1/frames", headers=bearer(reader)).status_code == 200
    admin = make_key(db, Scope.ADMIN, name="admin")
    assert put_mark(client, frame_id, **bearer(admin)).status_code == 200
    assert client.get("/api/v1/audit", headers=bearer(admin)).status_code == 200
    assert client.get("/api/v1/audit", headers=bearer(reader)).status_code == 403


def test_a_key_may_come_as_a_password_for_tools_that_know_nothing_else(
    settings: Settings, db: Database
) -> None:
    key = make_key(db, Scope.READ)
    with TestClient(create_app(with_service(settings, open_reading=False), db)) as client:
        assert client.get("/api/v1/frames", auth=("anybody", key)).status_code == 200
        assert client.get("/api/v1/frames", auth=(key, "")).status_code == 200
        assert client.get("/api/v1/frames", auth=("anybody", "wrong")).status_code == 401
        page = client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 401 and "Basic" in page.headers["www-authenticate"]
        assert client.get("/", auth=("anybody", key)).status_code == 200


def test_a_wrong_key_is_refused_even_where_none_is_needed(client: TestClient, db: Database) -> None:
    good = make_key(db, Scope.READ)
    _, prefix, secret = good.split("_", 2)
    other = "A" if secret[0] != "A" else "B"
    for wrong in (good[:-1], f"hw_{prefix}_{other}{secret[1:]}", f"hw_{'a' * 10}_{secret}", "x", "é", ""):
        answer = client.get("/api/v1/frames", headers={"Authorization": f"Bearer {wrong}".encode()})
        assert answer.status_code == 401, wrong
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert secret not in answer.text
    unknown = client.get("/api/v1/frames", headers=bearer(f"hw_{prefix}_{other}{secret[1:]}")).json()
    absent = client.get("/api/v1/frames", headers=bearer(f"hw_{'a' * 10}_{secret}")).json()
    assert unknown == absent  # a guessed prefix is not told from one that exists


ABSURD = [
    "Bearer",
    "Bearer   ",
    "Basic !!!!",
    "Basic " + base64.b64encode(b"\xff\xfe").decode(),
    "Digest username=x",
    "Bearer " + "x" * 20_000,
    "Bearer a.b.c",
    "Bearer ' OR 1=1 --",
    "Bearer hw_aaaaaaaaaa_" + "'" * 43,
    "Bearer ../../etc/passwd",
]


def test_an_absurd_key_is_refused_and_not_repeated(client: TestClient) -> None:
    for header in ABSURD:
        answer = client.get("/api/v1/frames", headers={"Authorization": header})
        assert answer.status_code == 401, header
        assert header[20:] not in answer.text or len(header) < 21


def test_expired_and_revoked_keys_say_so_to_who_has_the_secret(client: TestClient, db: Database) -> None:
    expired = make_key(db, Scope.READ, name="old", expires_s=-1)
    revoked = make_key(db, Scope.READ, name="lost")
    keys.revoke(db, "lost", datetime.now(UTC))
    for key, word in ((expired, "expired"), (revoked, "revoked")):
        answer = client.get("/api/v1/frames", headers=bearer(key))
        assert answer.status_code == 401 and f"is {word} since" in answer.json()["detail"]
        guessed = client.get("/api/v1/frames", headers=bearer(key[:-3] + "AAA"))
        assert word not in guessed.json()["detail"]


def test_a_revoked_key_is_refused_within_seconds(app: FastAPI, db: Database) -> None:
    app.state.context = replace(app.state.context, keyring=Keyring(db, trusted_s=0.0))
    key = make_key(db, Scope.READ)
    with TestClient(app) as client:
        assert client.get("/api/v1/frames", headers=bearer(key)).status_code == 200
        keys.revoke(db, key.split("_")[1], datetime.now(UTC))
        assert client.get("/api/v1/frames", headers=bearer(key)).status_code == 401
    assert Keyring(db)._trusted_s <= 5


def test_a_busy_key_is_looked_up_once_and_its_use_noted_to_the_minute(
    client: TestClient, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(db, Scope.READ)
    asked: list[str] = []
    find = keys.find
    monkeypatch.setattr(keys, "find", lambda db, prefix: asked.append(prefix) or find(db, prefix))
    for _ in range(5):
        assert client.get("/api/v1/frames", headers=bearer(key)).status_code == 200
    assert len(asked) == 1
    (kept,) = keys.listed(db)
    assert kept.last_used_at is not None
    keys.note_use(db, [kept.id], kept.last_used_at + timedelta(seconds=30))
    assert keys.listed(db)[0].last_used_at == kept.last_used_at


def test_reading_can_be_closed_but_not_the_health(
    settings: Settings, db: Database, telescope: Telescope
) -> None:
    frame_id = telescope.observe()
    with TestClient(create_app(with_service(settings, open_reading=False), db)) as client:
        for path in ("/api/v1/frames", f"/api/v1/frames/{frame_id}", "/api/v1/events", "/", "/api/v1/status"):
            assert client.get(path).status_code == 401, path
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        key = make_key(db, Scope.READ)
        assert client.get("/api/v1/frames", headers=bearer(key)).status_code == 200
        writer = make_key(db, Scope.WRITE, name="writer")
        assert client.get("/api/v1/frames", headers=bearer(writer)).status_code == 403


def test_no_route_of_the_api_is_without_a_guard(app: FastAPI) -> None:
    description = app.openapi()
    with TestClient(app) as client:
        for path, operations in description["paths"].items():
            for method in operations:
                if method == "get" or not path.startswith("/api/"):
                    continue
                filled = re.sub(r"\{[^}]*\}", "1", path)
                assert client.request(method, filled).status_code == 401, (method, path)


@pytest.fixture
def at_home(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5)) as client:
        yield client


def test_this_machine_may_write_until_the_first_key_is_made(
    at_home: TestClient, telescope: Telescope, db: Database, app: FastAPI
) -> None:
    frame_id = telescope.observe()
    assert put_mark(at_home, frame_id).status_code == 200
    assert at_home.get("/api/v1/audit").status_code == 401
    app.state.context.keyring._trusted_s = 0.0
    app.state.context.keyring._is_any = None
    make_key(db, Scope.READ)
    assert put_mark(at_home, frame_id).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Host": "rebound.example:8000"},
        {"Host": "127.0.0.1.example"},
    ],
)
def test_whom_a_proxy_brings_or_another_name_is_not_this_machine(
    at_home: TestClient, telescope: Telescope, headers: dict[str, str]
) -> None:
    assert put_mark(at_home, telescope.observe(), **headers).status_code == 401


@pytest.mark.parametrize("changed", [{"service": {"host": "0.0.0.0"}}, {"broker_url": "redis://q"}])
def test_a_service_that_others_reach_is_never_open(
    settings: Settings, db: Database, telescope: Telescope, changed: dict[str, Any]
) -> None:
    service = settings.service.model_copy(update=changed.get("service", {}))
    settings = settings.model_copy(update={**changed, "service": service})
    with TestClient(create_app(settings, db), base_url="http://127.0.0.1", client=("127.0.0.1", 5)) as client:
        assert put_mark(client, telescope.observe()).status_code == 401


def test_who_opens_writing_opens_it(settings: Settings, db: Database, telescope: Telescope) -> None:
    with TestClient(create_app(with_service(settings, open_writing=True), db)) as client:
        assert put_mark(client, telescope.observe()).status_code == 200
    with TestClient(
        create_app(with_service(settings, open_writing=False), db),
        base_url="http://127.0.0.1",
        client=("127.0.0.1", 5),
    ) as client:
        assert put_mark(client, telescope.observe()).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8000"},
    ],
)
def test_a_page_of_another_origin_may_not_write(
    at_home: TestClient, telescope: Telescope, db: Database, headers: dict[str, str]
) -> None:
    frame_id = telescope.observe()
    answer = put_mark(at_home, frame_id, **headers)
    assert answer.status_code == 403 and answer.json()["type"].endswith("cross-origin")
    key = make_key(db, Scope.WRITE)
    remembered = base64.b64encode(f":{key}".encode()).decode()  # what a browser adds by itself
    assert put_mark(at_home, frame_id, Authorization=f"Basic {remembered}", **headers).status_code == 403
    assert put_mark(at_home, frame_id, **bearer(key), **headers).status_code == 200
    assert at_home.get("/api/v1/frames", headers=headers).status_code == 200


def test_a_page_of_ours_may_write(at_home: TestClient, telescope: Telescope) -> None:
    frame_id = telescope.observe()
    assert put_mark(at_home, frame_id, Origin="http://127.0.0.1:8000").status_code == 200
    assert put_mark(at_home, frame_id, **{"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_no_secret_reaches_the_logs(
    settings: Settings,
    telescope: Telescope,
    db: Database,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = make_key(db, Scope.WRITE)
    secret = key.split("_", 2)[2]
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(logging.Formatter("%(message)s %(args)s"))
    monkeypatch.setattr("observatory.storage.marks.put", lambda *_: 1 / 0)  # a defect logs what it can
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # the client's own
    frame_id = telescope.observe()
    with (
        structlog.testing.capture_logs() as events,
        house(settings, db) as address,
        httpx2.Client(base_url=address) as client,
    ):
        assert put_mark(client, frame_id, **bearer(key)).status_code == 500
        assert client.get("/api/v1/frames", headers=bearer(key[:-1])).status_code == 401
        assert client.get(f"/api/v1/frames?secret={secret}", headers=bearer(key)).status_code == 422
    said = caplog.text + "".join(capfd.readouterr()) + repr(events)
    assert "request_failed" in said
    assert secret not in said and secret[:-1] not in said
    assert secret not in repr(keys.listed(db))


def test_of_a_key_only_the_hash_is_kept(db: Database) -> None:
    key = make_key(db, Scope.READ)
    secret = key.split("_", 2)[2]
    (kept,) = keys.listed(db)
    assert kept.prefix in key and kept.matches(secret)
    assert secret not in "".join(str(value) for value in vars(kept).values())
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    with pytest.raises(keys.KeyNameError, match="live key has that name"):
        make_key(db, Scope.READ)


def test_every_route_is_described_with_its_refusals(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for operation in operations.values():
            assert {"401", "429"} <= operation["responses"].keys(), path
