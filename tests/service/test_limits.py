"""Floods, large bodies and slow clients: what each costs at most."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from observatory.access import Scope
from observatory.errors import QueryTooLongError
from observatory.service_settings import RateLimitSettings
from observatory.settings import Settings
from observatory.storage import audit, keys
from observatory.storage.audit import AuditFilter
from observatory.storage.session import Database
from service.limits import network_of
from service.main import create_app
from tests.servers import RedisServer
from tests.service.access import bearer, house, make_key, with_service
from tests.service.telescope import Telescope, on_postgres, on_sqlite


def limited(settings: Settings, **rates: str) -> Settings:
    return with_service(settings, rate_limits=RateLimitSettings(**rates))


@on_sqlite
def test_a_flood_is_told_when_to_come_again(settings: Settings, db: Database) -> None:
    with TestClient(create_app(limited(settings, read="3/minute"), db)) as client:
        answers = [client.get("/api/v1/frames") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        refused = answers[-1]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert "3 a minute" in refused.json()["detail"]
        for path in ("/healthz", "/readyz", "/metrics"):
            assert client.get(path).status_code != 429


@on_sqlite
def test_each_key_and_each_address_is_counted_alone(settings: Settings, db: Database) -> None:
    app = create_app(limited(settings, read="2/minute"), db)
    one, two = make_key(db, Scope.READ, name="one"), make_key(db, Scope.READ, name="two")
    with TestClient(app) as client:
        for headers in ({}, bearer(one), bearer(two)):
            statuses = [client.get("/api/v1/frames", headers=headers).status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"


@on_sqlite
def test_reading_and_writing_are_counted_apart(
    settings: Settings, db: Database, telescope: Telescope
) -> None:
    frame_id = telescope.observe()
    headers = bearer(make_key(db, Scope.WRITE))
    with TestClient(create_app(limited(settings, write="1/minute"), db)) as client:
        path = f"/api/v1/frames/{frame_id}/mark"
        statuses = [client.put(path, json={"mark": "good"}, headers=headers).status_code for _ in range(2)]
        assert statuses == [200, 429]
        assert client.get("/api/v1/frames", headers=headers).status_code == 200


@on_sqlite
def test_wrong_keys_are_counted_and_a_good_one_goes_on(settings: Settings, db: Database) -> None:
    good = make_key(db, Scope.READ)
    with TestClient(create_app(limited(settings, refused="2/minute"), db)) as client:
        assert client.get("/api/v1/frames", headers=bearer(good)).status_code == 200
        wrong = [client.get("/api/v1/frames", headers=bearer("hw_x")).status_code for _ in range(4)]
        assert wrong == [401, 401, 429, 429]
        assert client.get("/api/v1/frames", headers=bearer(good)).status_code == 200


@on_sqlite
def test_only_configured_proxies_are_believed(settings: Settings, db: Database) -> None:
    def statuses(settings: Settings) -> list[int]:
        with TestClient(create_app(settings, db), client=("10.1.2.3", 5)) as client:
            return [
                client.get("/api/v1/frames", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code
                for n in range(3)
            ]

    few = limited(settings, read="1/minute")
    assert statuses(few) == [200, 429, 429]
    assert statuses(with_service(few, proxies=["10.0.0.0/8"])) == [200, 200, 200]


@on_sqlite
def test_processes_count_together_in_redis_and_alone_when_it_is_away(
    settings: Settings, db: Database, redis_server: RedisServer
) -> None:
    def statuses(url: str, count: int) -> list[int]:
        with TestClient(create_app(limited(settings, read="3/minute", storage=url), db)) as client:
            return [client.get("/api/v1/frames").status_code for _ in range(count)]

    assert statuses(redis_server.url, 2) == [200, 200]
    assert statuses(redis_server.url, 2) == [200, 429]
    assert statuses("redis://127.0.0.1:1/0", 4) == [200, 200, 200, 429]


@on_sqlite
def test_refusals_are_noted_in_bounded_number(settings: Settings, db: Database) -> None:
    app = create_app(settings, db)
    app.state.context.trail._allowed = 3
    with TestClient(app) as client:
        for _ in range(8):
            assert client.put("/api/v1/frames/1/mark", json={"mark": "good"}).status_code == 401
    noted = audit.page(db, AuditFilter(status=401), limit=100)
    assert len(noted) == 3
    assert {entry["actor"] for entry in noted} == {"anonymous"}


@on_sqlite
def test_a_large_body_is_refused_before_it_is_read(settings: Settings, db: Database) -> None:
    headers = bearer(make_key(db, Scope.WRITE))
    with TestClient(create_app(with_service(settings, max_body_bytes=1000), db)) as client:
        answer = client.put("/api/v1/frames/1/mark", content=b"x" * 1001, headers=headers)
        assert answer.status_code == 413
        assert "service.max_body_bytes" in answer.json()["detail"]
        pieces = (b"x" * 100 for _ in range(11))
        answer = client.put("/api/v1/frames/1/mark", content=pieces, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture
def hasty(settings: Settings, db: Database) -> Iterator[str]:
    """Address of a house that waits for nobody."""
    hasty = with_service(settings, header_patience_s=0.3, body_patience_s=0.3, reader_patience_s=0.5)
    with house(hasty, db) as address:
        yield address


def talk(address: str, request: bytes) -> bytes:
    """What a plain client hears until the connection ends."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(request)
        heard = b""
        while piece := connection.recv(65536):
            heard += piece
        return heard


