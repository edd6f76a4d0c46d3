"""The completeness ledger as the service tells it: whose, of which time, within bounds, in which shape."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from observatory import completeness
from observatory.ledger import YEARS, Count, Gap, Ledger
from observatory.observing import EXCUSES, State
from observatory.settings import Settings
from observatory.storage import coverage as storage
from observatory.storage.coverage import TooManyFramesError
from observatory.storage.session import Database
from service.context import Context
from service.filters import TimeRange
from service.metrics import utc_now
from service.problems import ParameterError

MOST_FRAMES = 1_500_000
"""Frames that one request may read; of one instrument at most `storage.MOST_FRAMES`."""

MOST_DAYS = 366
_MOST_HOURLY_DAYS = 31
_DAY = timedelta(days=1)
_LEDGERS_A_SCRAPE = 200
DATE_WORDS = "a day, UTC, such as 2026-11-20"
TIME_WORDS = (
    "START/END in ISO 8601, UTC when no offset is given, END not included; START is needed, `..` ends now, "
    f"such as 2026-11-01/2026-12-01; at most {MOST_DAYS} days, {_MOST_HOURLY_DAYS} with bin=1h; today when "
    "neither time nor date is given"
)


@dataclass(frozen=True)
class Span:
    """A span of time, half-open."""

    start: datetime
    end: datetime


def span_of(time: TimeRange | None, date: dt.date | None, *, is_hourly: bool = False) -> Span:
    """Span of time that a request is about.

    Raises
    ------
    ParameterError
        When it is open at its start, too long, outside the calendar, or said twice.
    """
    if time is not None and date is not None:
        raise ParameterError("date", "is given beside time", "either date or time")
    now = utc_now()
    if time is None:
        on = date or now.date()
        if on.year not in YEARS:
            raise ParameterError("date", "lies outside the calendar", DATE_WORDS)
        midnight = datetime.combine(on, dt.time(), UTC)
        return Span(midnight, midnight + _DAY)
    most = _MOST_HOURLY_DAYS if is_hourly else MOST_DAYS
    start = time.start
    if start is None or start.year not in YEARS:
        raise ParameterError("time", "needs a START inside the calendar", TIME_WORDS)
    end = time.end or max(now, start + timedelta(seconds=1))
    if end.year not in YEARS:
        raise ParameterError("time", "needs an END inside the calendar", TIME_WORDS)
    if end - start > most * _DAY:
        raise ParameterError("time", f"needs a START no more than {most} days before its END", TIME_WORDS)
    return Span(start, end)


def ledgers(
    here: Context, span: Span, instrument: str | None, bin_s: float | None = None
) -> Iterator[tuple[str, Ledger]]:
    """Ledgers of one instrument, or of all, one after the other.

    Raises
    ------
    ParameterError
        When the span holds more frames than a request may read.
    """
    names = completeness.instruments(here.db, here.settings)
    left = MOST_FRAMES
    for name in names if instrument is None else [name for name in names if name == instrument]:
        most = min(left, storage.MOST_FRAMES)
        try:
            written = completeness.write_ledger(
                here.db,
                here.settings,
                name,
                span.start,
                span.end,
                now=utc_now(),
                bin_s=bin_s,
                most_frames=most,
            )
        except TooManyFramesError as error:
            way_out = "name one instrument" if instrument is None else "ask for a shorter time"
            allowed = f"{TIME_WORDS}; with no more than {_most_words(instrument)}, so {way_out}"
            raise ParameterError("time", "holds too many frames for one request", allowed) from error
        left -= written.total.frames
        yield name, written


def _most_words(instrument: str | None) -> str:
    of_one = min(MOST_FRAMES, storage.MOST_FRAMES)
    if instrument is not None:
        return f"{of_one:,} frames of an instrument"
    return f"{MOST_FRAMES:,} frames, {of_one:,} of them of one instrument"


def shares(settings: Settings, db: Database) -> list[tuple[str, str, float]]:
    """Instrument, state and share of the last day, for Prometheus."""
    now = utc_now()
    found: list[tuple[str, str, float]] = []
    for name in completeness.instruments(db, settings)[:_LEDGERS_A_SCRAPE]:
        try:
            total = completeness.write_ledger(db, settings, name, now - _DAY, now, now=now).total
        except TooManyFramesError:
            continue
        for state in ("received", "usable", "missing"):
            share = total.share(getattr(total, state))
            if share is not None:
                found.append((name, state, share))
        excused = sum(total.excused.values())
        if total.expected + excused:
            found.append((name, "excused", excused / (total.expected + excused)))
    return found


COUNTS = ("expected", "received", "usable", "waiting", "unusable", "frozen", "missing", "extra", "frames")


def count_as_json(count: Count) -> dict[str, Any]:
    """One span's numbers."""
    ratios = {
        state: _rounded(count.share(getattr(count, state))) for state in ("received", "usable", "missing")
    }
    return {
        "start": count.start,
        "end": count.end,
        **{name: getattr(count, name) for name in COUNTS},
        "excused": dict(count.excused),
        "ratio": ratios,
    }


def ledger_as_json(name: str, written: Ledger, *, with_bins: bool) -> dict[str, Any]:
    """One instrument's ledger."""
    gaps = {state.word: len(written.gaps.select([state])) for state in State}
    return {
        "instrument": name,
        "cadence_s": _rounded(written.cadence_s),
        "is_cadence_learned": written.is_learned,
        **count_as_json(written.total),
        "undated": written.undated,
        "gaps": gaps,
        "lateness_s": written.lateness_s,
        "due": written.due,
        "bins": [count_as_json(count) for count in written.bins] if with_bins else None,
    }


def gap_as_json(name: str, gap: Gap) -> dict[str, Any]:
    """One gap."""
    return {
        "instrument": name,
        "start": gap.start,
        "end": gap.end,
        "length_s": round(gap.length_s, 3),
        "frames_lost": gap.frames_lost,
        "state": gap.state,
        "is_open": gap.is_open,
    }


def row(name: str, written: Ledger, count: Count) -> list[Any]:
    """One span of one instrument as a row of `service.columns.LEDGERS`."""
    head = (count.start, count.end, name, _rounded(written.cadence_s), written.is_learned)
    excused = (count.excused[state.word] for state in EXCUSES)
    return [*head, *(getattr(count, word) for word in COUNTS), *excused]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
