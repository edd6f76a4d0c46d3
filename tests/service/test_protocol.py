"""Clients that take nothing of their answer: how long one waits for them, and what they cost."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from observatory.access import Scope
from observatory.service_settings import ServiceSettings
from observatory.settings import Settings
from observatory.storage import events, keys
from observatory.storage.events import NewEvent
from observatory.storage.session import Database
from service.identity import Keyring
from service.protocol import bounded_http
from service.stream import EventStream
from tests.servers import free_port
from tests.service.access import bearer, house, make_key, with_service
from tests.service.telescope import in_thread, on_sqlite

Wait = Callable[..., None]


@contextmanager
def asleep(address: str, path: str, **headers: str) -> Iterator[socket.socket]:
    """A client that asks, and then reads nothing; its own buffer is small."""
    place = urlsplit(address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((place.hostname, place.port))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    heard = b""
    try:
        while piece := connection.recv(65536):
            heard += piece
    except ConnectionResetError:
        pass
    return heard


def write(db: Database, count: int, size: int = 100) -> None:
    new = [NewEvent("result", "kso-halpha", None, {"n": n, "x": "x" * size}) for n in range(count)]
    with db.write() as connection:
        events.append(db, connection, new)


def test_a_client_that_reads_nothing_of_a_long_answer_is_cut_off() -> None:
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        ended.set()

    protocol = bounded_http(ServiceSettings(reader_patience_s=0.3))
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=protocol, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with asleep(f"http://127.0.0.1:{port}", "/") as connection:
            assert ended.wait(10), "the answer still waits for its reader"
            assert len(rest_of(connection)) < 50_000_000
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("is_defect", [False, True])
def test_an_answer_cut_off_by_the_servers_end_is_no_error(
    is_defect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    async def rows() -> AsyncIterator[bytes]:
        yield b"frame_id\n"
        begun.set()
        if is_defect:
            raise ValueError("a defect")
        await asyncio.Event().wait()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(rows())(scope, receive, send)

    protocol = bounded_http(ServiceSettings())
    config = uvicorn.Config(
        app,
        port=0,
        http=protocol,
        lifespan="off",
        log_config=None,
        log_level="info",
        timeout_graceful_shutdown=0,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    with caplog.at_level(logging.INFO):
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with asleep(f"http://127.0.0.1:{port}", "/") as connection:
            assert begun.wait(10)
            server.should_exit = True
            rest_of(connection)
            thread.join(10)
    told = {record.getMessage().strip(): record for record in caplog.records}
    assert any(record.exc_info for record in told.values()) == is_defect
    assert ("Exception in ASGI application" in told) == is_defect
    if not is_defect:
        record = told["an answer was not finished before the server stopped, and was cut off"]
        assert record.levelno == logging.INFO


@on_sqlite
def test_a_listener_that_reads_nothing_is_dropped_with_a_notice_and_holds_no_memory(
    settings: Settings, db: Database, eventually: Wait
) -> None:
    hasty = with_service(settings, listener_patience_s=0.5)
    with (
        capture_logs() as said,
        house(hasty, db) as address,
        asleep(address, "/api/v1/events?after=0") as connection,
    ):
        write(db, 6000, 2000)
        dropped = lambda: any(entry["event"] == "listener_dropped" for entry in said)  # noqa: E731
        eventually(dropped, "the sleeping listener was kept")
        heard = rest_of(connection)
    assert b'"dropped":true' in heard and b"event: status" in heard
    assert heard.endswith(b"0\r\n\r\n")  # the answer ends as it should
    assert len(heard) < 6000 * 2000


@on_sqlite
def test_a_listener_that_falls_far_behind_is_told_and_let_go(db: Database) -> None:
    async def run() -> list[bytes]:
        stream = EventStream(db, far_behind=50)
        stream.start()
        heard = []
        try:
            async for chunk in stream.listen(0, None):
                heard.append(chunk)
                if len(heard) == 2:
                    await asyncio.to_thread(write, db, 60)
                    while stream._last < 61:
                        await asyncio.sleep(0.01)
                if len(heard) == 1:
                    await asyncio.to_thread(write, db, 1)
        finally:
            stream.close()
            await asyncio.to_thread(stream.join)
        return heard

    heard = asyncio.run(run())
    assert b'"dropped":true' in heard[-1] and b'"after":1' in heard[-1]


@on_sqlite
def test_a_stream_ends_soon_after_its_key(db: Database, app: Any) -> None:
    key = make_key(db, Scope.READ)
    here = app.state.context
    quick = EventStream(db, check_s=0.1)
    app.state.context = replace(here, keyring=Keyring(db, trusted_s=0.1), stream=quick)
    with (
        in_thread(app) as address,
        asleep(address, "/api/v1/events", Connection="close", **bearer(key)) as connection,
    ):
        assert b"200 OK" in connection.recv(4096)
        keys.revoke(db, key.split("_")[1], datetime.now(UTC))
        started = time.monotonic()
        heard = rest_of(connection)
        assert time.monotonic() - started < 5
    assert b'"ended":true' in heard and heard.endswith(b"0\r\n\r\n")


def test_a_crowd_hears_each_event_once_and_in_order_and_again_after_a_restart(
    settings: Settings, db: Database
) -> None:
    count, listeners = 120, 100
    command = [sys.executable, "-m", "tests.listeners"]

    def write_times(many: int) -> None:
        for _ in range(many):
            with db.write() as connection:
                payload = {"at": time.time(), "n": 0}
                events.append(db, connection, [NewEvent("result", "kso-halpha", None, payload)])

    port = free_port()
    with house(settings, db, port):
        numbers = map(str, (port, listeners, 0, count))
        crowd = subprocess.Popen([*command, *numbers, "--timeout", "30"], stdout=subprocess.PIPE, text=True)
        assert crowd.stdout is not None and crowd.stdout.readline() == "ready\n"
        write_times(count // 2)
    write_times(count // 4)  # while nobody answers
    with house(settings, db, port):
        write_times(count // 4)
        said, _ = crowd.communicate(timeout=60)
    report = json.loads(said)
    assert report["heard"] == report["wanted"] == count * listeners
    assert report["missed"] == report["doubled"] == 0
    assert report["returns"] >= listeners
