"""What one working process holds: settings, database, product files, models, its own name.

Made after the fork, never before: database connections and inference sessions do not survive one.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog

import observatory
from models.runtime import Runtime
from observatory.errors import HeliowatchError
from observatory.settings import Settings
from observatory.storage import workers as heartbeats
from observatory.storage.deployments import Deployment
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database

log = structlog.get_logger(__name__)


@dataclass
class Context:
    """Everything a task needs, one for each process."""

    settings: Settings

    @cached_property
    def db(self) -> Database:
        """Database of this process."""
        return Database(self.settings.resolved_database_url)

    @cached_property
    def files(self) -> ProductFiles:
        """Product files."""
        return ProductFiles(self.settings.product_dir)

    @cached_property
    def runtime(self) -> Runtime:
        """Inference sessions of this process, on the device that the settings ask for."""
        return Runtime(
            device=self.settings.runtime.device.value,
            intra_op_threads=self.settings.runtime.threads,
            networks=self.settings.enhancement.networks,
            disturbance=self.settings.disturbance_models,
        )

    def folder_of(self, deployment: Deployment) -> Path:
        """Where a network lies that was given to the system."""
        return self.settings.data_dir / deployment.folder

    @cached_property
    def name(self) -> str:
        """Name of this process among all workers.

        Host and process number come again when a container is restarted; the dead one's frames
        must not be taken for the new one's.
        """
        return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Heartbeat:
    """Thread that tells the database every few seconds that this process lives."""

    def __init__(
        self, db: Database, name: str, role: str, interval_s: float, facts: Mapping[str, Any]
    ) -> None:
        self._db, self._name, self._role = db, name, role
        self._interval_s = interval_s
        self._facts: Mapping[str, Any] = {"version": observatory.__version__, **facts}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Sign on and go on beating."""
        heartbeats.sign_on(self._db, self._name, self._role, datetime.now(UTC), self._facts)
        self._thread.start()

    def tell(self, **facts: Any) -> None:
        """Say something else from the next beat on."""
        self._facts = {**self._facts, **facts}

    def stop(self) -> None:
        """Sign off."""
        self._stop.set()
        self._thread.join(timeout=self._interval_s)
        try:
            heartbeats.sign_off(self._db, self._name)
        except HeliowatchError as error:
            log.warning("heartbeat_sign_off_failed", error=str(error))

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                # An upsert, not an update: after an outage the row may have been forgotten.
                heartbeats.beat(self._db, self._name, self._role, datetime.now(UTC), self._facts)
            except HeliowatchError as error:
                log.warning("heartbeat_failed", error=str(error))
