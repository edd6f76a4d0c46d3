"""A whole station in one process: ingester, sweeper and embedded worker."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Self

from observatory.settings import Settings
from observatory.storage import frames
from observatory.storage.frames import Priority
from observatory.storage.session import Database
from workers.app import make_app
from workers.context import Context, Heartbeat
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.sweeper import Sweeper
from workers.watching import WatchFolder
from workers.worker import EmbeddedWorker


class IngestRoom:
    """Ingester and sweeper, which always run together."""

    ingester: Ingester
    _ingester_class: type[Ingester] = Ingester

    def __init__(
        self,
        settings: Settings,
        folders: list[WatchFolder],
        *,
        priority: Priority = Priority.LIVE,
        publisher: Publisher | None = None,
        span: tuple[datetime | None, datetime | None] = (None, None),
    ) -> None:
        context = Context(settings)
        self._is_embedded, self._since = settings.is_embedded, datetime.now(UTC)
        self.db: Database = context.db
        self.db.check_schema()
        publisher = publisher or Publisher(make_app(settings))
        self.ingester = self._ingester_class(
            settings, self.db, publisher, folders, priority=priority, span=span
        )
        self._sweeper = Sweeper(settings, self.db, publisher)
        self._heartbeat = Heartbeat(
            self.db, f"{context.name}:ingester", "ingester", settings.worker.heartbeat_s, {}
        )

    def __enter__(self) -> Self:
        self._heartbeat.start()
        self._sweeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ingester.stop()
        self._sweeper.stop()
        self._heartbeat.stop()
        if self._is_embedded:
            frames.unpublish(self.db, self._since)  # this process's queue ends with it


class Station:
    """Everything but the service, embedded."""

    def __init__(self, settings: Settings, folders: list[WatchFolder]) -> None:
        app = make_app(settings)
        self._room = IngestRoom(settings, folders, publisher=Publisher(app))
        self._worker = EmbeddedWorker(settings, app)
        self._thread = threading.Thread(target=self._room.ingester.run, name="ingester", daemon=True)
        self.db = self._room.db

    def __enter__(self) -> Station:
        self._worker.start()
        self._room.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._room.__exit__()
        self._thread.join(timeout=10)
        self._worker.stop()
