"""Keys for tests, and settings that differ in a few values."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from heliowatch.house import make_server, stop_server
from observatory.access import Scope
from observatory.settings import Settings
from observatory.storage import keys
from observatory.storage.session import Database


def make_key(db: Database, *scopes: Scope, name: str = "camera", expires_s: float | None = None) -> str:
    now = datetime.now(UTC)
    expires_at = None if expires_s is None else now + timedelta(seconds=expires_s)
    return keys.create(db, name, scopes, expires_at, now)[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def with_service(settings: Settings, **changed: Any) -> Settings:
    service = settings.service.model_copy(update=changed)
    return settings.model_copy(update={"service": service})


@contextmanager
def house(settings: Settings, db: Database, port: int = 0) -> Iterator[str]:
    """Address of the service as it is served in production, with all its bounds."""
    server = make_server(settings, db, "127.0.0.1", port)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the server did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        stop_server(server)
        thread.join(10)
        assert not thread.is_alive(), "the server did not stop"
