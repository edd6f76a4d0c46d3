"""What is noted of writes: each of them, and of those refused as many as a flood may cost."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import structlog

from observatory.errors import HeliowatchError
from observatory.storage import audit
from observatory.storage.audit import Entry
from observatory.storage.session import Database, hurried

_log = structlog.get_logger()

_REFUSED = frozenset({401, 403, 429})
_REFUSED_A_MINUTE = 60
_KEPT_REFUSED = 100_000
_PRUNED_EVERY = 1_000
_PATIENCE_S = 5.0
_UNAVAILABLE = 503


class Trail:
    """Writes the audit log.

    Parameters
    ----------
    refused_a_minute : int
        Refusals noted one by one; of the others the next noted one tells how many there were.
    """

    def __init__(self, db: Database, *, refused_a_minute: int = _REFUSED_A_MINUTE) -> None:
        self._db = db
        self._allowed = refused_a_minute
        self._lock = threading.Lock()
        self._minute = 0
        self._noted = 0
        self._unlisted = 0
        self._since_pruning = 0
        self._hurried_until = 0.0

    def note(self, entry: Entry) -> None:
        """Write an entry; when the database is away the log of the process has to do.

        A lock that a write, or an entry a moment ago, waited for in vain is not waited for again.
        """
        kept = self._within_bounds(entry) if entry.status in _REFUSED else entry
        if kept is None:
            return
        is_hopeless = entry.status == _UNAVAILABLE or time.monotonic() < self._hurried_until
        try:
            with hurried(0.0 if is_hopeless else _PATIENCE_S):
                audit.record(self._db, [kept])
                if entry.status in _REFUSED:
                    self._prune_sometimes()
        except HeliowatchError as error:
            self._hurried_until = time.monotonic() + _PATIENCE_S
            facts: dict[str, Any] = vars(kept) | {"at": kept.at.isoformat()}
            _log.error("audit_not_written", error=str(error), **facts)

    def _within_bounds(self, entry: Entry) -> Entry | None:
        minute = int(time.monotonic() // 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._noted = minute, 0
            if self._noted >= self._allowed:
                self._unlisted += 1
                return None
            self._noted += 1
            unlisted, self._unlisted = self._unlisted, 0
        return (
            replace(entry, detail={**(entry.detail or {}), "not_listed_before": unlisted})
            if unlisted
            else entry
        )

    def _prune_sometimes(self) -> None:
        with self._lock:
            self._since_pruning += 1
            is_due = self._since_pruning >= _PRUNED_EVERY
            if is_due:
                self._since_pruning = 0
        if is_due:
            audit.prune_refused(self._db, _KEPT_REFUSED)
