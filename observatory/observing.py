"""When an instrument is expected to observe: a line of time, cut where that changes. No I/O.

Daylight or night come from the site, eclipses from the orbit, maintenance and closures from what people
said. Where several reasons hold at once the one that people gave is told: maintenance, then weather, then
eclipse, then night.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np

from observatory import sdo
from observatory.sky import Seconds, Site, sun_above


class Habit(StrEnum):
    """When an instrument can see what it looks at."""

    DAY = "day"
    NIGHT = "night"
    ALWAYS = "always"


class State(IntEnum):
    """Whether frames are expected, and if not, why not."""

    EXPECTED = 0
    NIGHT = 1
    ECLIPSE = 2
    MAINTENANCE = 3
    WEATHER = 4

    @property
    def word(self) -> str:
        """Name as it is told: by day a camera of the night rests, too, which is called night all the same."""
        return "missing" if self is State.EXPECTED else self.name.lower()


EXCUSES = (State.NIGHT, State.ECLIPSE, State.MAINTENANCE, State.WEATHER)
_FIRST_TO_TELL = (State.NIGHT, State.ECLIPSE, State.WEATHER, State.MAINTENANCE)  # later ones win


@dataclass(frozen=True)
class Window:
    """A span of time in which no frames are expected, and what for."""

    start: datetime
    end: datetime
    reason: str = ""


@dataclass(frozen=True)
class Weekly:
    """The same every week, or every day.

    Attributes
    ----------
    weekdays : frozenset of int
        0 is Monday.
    at : time
        When it begins, UTC.
    """

    weekdays: frozenset[int]
    at: time
    length: timedelta
    reason: str = ""

    def between(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """All its spans that touch a span."""
        day = datetime.fromtimestamp(start_s, UTC).date() - timedelta(days=8)
        found = []
        while (begin := datetime.combine(day, self.at, UTC)).timestamp() < end_s:
            if day.weekday() in self.weekdays:
                found.append((begin.timestamp(), (begin + self.length).timestamp()))
            day += timedelta(days=1)
        return [(begin, end) for begin, end in found if end > start_s]


@dataclass(frozen=True)
class Observing:
    """What is known of an instrument's place and habits.

    Attributes
    ----------
    limit_deg : float
        Height of the Sun above which a camera of the day works, or below which one of the night does.
    is_sdo : bool
        Whether it rides SDO, whose Sun the Earth covers at times.
    """

    habit: Habit = Habit.ALWAYS
    site: Site | None = None
    limit_deg: float = 0.0
    is_sdo: bool = False


@dataclass(frozen=True)
class Plan:
    """All that says when frames of one instrument are expected.

    Attributes
    ----------
    cadence_s : float or None
        Seconds between frames; None: nobody said, so it is learned.
    since : datetime or None
        Before it nothing is expected; None: before the first frame.
    lateness_s : float or None
        How late frames may be before they count as missing; None: as late as they mostly are.
    """

    observing: Observing = Observing()
    cadence_s: float | None = None
    since: datetime | None = None
    lateness_s: float | None = None
    maintenance: tuple[Window | Weekly, ...] = ()
    closures: tuple[Window, ...] = ()

    def with_closures(self, more: Iterable[Window]) -> Plan:
        """The same with further closures."""
        return Plan(**(vars(self) | {"closures": (*self.closures, *more)}))


@dataclass(frozen=True)
class Timeline:
    """A span of time, cut into pieces of one state each.

    Attributes
    ----------
    edges_s : ndarray of float, shape (n + 1,)
        POSIX seconds.
    states : ndarray of int8, shape (n,)
        Values of `State`.
    """

    edges_s: Seconds
    states: np.ndarray[Any, np.dtype[np.int8]]

    def state_at(self, moment_s: float) -> State:
        """State at a moment inside."""
        place = int(np.searchsorted(self.edges_s, moment_s, side="right")) - 1
        return State(int(self.states[min(max(place, 0), len(self.states) - 1)]))


def timeline(plan: Plan, start_s: float, end_s: float) -> Timeline:
    """Cut a span of time into what was to be expected.

    Raises
    ------
    ValueError
        When the end is not after the start.
    """
    if not end_s > start_s:
        raise ValueError("a line of time needs an end after its start")
    spans = _spans(plan, start_s, end_s)
    edges = {start_s, end_s}
    for _, begin, end in spans:
        edges |= {min(max(begin, start_s), end_s), min(max(end, start_s), end_s)}
    edges_s = np.array(sorted(edges))
    middles = (edges_s[:-1] + edges_s[1:]) / 2
    states = np.zeros(len(middles), np.int8)
    for state in _FIRST_TO_TELL:
        for kind, begin, end in spans:
            if kind is state:
                states[(middles > begin) & (middles < end)] = state
    return _joined(edges_s, states)


def _joined(edges_s: Seconds, states: np.ndarray) -> Timeline:
    turns = np.flatnonzero(states[1:] != states[:-1]) + 1
    kept = np.concatenate([[0], turns])
    return Timeline(np.concatenate([edges_s[kept], edges_s[-1:]]), states[kept])


def _spans(plan: Plan, start_s: float, end_s: float) -> list[tuple[State, float, float]]:
    found = [(State.NIGHT, *span) for span in _blind(plan.observing, start_s, end_s)]
    if plan.observing.is_sdo:
        found += [(State.ECLIPSE, *span) for span in sdo.eclipses(start_s, end_s)]
    for item in plan.maintenance:
        found += [(State.MAINTENANCE, *span) for span in _between(item, start_s, end_s)]
    for item in plan.closures:
        found += [(State.WEATHER, *span) for span in _between(item, start_s, end_s)]
    return found


def _between(item: Window | Weekly, start_s: float, end_s: float) -> Sequence[tuple[float, float]]:
    if isinstance(item, Weekly):
        return item.between(start_s, end_s)
    begin, end = item.start.timestamp(), item.end.timestamp()
    return [(begin, end)] if begin < end_s and end > start_s else []


def _blind(observing: Observing, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """Spans in which the camera of the day has no Sun, or that of the night too much of it."""
    if observing.habit is Habit.ALWAYS or observing.site is None:
        return []
    above = sun_above(observing.site, observing.limit_deg, start_s, end_s)
    if observing.habit is Habit.NIGHT:
        return above
    edges = [start_s, *(edge for span in above for edge in span), end_s]
    return [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if end > begin]
