"""Whether the service can do its work: database, queue, a worker that lives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from observatory.errors import SettingsError, StorageUnavailableError
from observatory.settings import Settings
from observatory.storage import workers
from observatory.storage.session import Database
from service.metrics import utc_now

_TIMEOUT_S = 1.0
_ROOM_BYTES = 1 << 20  # below it SQLite's journal does not grow


@dataclass(frozen=True)
class Check:
    """One part of readiness."""

    name: str
    is_ok: bool
    detail: str


def check_database(db: Database) -> Check:
    """Can it be asked, and has it our schema."""
    try:
        db.check_schema()
    except StorageUnavailableError:
        return Check("database", False, "cannot be reached")
    except SettingsError as error:
        return Check("database", False, str(error))
    return Check("database", True, "reachable, schema up to date")


def check_worker(db: Database, settings: Settings) -> Check:
    """Has a worker been heard of lately; if none was, what may be done."""
    silence_s = settings.service.worker_silence_s
    try:
        alive = [row for row in workers.alive(db, utc_now(), silence_s) if row["role"] == "worker"]
    except StorageUnavailableError:
        return Check("worker", False, "unknown: the database cannot be reached")
    if not alive:
        return Check("worker", False, f"none heard of for {silence_s:g} s; {_way_out(settings)}")
    return Check("worker", True, f"{len(alive)} alive")


def _way_out(settings: Settings) -> str:
    if _is_full(settings.data_dir):
        return "the disk with the data is full, so none can be heard: make room"
    return "the log of `heliowatch up` tells why" if settings.is_embedded else "start `heliowatch worker`"


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _ROOM_BYTES
    except OSError:  # not on this machine
        return False


def check_rules(problem: str | None) -> Check:
    """Say what is wrong with the alert rules; those before count, so that the service is ready all the same."""
    if problem is None:
        return Check("alert rules", True, "as in their file")
    return Check("alert rules", True, f"their file is broken, and those before it count: {problem}")


def check_queue(problem: str | None) -> Check:
    """Shape the answer of the queue's probe."""
    return Check("queue", problem is None, problem or "reachable")


class QueueProbe:
    """Asks the broker of the settings for a sign of life."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.broker_url

    def __call__(self) -> str | None:
        """Return None when the queue can be reached, else what is wrong."""
        if self._url.startswith("memory:"):
            return None
        import redis  # only where Redis is the broker

        client = redis.Redis.from_url(
            self._url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=None
        )
        try:
            client.ping()
        except redis.RedisError as error:
            return f"no answer from the broker ({type(error).__name__})"
        finally:
            client.close()
        return None