@on_sqlite
def test_a_head_that_does_not_come_ends_the_connection(hasty: str) -> None:
    started = time.monotonic()
    assert talk(hasty, b"GET / HTTP/1.1\r\nHost: 127.0") == b""
    assert time.monotonic() - started < 5


@on_sqlite
def test_a_body_that_does_not_come_is_given_up(hasty: str) -> None:
    head = b"PUT /api/v1/frames/1/mark HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
    answer = talk(hasty, head)
    assert answer.startswith(b"HTTP/1.1 408")


@on_sqlite
def test_five_gigabytes_are_refused_by_their_announcement(hasty: str) -> None:
    head = (
        b"POST /api/v1/frames HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    started = time.monotonic()
    answer = talk(hasty, head + b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 413") and b"limits.max_file_bytes" in answer
    assert time.monotonic() - started < 5


@on_sqlite
def test_a_header_cannot_be_injected(client: TestClient, db: Database) -> None:
    answer = client.get("/api/v1/frames", params={"cursor": "x\r\nSet-Cookie: a=b"})
    assert "set-cookie" not in answer.headers
    answer = client.post(
        "/api/v1/frames",
        headers=bearer(make_key(db, Scope.WRITE)),
        files={"file": ("a\r\nSet-Cookie: a=b.fits", b"x")},
    )
    assert "set-cookie" not in answer.headers


@on_postgres
def test_a_question_that_takes_too_long_is_given_up(db: Database) -> None:
    from sqlalchemy import text

    hasty = Database(db.url, statement_timeout_s=0.05)
    with pytest.raises(QueryTooLongError, match="shorter time"), hasty.read() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    hasty.dispose()


@on_sqlite
def test_a_question_too_long_is_no_defect(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(*_: Any, **__: Any) -> Any:
        raise QueryTooLongError

    monkeypatch.setattr("observatory.storage.marks.of_frame", too_long)
    answer = client.get("/api/v1/frames/1/marks")
    assert answer.status_code == 503 and answer.json()["type"].endswith("query-too-long")


@on_sqlite
def test_the_audit_log_pages(client: TestClient, db: Database, telescope: Telescope) -> None:
    frame_id = telescope.observe()
    writer, admin = make_key(db, Scope.WRITE), make_key(db, Scope.ADMIN, name="admin")
    for word in ("good", "bad", "clear", "good", "bad"):
        client.put(f"/api/v1/frames/{frame_id}/mark", json={"mark": word}, headers=bearer(writer))
    client.put("/api/v1/frames/999/mark", json={"mark": "bad"}, headers=bearer(writer))
    client.put("/api/v1/frames/%00/mark", json={"mark": "bad"}, headers=bearer(writer))
    client.put("/api/v1/nowhere", headers=bearer(writer))
    seen: list[dict[str, Any]] = []
    path: str | None = "/api/v1/audit?limit=3&actor=camera"
    while path:
        page = client.get(path, headers=bearer(admin))
        assert page.status_code == 200, page.text
        seen += page.json()["items"]
        path = page.json()["next"]
    assert [entry["status"] for entry in seen] == [422, 404, 200, 200, 200, 200, 200]
    newest = seen[2]
    assert newest["action"] == "PUT /api/v1/frames/{frame_id}/mark"
    assert newest["target"] == f"/api/v1/frames/{frame_id}/mark"
    assert newest["detail"] == {"mark": "bad"}
    assert newest["address"] == "testclient"
    assert newest["key_id"] == keys.listed(db)[0].id
    for query in ("limit=0", "limit=1001", "cursor=-1", "cursor=x", "actor=%00", "time=x", "other=1"):
        assert client.get(f"/api/v1/audit?{query}", headers=bearer(admin)).status_code == 422
    sql = client.get("/api/v1/audit", params={"actor": "' OR 1=1 --"}, headers=bearer(admin))
    assert sql.json()["items"] == []


@on_sqlite
def test_the_audit_log_keeps_every_write_and_so_many_refusals(db: Database) -> None:
    from datetime import UTC, datetime

    def entry(status: int) -> audit.Entry:
        return audit.Entry(datetime.now(UTC), "a", "PUT x\0", status, target="\ud800" * 9)

    audit.record(db, [entry(status) for status in (200, 401, 403, 200, 429, 401)])
    assert audit.prune_refused(db, keep=2) == 2
    assert [row["status"] for row in audit.page(db, AuditFilter(), limit=9)] == [401, 429, 200, 200]
