"""What the engine remembers of an instrument between facts: little, and of bounded size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from observatory.alerts.facts import Arrived, DriftTold, Fact, GapTold, Judged, OnsetTold, Sighted

_AHEAD = timedelta(minutes=10)  # a frame's time that lies so far after its arrival is that of no clock
_NEW_TIMELINE_FRAMES = 5
_NEW_TIMELINE_FOR = timedelta(minutes=2)
_BUCKETS = 30
_POINTS = 120
_EMPTY: Mapping[str, tuple[tuple[float, float], ...]] = {}


@dataclass(frozen=True)
class Watched:
    """What rules ask for over time, so that no more is kept.

    Attributes
    ----------
    rate_step_s : float
        Width of the buckets in which arrivals are counted; 0: nobody asks.
    rate_span_s : float
        Longest window of a rate.
    series : mapping
        Name of a number (see `number_of`) to the longest span over which its change is asked, in seconds.
    """

    rate_step_s: float = 0.0
    rate_span_s: float = 0.0
    series: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, rates_s: list[float], series: list[tuple[str, float]]) -> Watched:
        """Put together what several conditions ask for."""
        spans: dict[str, float] = {}
        for name, span_s in series:
            spans[name] = max(span_s, spans.get(name, 0.0))
        step = max(min(rates_s) / _BUCKETS, max(rates_s) / 600, 1e-3) if rates_s else 0.0
        return cls(step, max(rates_s, default=0.0), spans)


@dataclass(frozen=True)
class LateRun:
    """Frames in a row that are older than the newest: late ones, or a camera whose clock was set back."""

    frames: int
    began_at: datetime
    newest_obs: datetime


@dataclass(frozen=True)
class Memory:
    """One instrument.

    Attributes
    ----------
    frame : Judged or None
        The newest by its own time.
    newest_obs : datetime or None
        Start of its exposure.
    last_arrival : datetime or None
        When anything came last.
    gap_start : datetime or None
        When the first frame of the gap that is open was due.
    onset_at : datetime or None
        When aurora last brightened, as far as it was told in time.
    drift, drift_at : float, datetime, or None
        What was last measured, 0 to 1, and when it was told.
    sha256, repeats : str, int
        Bytes that came last, and how often they came again without others between.
    arrivals : tuple of (float, int)
        POSIX seconds at which a bucket begins, and how many frames came in it.
    series : mapping
        Number's name to (POSIX seconds, value), oldest first.
    """

    frame: Judged | None = None
    newest_obs: datetime | None = None
    late: LateRun | None = None
    last_arrival: datetime | None = None
    gap_start: datetime | None = None
    onset_at: datetime | None = None
    drift: float | None = None
    drift_at: datetime | None = None
    sha256: str = ""
    repeats: int = 0
    arrivals: tuple[tuple[float, int], ...] = ()
    series: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


def number_of(frame: Judged, name: str) -> float | None:
    """A number of a frame by its name, such as ``quality``, ``area_msh.CH`` or ``trusted_fraction``."""
    word, _, event_type = name.partition(".")
    if event_type:
        value = getattr(frame.regions.get(event_type), word, None)
    elif word in ("quality", "p_value", "latency_s"):
        value = getattr(frame, word)
    else:
        value = frame.sky.get(word, frame.enhancement.get(word))
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def absorb(memory: Memory, fact: Fact, now: datetime, watched: Watched) -> tuple[Memory, bool]:
    """Take a fact in.

    Parameters
    ----------
    now : datetime
        The engine's time, at which the fact counts.

    Returns
    -------
    tuple of (Memory, bool)
        And whether it is a frame by which rules count: late ones are none.
    """
    if isinstance(fact, Judged):
        return _judged(memory, fact, now, watched)
    if isinstance(fact, Arrived):
        memory = _without_gap(_came(memory, now), fact)
        return replace(memory, arrivals=_counted(memory.arrivals, now, watched)), False
    if isinstance(fact, Sighted):
        repeats = memory.repeats + 1 if fact.sha256 == memory.sha256 else 0
        return replace(_came(memory, now), sha256=fact.sha256, repeats=repeats), False
    if isinstance(fact, OnsetTold):
        is_newer = memory.onset_at is None or fact.time > memory.onset_at
        return replace(memory, onset_at=fact.time) if is_newer else memory, False
    if isinstance(fact, DriftTold):
        return replace(memory, drift=fact.ratio, drift_at=now), False
    assert isinstance(fact, GapTold)
    return replace(memory, gap_start=fact.start), False


def _came(memory: Memory, now: datetime) -> Memory:
    return memory if memory.last_arrival == now else replace(memory, last_arrival=now)


def _without_gap(memory: Memory, frame: Arrived) -> Memory:
    """End the gap with its first frame: the ledger looks only every few seconds."""
    start = memory.gap_start
    if start is None or (frame.date_obs is not None and frame.date_obs < start):
        return memory
    return replace(memory, gap_start=None)


def _judged(memory: Memory, frame: Judged, now: datetime, watched: Watched) -> tuple[Memory, bool]:
    if memory.last_arrival is None:  # the engine began between its arrival and its result
        memory = _came(memory, now)
    observed = frame.date_obs
    if observed is not None and observed > (frame.received_at or now) + _AHEAD:
        observed = None  # its clock is wrong: it counts, but nothing is late for being before it
    late, is_late = _lateness(memory, observed, now)
    if is_late:
        return replace(memory, late=late), False
    newest = memory.newest_obs if observed is None else observed
    series = _with_numbers(memory.series, frame, now, watched)
    return replace(memory, frame=frame, newest_obs=newest, late=None, series=series), True


def _lateness(memory: Memory, observed: datetime | None, now: datetime) -> tuple[LateRun | None, bool]:
    """Whether a frame is older than the newest; when all are for a while, the camera's clock was set back."""
    if observed is None or memory.newest_obs is None or observed >= memory.newest_obs:
        return None, False
    run = memory.late
    if run is None or observed < run.newest_obs:
        run = LateRun(1, now, observed)
    else:
        run = LateRun(run.frames + 1, run.began_at, observed)
    is_new_timeline = run.frames >= _NEW_TIMELINE_FRAMES and now - run.began_at >= _NEW_TIMELINE_FOR
    return run, not is_new_timeline


