"""The alert engine at work: what happened goes in, alerts and what is to be told come out, all at once.

It runs in every service process; one of them watches at a time, and the next takes over when it falls silent.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from observatory import cadence
from observatory.alerts import engine
from observatory.alerts.conditions import Rate
from observatory.alerts.facts import GapTold
from observatory.alerts.rules import Rules
from observatory.alerts.states import Watch, moved, resumed
from observatory.errors import StorageUnavailableError
from observatory.settings import Settings
from observatory.storage import alert_facts
from observatory.storage import alerts as storage
from observatory.storage import coverage as ledger
from observatory.storage.alerts import Cursor
from observatory.storage.session import Database
from service.alert_rules import RuleFile
from service.metrics import Clock, utc_now

_log = structlog.get_logger()

_JUMP = timedelta(seconds=5)  # by which two clocks of one machine differ without one of them being set
_PAUSE = timedelta(seconds=60)  # after which nobody can say that nothing came
_BACKOFF_S = (1.0, 2.0, 5.0, 10.0)
_LEARN_EVERY_S = 600.0
_LEARN_FROM = timedelta(hours=1)  # ago: a camera that runs wild since then does not teach us its pace
_PRUNE_EVERY_S = 3600.0
_NO_RULES = Rules()


class AlertEngine:
    """Watches, when no other process does.

    Parameters
    ----------
    clock, steady : callable
        Time on the wall; seconds that nobody can set.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        *,
        clock: Clock = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._db = settings, db
        self._clock, self._steady = clock, steady
        self._holder = f"{socket.gethostname()[:80]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        path = settings.alerts.rules
        self._file = None if path is None else RuleFile(path, settings.notifications.channels.keys() or None)
        self._held: tuple[Cursor, Watch] | None = None
        self._rules: Rules | None = None  # by which it thinks now
        self._knows_gaps = False
        self._clocks: tuple[datetime, float] | None = None
        self._renewed_s = self._pruned_s = float("-inf")
        self._cadences = _Cadences(settings, db, clock, steady)
        self._failures = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with the rule file, if anything is."""
        return None if self._file is None else self._file.problem

    @property
    def is_watching(self) -> bool:
        """Whether it is this process that watches."""
        return self._held is not None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        if self._file is None and storage.is_idle(self._db):
            return  # there are no rules, and nothing that fires by former ones
        self._thread = threading.Thread(target=self._run, name="alert-engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End soon; safe from any thread."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                is_behind = self.turn()
                self._failures = 0
                if self._has_nothing_to_do:
                    break
                pause_s = 0.0 if is_behind else self._settings.alerts.poll_s
            except Exception as error:  # noqa: BLE001 - whatever it was, alerts must go on
                self._held = None  # what is in memory may be more than what was written
                if not isinstance(error, StorageUnavailableError):
                    _log.exception("alert_engine_broken", kind=type(error).__name__)
                pause_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
                self._failures += 1
        self._let_go()

    @property
    def _has_nothing_to_do(self) -> bool:
        return self._file is None and self._held is not None and not self._held[1].states

    def _let_go(self) -> None:
        if self._held is None:
            return
        self._held = None
        try:
            storage.let_go(self._db, self._holder)
        except StorageUnavailableError:
            return  # the lease ends by itself

    def turn(self) -> bool:
        """Look once at rules, clock and events; whether more waits."""
        now = self._clock()
        rules = self._rules_now()
        if rules is None:
            return False
        by = self._jumped(now)
        if self._held is None:
            self._take_over(now)
        elif by:
            _log.warning("clock_was_set", by_s=by.total_seconds())
            self._move(by, now)
        if rules is not self._rules:
            self._adopt(rules, now)
        is_behind = self._step(rules, now)
        self._tidy(now)
        return is_behind

    def _rules_now(self) -> Rules | None:
        """Rules to go by; None while there never were good ones."""
        if self._file is None:
            return _NO_RULES
        self._file.look()
        if self._file.rules is None:
            self._file.fall_back(storage.rules_text(self._db))
        return self._file.rules

    def _jumped(self, now: datetime) -> timedelta:
        """By how much the clock on the wall was set since the last turn."""
        second = self._steady()
        former, self._clocks = self._clocks, (now, second)
        if former is None:
            return timedelta(0)
        by = now - former[0] - timedelta(seconds=second - former[1])
        return by if abs(by) >= _JUMP else timedelta(0)

    def _take_over(self, now: datetime) -> None:
        lease_s = self._settings.alerts.lease_s
        self._held = storage.take_over(self._db, self._holder, now, lease_s)
        if self._held is None:
            return
        self._rules = None
        self._knows_gaps = False
        self._renewed_s = self._steady()
        cursor, watch = self._held
        _log.info("alerts_watched_here", holder=self._holder, event_seq=cursor.event_seq)
        if watch.now > now + _JUMP:  # the clock was set back while nobody watched
            self._move(now - watch.now, now)
        elif now - watch.now > _PAUSE + timedelta(seconds=lease_s):
            self._held = cursor, resumed(watch, now)

    def _move(self, by: timedelta, now: datetime) -> None:
        assert self._held is not None
        cursor, watch = self._held
        self._keep(cursor, watch, moved(watch, by), [], now)

    def _adopt(self, rules: Rules, now: datetime) -> None:
        if self._held is None:
            return
        cursor, watch = self._held
        # Not up to now: what happened meanwhile has not been read yet.
        at = min(watch.now, now)
        after, told = engine.adopt(rules, watch, at, cadence_of=self._cadences.of(rules))
        is_new = cursor.rules != rules.text
        self._rules = rules
        self._held = cursor, after
        if is_new or told or after.states != watch.states:
            cursor = replace(cursor, rules=rules.text)
            self._keep(cursor, watch, after, told, now)

    def _step(self, rules: Rules, now: datetime) -> bool:
        if self._held is None:
            return False
        cursor, watch = self._held
        limit = self._settings.alerts.batch
        batch = alert_facts.after(self._db, cursor.event_seq, cursor.arrival_id, limit, now)
        if batch.unreadable:
            _log.error("alert_events_unreadable", events=batch.unreadable[:20])
        after, told = engine.step(
            rules,
            watch,
            [*batch.facts, *self._gaps(watch, now, is_caught_up=batch.is_last)],
            now,
            cadence_of=self._cadences.of(rules),
            is_caught_up=batch.is_last,
        )
        cursor = replace(cursor, event_seq=batch.event_seq, arrival_id=batch.arrival_id)
        if told or after.memories != watch.memories or after.states != watch.states:
            self._keep(cursor, watch, after, told, now)
        else:
            self._held = cursor, after
        return not batch.is_last

    def _gaps(self, watch: Watch, now: datetime, *, is_caught_up: bool) -> list[GapTold]:
        """Gaps that opened or ended while nobody watched, if their events are gone: once after each take-over."""
        if self._knows_gaps or not is_caught_up:
            return []
        self._knows_gaps = True
        # The first frame ends a gap here at once, in the ledger with its next look.
        opened = {
            name: gap
            for name, gap in ledger.gaps_open(self._db).items()
            if ledger.first_after(self._db, name, gap.last_at, now) is None
        }
        known = {name for name, memory in watch.memories.items() if memory.gap_start is not None}
        new = [GapTold(name, now, opened[name].start_at) for name in sorted(opened.keys() - known)]
        return new + [GapTold(name, now, None) for name in sorted(known - opened.keys())]

    def _keep(
        self, cursor: Cursor, before: Watch, after: Watch, told: list[engine.Transition], now: datetime
    ) -> None:
        """Write, or forget everything when another process has taken over meanwhile."""
        written = storage.save(self._db, self._holder, cursor, before, after, told, self._settings, now)
        if written is None:
            self._held = None
            return
        self._renewed_s = self._steady()
        self._held = written, after
        for item in told:
            _log.info(f"alert_{item.kind}", alert=item.rule, key=item.alert_key, quiet=not item.is_announced)

    def _tidy(self, now: datetime) -> None:
        """Say that we still watch; forget what is old."""
        if self._held is None:
            return
        second, lease_s = self._steady(), self._settings.alerts.lease_s
        if second - self._renewed_s >= lease_s / 3:
            self._renewed_s = second
            if not storage.renew(self._db, self._holder, *self._held, now, lease_s):
                self._held = None
                return
        if second - self._pruned_s >= _PRUNE_EVERY_S:
            self._pruned_s = second
            storage.prune(self._db, now, self._settings.alerts.keep_days)


class _Cadences:
    """Seconds between frames: as the settings say, else as they came until an hour ago."""

    def __init__(self, settings: Settings, db: Database, clock: Clock, steady: Callable[[], float]) -> None:
        self._settings, self._db = settings, db
        self._clock, self._steady = clock, steady
        self._learned: dict[str, tuple[float, float | None]] = {}

    def of(self, rules: Rules) -> engine.CadenceOf:
        """For rules that ask for it."""
        return self._ask if rules.uses(Rate) else lambda _: None

    def _ask(self, instrument: str) -> float | None:
        known = self._learned.get(instrument)
        if known is not None and self._steady() - known[0] < _LEARN_EVERY_S:
            return known[1]
        found = learned_cadence(self._settings, self._db, instrument, self._clock() - _LEARN_FROM)
        self._learned[instrument] = self._steady(), found
        return found


def learned_cadence(settings: Settings, db: Database, instrument: str, until: datetime) -> float | None:
    """Seconds between frames of an instrument, as the settings say, else as its frames came before a time."""
    said = settings.plan(instrument).cadence_s
    if said is not None:
        return said
    came, _ = ledger.recent(db, instrument, until)
    return cadence.learn(came.times_s)
