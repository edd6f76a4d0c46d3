"""The ledger of an instrument: settings and database put together for `observatory.coverage`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from observatory.coverage import ledger
from observatory.instruments import instrument_names
from observatory.ledger import Came, Gap, Ledger, Worth
from observatory.observing import Plan, State
from observatory.settings import Settings
from observatory.storage import catalogue
from observatory.storage import coverage as storage
from observatory.storage.session import Database

_LATEST_S = 86400.0  # no frame is waited for longer, whatever the lateness of others
_SOONEST_S = 5.0
_FROZEN_CADENCES = 10.0  # between two sightings of the same bytes; what comes later was copied, not repeated

_GAP_FRAMES = 3  # of an instrument that the settings do not name


def instruments(db: Database, settings: Settings) -> list[str]:
    """Instruments that have frames or are configured."""
    return sorted({name for name, _ in catalogue.instruments_seen(db)} | settings.instruments.keys())


def askable(db: Database, settings: Settings) -> list[str]:
    """Instruments that may be asked for: these, and the known ones; any other name is a slip of the pen."""
    return sorted({*instrument_names(), *instruments(db, settings)})


def write_ledger(
    db: Database,
    settings: Settings,
    instrument: str,
    start: datetime,
    end: datetime,
    *,
    now: datetime,
    bin_s: float | None = None,
    most_frames: int = storage.MOST_FRAMES,
    is_owed: bool = False,
) -> Ledger:
    """The ledger of one instrument in a span of time.

    Parameters
    ----------
    is_owed : bool
        Whether frames were expected before the first one ever came, too.

    Raises
    ------
    TooManyFramesError
        When the span holds more than ``most_frames``.
    """
    plan = plan_of(db, settings, instrument, start, end)
    came = storage.came(db, instrument, start, end, most_frames=most_frames)
    if is_owed:
        came = replace(came, first_s=None)
    due_s = now.timestamp() - lateness_s(plan, came)
    span = start.timestamp(), end.timestamp()
    written = ledger(plan, came, *span, due_s=due_s, bin_s=bin_s)
    repeated = _with_repeats(db, instrument, came, written)
    return ledger(plan, repeated, *span, due_s=due_s, bin_s=bin_s) if repeated is not None else written


def plan_of(db: Database, settings: Settings, instrument: str, start: datetime, end: datetime) -> Plan:
    """When frames were to be expected, with what people said of closures."""
    noted = storage.closed(db, instrument, start, end)
    return settings.plan(instrument).with_closures(closure.as_window for closure in noted)


def lateness_s(plan: Plan, came: Came) -> float:
    """How late a frame may be before it is missing: as the settings say, else as nineteen of twenty are."""
    if plan.lateness_s is not None:
        return plan.lateness_s
    if not len(came.lateness_s):
        return _SOONEST_S
    return float(np.clip(np.percentile(came.lateness_s, 95), _SOONEST_S, _LATEST_S))


def _with_repeats(db: Database, instrument: str, came: Came, written: Ledger) -> Came | None:
    """Add the times at which a frozen camera sent the same bytes again; None when there are none.

    They make no frames of their own, so they can lie in gaps alone, and are those of the frame before.
    """
    places = written.gaps.select([State.EXPECTED])
    if not len(places) or not len(came.times_s) or written.cadence_s is None:
        return None
    before = np.searchsorted(came.times_s, written.gaps.start_s[places], side="left") - 1
    last = np.unique(came.times_s[before[before >= 0]])
    seen = storage.sightings(db, instrument, [float(moment) for moment in last])
    times = [
        time
        for moment, sightings in seen.items()
        for time in _repeats(moment, sightings, written.cadence_s, came.times_s)
    ]
    if not times:
        return None
    both = np.concatenate([came.times_s, times])
    order = np.argsort(both, kind="stable")
    worth = np.concatenate([came.worth, np.full(len(times), Worth.FROZEN, np.int8)])
    return Came(**(vars(came) | {"times_s": both[order], "worth": worth[order]}))


def _repeats(
    moment_s: float, sightings: Sequence[float], cadence_s: float, times_s: np.ndarray
) -> list[float]:
    place = int(np.searchsorted(times_s, moment_s, side="right"))
    following_s = float(times_s[place]) if place < len(times_s) else np.inf
    found = []
    for former, time in pairwise(sightings):
        if time - former > _FROZEN_CADENCES * cadence_s:
            break
        if moment_s + cadence_s / 2 < time < following_s - cadence_s / 2:
            found.append(time)
    return found


def current_gap(
    db: Database, settings: Settings, instrument: str, now: datetime, *, first_due_s: float
) -> tuple[Gap | None, datetime | None]:
    """The gap that goes on now, however short, and the moment of the last frame.

    None while frames are not expected (night, maintenance) and of an archive that is taken in. An instrument that
    never sent any has no last frame; it has a gap when the settings give its cadence.

    Parameters
    ----------
    first_due_s : float
        When an instrument that never sent any owed its first frame: POSIX seconds.
    """
    came, is_live = storage.recent(db, instrument, now + timedelta(seconds=1))
    plan = settings.plan(instrument)
    last: datetime | None = None
    if len(came.times_s):
        start_s = float(came.times_s[-1])
        last = datetime.fromtimestamp(start_s, UTC)
    elif plan.cadence_s is not None:
        start_s = first_due_s - plan.cadence_s / 2
    else:
        return None, None
    due_s = now.timestamp() - lateness_s(plan, came)
    if (last is not None and not is_live) or due_s <= start_s:
        return None, last
    plan = plan_of(db, settings, instrument, datetime.fromtimestamp(start_s, UTC), now)
    written = ledger(plan, came, start_s, now.timestamp(), due_s=due_s)
    open_now = [gap for gap in written.gaps.of(written.gaps.select()) if gap.is_open]
    if not open_now or open_now[-1].state != State.EXPECTED.word:
        return None, last
    return open_now[-1], last


def least_told(settings: Settings, instrument: str) -> int:
    """How many frames must be missing in a row before anybody is told."""
    station = settings.instruments.get(instrument)
    return station.gap_frames if station is not None else _GAP_FRAMES
