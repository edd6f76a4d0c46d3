"""Gaps that open and close, told on the event stream the moment they do.

A gap is told once, however many processes look: the row in `open_gaps` that one of them writes, in one
transaction with the event, is the key.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from observatory import completeness
from observatory.ledger import Gap
from observatory.observing import State, timeline
from observatory.settings import Settings
from observatory.storage import coverage as storage
from observatory.storage.coverage import OpenGap
from observatory.storage.session import Database

log = structlog.get_logger(__name__)

_EVERY = timedelta(seconds=10)
_INSTANT = timedelta(microseconds=1)


class CoverageSweep:
    """Looks at each instrument every ten seconds.

    One that never sent anything owes its frames from the first look on.
    """

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings, self._db = settings, db
        self._next = datetime(1970, 1, 2, tzinfo=UTC)
        self._watched_since: datetime | None = None

    def sweep(self, now: datetime) -> None:
        """Tell of gaps that opened or closed since."""
        if self._next - _EVERY <= now < self._next:  # a clock that was set back does not stop us
            return
        self._next = now + _EVERY
        since = self._watched_since = self._watched_since or now
        known = storage.gaps_open(self._db)
        for name in completeness.instruments(self._db, self._settings):
            if name in known:
                self._follow(known[name], now)
            else:
                self._look(name, since, now)

    def _look(self, name: str, since: datetime, now: datetime) -> None:
        first_due_s = since.timestamp() + (self._settings.plan(name).cadence_s or 0.0)
        gap, last = completeness.current_gap(self._db, self._settings, name, now, first_due_s=first_due_s)
        if gap is None or gap.frames_lost < completeness.least_told(self._settings, name):
            return
        told = OpenGap(name, last or gap.start, gap.start, now)
        if storage.open_gap(self._db, told, _payload("open", told, None, gap)):
            log.warning("gap_opened", instrument=name, since=gap.start.isoformat())

    def _follow(self, told: OpenGap, now: datetime) -> None:
        name = told.instrument
        came = storage.first_after(self._db, name, told.last_at, now)
        if came is None:
            due_s = told.start_at.timestamp()
            gap, _ = completeness.current_gap(self._db, self._settings, name, now, first_due_s=due_s)
            if gap is not None:
                return
            end, why = now, self._reason(name, now)
        else:
            end, why = came, "frames"
        self._end(told, end, why, now)

    def _reason(self, name: str, now: datetime) -> str:
        """Why nothing is expected any more."""
        plan = completeness.plan_of(self._db, self._settings, name, now - _EVERY, now)
        state = timeline(plan, (now - _EVERY).timestamp(), now.timestamp()).state_at(now.timestamp())
        return "lapsed" if state is State.EXPECTED else state.word

    def _end(self, told: OpenGap, end: datetime, why: str, now: datetime) -> None:
        written = completeness.write_ledger(
            self._db,
            self._settings,
            told.instrument,
            told.last_at + _INSTANT,
            end,
            now=now,
            is_owed=told.last_frame is None,
        )
        gaps = written.gaps.of(written.gaps.select([State.EXPECTED]))
        payload = _payload("closed", told, end, *gaps)
        if storage.end_gap(self._db, told, payload | {"why": why}):
            log.info("gap_closed", instrument=told.instrument, since=told.start_at.isoformat(), why=why)


def _payload(state: str, told: OpenGap, end: datetime | None, *gaps: Gap) -> dict[str, Any]:
    return {
        "state": state,
        "instrument": told.instrument,
        "last_frame": told.last_frame,
        "gap": {
            "start": told.start_at,
            "end": end,
            "length_s": None if end is None else round((end - told.start_at).total_seconds(), 3),
            "frames_lost": sum(gap.frames_lost for gap in gaps),
            "state": State.EXPECTED.word,
            "is_open": end is None,
        },
    }