def _counted(
    arrivals: tuple[tuple[float, int], ...], now: datetime, watched: Watched
) -> tuple[tuple[float, int], ...]:
    if not watched.rate_step_s:
        return ()
    second = now.timestamp()
    kept = [item for item in arrivals if item[0] > second - watched.rate_span_s - watched.rate_step_s]
    if kept and second < kept[-1][0] + watched.rate_step_s:
        return (*kept[:-1], (kept[-1][0], kept[-1][1] + 1))
    return (*kept, (second, 1))


def _with_numbers(
    series: Mapping[str, tuple[tuple[float, float], ...]], frame: Judged, now: datetime, watched: Watched
) -> Mapping[str, tuple[tuple[float, float], ...]]:
    if not watched.series:
        return _EMPTY
    second = now.timestamp()
    found = {}
    for name, span_s in watched.series.items():
        points = series.get(name, ())
        value = number_of(frame, name)
        if value is not None:
            points = _thinned((*points, (second, value)), second - 1.5 * span_s, span_s / _POINTS)
        if points:
            found[name] = points
    return found


def _thinned(
    points: tuple[tuple[float, float], ...], oldest_s: float, least_s: float
) -> tuple[tuple[float, float], ...]:
    """Drop what is too old, and the middle one of three that lie closer together than needed."""
    kept = tuple(point for point in points if point[0] >= oldest_s)
    if len(kept) >= 3 and kept[-1][0] - kept[-3][0] < least_s:
        return (*kept[:-2], kept[-1])
    return kept


def moved(memory: Memory, by: timedelta) -> Memory:
    """The same after the clock jumped: what was a minute ago still is a minute ago."""
    by_s = by.total_seconds()

    def later(moment: datetime | None) -> datetime | None:
        return None if moment is None else moment + by

    late = memory.late and replace(memory.late, began_at=memory.late.began_at + by)
    return replace(
        memory,
        late=late,
        last_arrival=later(memory.last_arrival),
        onset_at=later(memory.onset_at),
        drift_at=later(memory.drift_at),
        arrivals=tuple((second + by_s, count) for second, count in memory.arrivals),
        series={
            name: tuple((second + by_s, value) for second, value in points)
            for name, points in memory.series.items()
        },
    )
