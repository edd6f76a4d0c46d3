"""The live stream: every event once, in order, whatever happens between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from observatory.settings import Settings
from observatory.storage import events
from observatory.storage.session import Database
from service.stream import EventStream
from tests.service.telescope import Telescope, in_thread, on_postgres, on_sqlite

Wait = Callable[..., None]


class Listener:
    """Reads a stream in a thread, as a browser would."""

    def __init__(self, address: str, query: str = "", last_event_id: str | None = None) -> None:
        self.heard: list[dict[str, Any]] = []
        self.is_open = threading.Event()
        self.ended = threading.Event()
        self._stop = threading.Event()
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._thread = threading.Thread(
            target=self._read, args=(f"{address}/api/v1/events{query}", headers), daemon=True
        )
        self._thread.start()
        assert self.is_open.wait(10), "the stream did not open"

    @property
    def ids(self) -> list[int]:
        return [event["id"] for event in self.heard if event["event"] in ("frame", "result")]

    def _read(self, url: str, headers: dict[str, str]) -> None:
        event: dict[str, Any] = {}
        try:
            with httpx2.stream("GET", url, headers=headers, timeout=30) as answer:
                for line in answer.iter_lines():
                    if self._stop.is_set():
                        return
                    name, _, value = line.partition(": ")
                    if line.startswith("retry"):
                        self.is_open.set()
                    if not line and "data" in event:
                        self.heard.append(event | {"at": time.monotonic()})
                    if not line:
                        event = {}
                    elif name == "data":
                        event["data"] = json.loads(value)
                    elif name:
                        event[name] = int(value) if name == "id" else value
        except httpx2.HTTPError:
            pass
        finally:
            self.ended.set()

    def close(self) -> None:
        self._stop.set()


@contextmanager
def listening(address: str, query: str = "", last_event_id: str | None = None) -> Iterator[Listener]:
    listener = Listener(address, query, last_event_id)
    try:
        yield listener
    finally:
        listener.close()


def test_a_new_stream_tells_what_happens_from_now_on(
    address: str, telescope: Telescope, eventually: Wait
) -> None:
    telescope.observe()
    with listening(address) as listener:
        frame_id = telescope.observe(0.1)
        eventually(lambda: len(listener.heard) == 2, "two events were not heard")
    received, result = listener.heard
    assert (received["event"], received["data"]["status"]) == ("frame", "received")
    assert (result["event"], result["data"]["id"]) == ("result", frame_id)
    assert result["data"]["quality"]["is_degraded"] is True
    assert result["data"]["date_obs"].endswith("Z")
    assert result["id"] == received["id"] + 1


def test_what_was_missed_is_replayed_and_then_it_goes_on(
    address: str, telescope: Telescope, db: Database, eventually: Wait
) -> None:
    telescope.observe()
    seen = events.last_seq(db)
    for _ in range(3):
        telescope.observe()
    with listening(address, "?after=0", last_event_id=str(seen)) as listener:
        eventually(lambda: len(listener.heard) == 6, "the replay was not whole")
        telescope.observe()
        eventually(lambda: len(listener.heard) == 8, "it did not go on")
    assert listener.ids == list(range(seen + 1, seen + 9))


@on_sqlite
def test_who_is_cut_off_before_the_first_event_comes_back_to_where_the_stream_began(
    address: str, telescope: Telescope, eventually: Wait
) -> None:
    telescope.observe()
    with httpx2.stream("GET", f"{address}/api/v1/events", timeout=5) as answer:
        begun = next(line for line in answer.iter_lines() if line.startswith("id: "))
    missed = telescope.observe()
    with listening(address, last_event_id=begun.removeprefix("id: ")) as listener:
        eventually(lambda: len(listener.heard) == 2, "what was missed is not told")
    assert [event["data"]["id"] for event in listener.heard] == [missed, missed]


def test_none_is_lost_and_none_doubled_between_replay_and_live(
    address: str, telescope: Telescope, db: Database, eventually: Wait
) -> None:
    count = 40
    writer = threading.Thread(target=lambda: [telescope.receive() for _ in range(count)])
    writer.start()
    listeners = []
    while writer.is_alive() and len(listeners) < 12:
        listeners.append(Listener(address, "?after=0"))
    writer.join()
    wanted = [event.seq for event in events.after(db, 0)]
    assert len(wanted) == count and listeners
    for listener in listeners:
        eventually(lambda one=listener: len(one.heard) >= count, "a listener missed some")
        assert listener.ids == wanted
        listener.close()


def test_a_listener_behind_the_memory_reads_the_database(
    app: FastAPI, telescope: Telescope, db: Database, eventually: Wait
) -> None:
    app.state.context = replace(app.state.context, stream=EventStream(db, memory=3))
    with in_thread(app) as address, listening(address, "?after=0") as listener:
        for _ in range(10):
            telescope.receive()
        eventually(lambda: len(listener.heard) == 10, "not all were heard")
        with listening(address, "?after=0") as late:
            eventually(lambda: len(late.heard) == 10, "not all were replayed")
    assert listener.ids == late.ids


def test_an_instrument_can_be_listened_to_alone(address: str, telescope: Telescope, eventually: Wait) -> None:
    with listening(address, "?instrument=aia-193") as listener:
        telescope.receive()
        telescope.receive(instrument="aia-193", family="aia")
        telescope.refuse()
        eventually(lambda: listener.heard, "nothing was heard")
        telescope.receive(instrument="aia-193", family="aia")
        eventually(lambda: len(listener.heard) == 2, "the second was not heard")
    assert {event["data"]["instrument"] for event in listener.heard} == {"aia-193"}


def test_a_client_is_told_when_events_it_missed_are_gone(
    app: FastAPI, telescope: Telescope, db: Database, eventually: Wait
) -> None:
    app.state.context = replace(app.state.context, stream=EventStream(db, memory=1))
    for _ in range(3):
        telescope.receive()
    with in_thread(app) as address:
        with listening(address, last_event_id="1") as whole:
            eventually(lambda: len(whole.heard) == 2, "the replay was not whole")
        assert events.prune(db, datetime.now(UTC) + timedelta(days=1), 0) == 3
        telescope.receive()
        with listening(address, last_event_id="1") as listener:
            eventually(lambda: len(listener.heard) == 2, "nothing was told")
    status, frame = listener.heard
    assert status["event"] == "status"
    assert status["data"]["missed"] is True
    assert status["data"]["oldest_kept"] == frame["id"] == 4


def test_an_id_from_another_database_is_answered_with_what_is_there(
    address: str, telescope: Telescope, eventually: Wait
) -> None:
    telescope.receive()
    with listening(address, last_event_id="999999") as listener:
        eventually(lambda: listener.heard, "nothing was told")
        telescope.receive()
        eventually(lambda: len(listener.heard) == 2, "it did not go on")
    assert listener.heard[0]["data"]["missed"] is True


@on_postgres
def test_the_stream_outlives_a_lost_database_connection(
    address: str, telescope: Telescope, db: Database, eventually: Wait
) -> None:
    import psycopg

    with listening(address) as listener:
        telescope.receive()
        eventually(lambda: len(listener.heard) == 1, "the first was not heard")
        with psycopg.connect(db.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        eventually(lambda: _received(telescope), "the database did not come back")
        eventually(lambda: len(listener.heard) == 2, "the second was not heard")
    assert listener.ids == [1, 2]


def _received(telescope: Telescope) -> bool:
    from observatory.errors import StorageUnavailableError

    try:
        telescope.receive()
    except StorageUnavailableError:
        return False
    return True


def test_the_server_stops_promptly_with_open_streams(app: FastAPI, telescope: Telescope) -> None:
    with in_thread(app) as address:
        listener = Listener(address)
        started = time.monotonic()
    assert time.monotonic() - started < 3
    assert listener.ended.wait(1)


@on_sqlite
def test_a_signal_ends_a_server_with_open_streams(
    settings: Settings, db: Database, telescope: Telescope, eventually: Wait
) -> None:
    port = _free_port()
    script = (
        "import uvicorn; from observatory.settings import load_settings; from service.main import create_app; "
        f"uvicorn.run(create_app(load_settings(data_dir={str(settings.data_dir)!r}, database_url={db.url!r})), "
        f"port={port}, log_level='error')"
    )
    root = Path(__file__).parents[2]
    server = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        eventually(lambda: _answers(port), "the server did not start")
        listener = Listener(f"http://127.0.0.1:{port}")
        server.send_signal(signal.SIGTERM)
        assert server.wait(5) in (0, -signal.SIGTERM)
        assert listener.ended.wait(1)
    finally:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx2.HTTPError:
        return False


@on_sqlite
def test_more_listeners_than_allowed_are_asked_to_come_back(
    app: FastAPI, settings: Settings, eventually: Wait
) -> None:
    here = app.state.context
    few = settings.model_copy(update={"service": settings.service.model_copy(update={"max_listeners": 1})})
    app.state.context = replace(here, settings=few)
    with in_thread(app) as address:
        with listening(address):
            answer = httpx2.get(f"{address}/api/v1/events", timeout=5)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            app.state.context.stream.close()
        eventually(lambda: here.stream.listeners == 0, "the listener was never let go")


@on_sqlite
def test_silence_is_filled_and_moves_the_id_on(app: FastAPI, telescope: Telescope, db: Database) -> None:
    app.state.context = replace(app.state.context, stream=EventStream(db, keep_alive_s=0.1))
    with in_thread(app) as address:
        telescope.receive()
        query = "?after=0&instrument=other"
        with httpx2.stream("GET", f"{address}/api/v1/events{query}", timeout=5) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            lines = iter(answer.iter_lines())
            assert next(line for line in lines if line.startswith("id")) == "id: 1"


@on_sqlite
def test_who_asks_for_a_pulse_hears_the_time_at_once_and_after_each_silence(
    app: FastAPI, telescope: Telescope, db: Database, eventually: Wait
) -> None:
    app.state.context = replace(app.state.context, stream=EventStream(db, keep_alive_s=0.1))
    with in_thread(app) as address:
        telescope.receive()
        with listening(address, "?after=0&instrument=other&pulse=true") as listener:
            eventually(lambda: len(listener.heard) >= 2, "no pulse was felt")
            first, second = listener.heard[:2]
    assert (first["event"], second["event"]) == ("status", "status")
    assert "id" not in first and second["id"] == 1  # what a filter left out is passed
    told = [datetime.fromisoformat(one["data"]["now"]) for one in (first, second)]
    assert told[0] < told[1] <= datetime.now(UTC)


@on_sqlite
@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?since=1", "?instrument=%00"])
def test_a_wrong_parameter_is_refused_before_the_stream(client: TestClient, query: str) -> None:
    assert client.get(f"/api/v1/events{query}").status_code == 422
    assert client.get("/api/v1/events", headers={"Last-Event-ID": "x"}).status_code == 422


@on_sqlite
def test_a_stream_that_was_never_started_can_be_closed(db: Database) -> None:
    stream = EventStream(db)
    stream.close()
    stream.join()
