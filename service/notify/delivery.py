"""The loop that empties the outbox; any number of processes may run it."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
import uuid
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from observatory.errors import QueryTooLongError, StorageUnavailableError
from observatory.notification_settings import (
    AppriseChannel,
    Channel,
    NotificationSettings,
    WebhookChannel,
)
from observatory.settings import Settings
from observatory.storage import outbox
from observatory.storage.outbox import Claimed
from observatory.storage.session import Database
from service.metrics import Clock, utc_now
from service.notify.failures import DeliveryFailedError
from service.notify.mqtt import Mqtt
from service.notify.people import Apprise
from service.notify.webhook import Webhook

_log = structlog.get_logger()

_FAREWELL_S = 8.0  # what is being sent may end; then its claim runs out and another process takes it over
_NOTING_PAUSE_S = 0.5
_PRUNED_EVERY_S = 3600.0
_LONGEST_DOUBLINGS = 30


class Sink(Protocol):
    """A way out."""

    def send(self, claimed: Claimed) -> None:
        """Send a notification.

        Raises
        ------
        DeliveryFailedError
        """


def make_sink(channel: Channel, base: str, patience_s: float) -> Sink:
    """The way out of a channel of the settings."""
    if isinstance(channel, AppriseChannel):
        return Apprise(channel, base, patience_s)
    if isinstance(channel, WebhookChannel):
        return Webhook(channel, base, patience_s)
    return Mqtt(channel, base, patience_s)


class Delivery:
    """Sends what is due, one notification of each channel at a time, so that a slow one delays no other.

    Parameters
    ----------
    sinks : mapping of str to Sink or None
        By channel; default: those of the settings.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        *,
        clock: Clock = utc_now,
        sinks: dict[str, Sink] | None = None,
    ) -> None:
        self._settings: NotificationSettings = settings.notifications
        self._db = db
        self._clock = clock
        base = (settings.notifications.public_url or settings.publisher.url).rstrip("/")
        patience_s = settings.notifications.send_patience_s
        self._sinks = (
            sinks
            if sinks is not None
            else {
                name: make_sink(channel, base, patience_s)
                for name, channel in settings.notifications.channels.items()
            }
        )
        self.owner = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()
        self._under_way: dict[str, Claimed] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._renewed = time.monotonic()
        self._pruned = 0.0
        self._unknown: set[str] = set()

    def start(self) -> None:
        """Begin, unless there is no channel."""
        if self._sinks:
            self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
            self._thread.start()

    def stop(self, patience_s: float = _FAREWELL_S) -> None:
        """Begin nothing more, and wait a while for what is being sent."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        is_away = False
        while not self._stop.is_set():
            try:
                self.step()
                is_away = False
            except StorageUnavailableError as error:
                if not is_away:
                    _log.warning("outbox_unavailable", error=str(error))
                is_away = True
            except Exception as error:  # noqa: BLE001, a defect must not silence every alert to come
                _log.error("delivery_failed", exc_info=error)
            self._wake.wait(self._settings.poll_s)
            self._wake.clear()
        until = time.monotonic() + _FAREWELL_S
        while self._busy() and time.monotonic() < until:
            self._wake.wait(0.1)
            self._wake.clear()

    def step(self) -> int:
        """Look once: begin what is due, keep what is being sent; how many were begun."""
        now = self._clock()
        begun = 0
        due = outbox.due_channels(self._db, now)
        for channel in sorted(due & self._sinks.keys()):
            if channel in self._busy():
                continue
            claimed = outbox.claim(self._db, channel, self.owner, now, self._settings.lease_s)
            if claimed is not None:
                begun += 1
                self._begin(claimed)
        self._tell_unknown(due - self._sinks.keys())
        self._renew(now)
        self._prune(now)
        return begun

    def _busy(self) -> set[str]:
        with self._lock:
            return set(self._under_way)

    def _begin(self, claimed: Claimed) -> None:
        with self._lock:
            self._under_way[claimed.channel] = claimed
        threading.Thread(
            target=self._deliver, args=(claimed,), name=f"notify-{claimed.channel}", daemon=True
        ).start()

    def _deliver(self, claimed: Claimed) -> None:
        try:
            self._note(claimed, self._send(claimed))
        except Exception as error:  # noqa: BLE001, the claim runs out, and it is sent again
            _log.error("notification_not_noted", key=claimed.key, exc_info=error)
        finally:
            with self._lock:
                del self._under_way[claimed.channel]
            self._wake.set()

    def _send(self, claimed: Claimed) -> DeliveryFailedError | None:
        try:
            self._sinks[claimed.channel].send(claimed)
        except DeliveryFailedError as failure:
            return failure
        except Exception as error:  # noqa: BLE001, told by its type alone: its words may hold a secret
            return DeliveryFailedError(f"a defect: {type(error).__name__}")
        return None

    def _note(self, claimed: Claimed, failure: DeliveryFailedError | None) -> None:
        """Write down what became of it; patiently, for what is not noted is sent again."""
        while True:
            try:
                self._note_once(claimed, failure)
                return
            except (StorageUnavailableError, QueryTooLongError) as error:
                if self._stop.wait(_NOTING_PAUSE_S):
                    _log.error("notification_not_noted", key=claimed.key, error=str(error))
                    return

    def _note_once(self, claimed: Claimed, failure: DeliveryFailedError | None) -> None:
        now = self._clock()
        facts = {"channel": claimed.channel, "key": claimed.key, "attempt": claimed.attempt}
        if failure is None:
            if outbox.note_sent(self._db, claimed, self.owner, now):
                _log.info("notification_sent", alerts=len(claimed.alerts), **facts)
            else:
                _log.warning("notification_taken_over", **facts)
            return
        retry_at = self._retry_at(claimed, failure, now)
        outbox.note_failed(self._db, claimed, self.owner, str(failure), now, retry_at)
        if retry_at is None:
            _log.error("notification_given_up", reason=str(failure), **facts)
        else:
            _log.warning("notification_failed", reason=str(failure), retry_at=retry_at.isoformat(), **facts)

    def _retry_at(self, claimed: Claimed, failure: DeliveryFailedError, now: datetime) -> datetime | None:
        """When to try again; None when it has no sense."""
        age_s = (now - claimed.created_at).total_seconds()
        if failure.is_final or age_s > self._settings.keep_trying_s:
            return None
        doubled = self._settings.retry_first_s * 2.0 ** min(claimed.attempt - 1, _LONGEST_DOUBLINGS)
        pause_s = min(doubled, self._settings.retry_longest_s) * random.uniform(0.8, 1.0)
        return now + timedelta(seconds=max(pause_s, failure.retry_after_s or 0.0))

    def _renew(self, now: datetime) -> None:
        with self._lock:
            ids = [claimed.id for claimed in self._under_way.values()]
        if ids and time.monotonic() - self._renewed > self._settings.lease_s / 3:
            outbox.renew(self._db, ids, self.owner, now, self._settings.lease_s)
            self._renewed = time.monotonic()

    def _tell_unknown(self, channels: set[str]) -> None:
        """Say once of each channel that it is missing from the settings; its notifications wait."""
        for channel in sorted(channels - self._unknown):
            _log.error(
                "notification_channel_unknown", channel=channel, hint="add it to notifications.channels"
            )
        self._unknown |= channels

    def _prune(self, now: datetime) -> None:
        if time.monotonic() - self._pruned > _PRUNED_EVERY_S:
            self._pruned = time.monotonic()
            oldest = now - timedelta(seconds=self._settings.keep_trying_s)
            outbox.give_up_unknown(self._db, set(self._sinks), oldest, now)
            outbox.prune(self._db, now, self._settings.keep_days)
