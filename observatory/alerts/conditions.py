"""Conditions of rules: typed, and true, false or unknown of what the engine remembers.

Unknown (None) is what cannot be said: the quality of a frame that nothing judged, the area of a region in a
frame that was not searched. It neither raises nor clears an alert. ``all``, ``any`` and ``not`` combine the
three as Kleene's logic does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from observatory.alerts.facts import Judged
from observatory.alerts.memory import Memory, number_of

_JUST_AFTER = timedelta(milliseconds=1)
_DRIFT_HOLDS = timedelta(days=1)
"""A drift that was measured so long ago is that of a model that nobody measures any more."""


@dataclass(frozen=True)
class View:
    """What a condition may look at.

    Attributes
    ----------
    awake_since : datetime
        From when on the engine has missed nothing: silence before is not held against an instrument.
    cadence_s : float or None
        Seconds between frames, as settings or kind say.
    cause, event_type : str or None
        The one that this alert is about, where its rule fires for each of them.
    """

    memory: Memory
    now: datetime
    awake_since: datetime
    cadence_s: float | None = None
    cause: str | None = None
    event_type: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What a condition says now.

    Attributes
    ----------
    wake : datetime or None
        When it may say something else although nothing happens.
    value : float or None
        The number that it looked at, for the annotations.
    """

    truth: bool | None
    wake: datetime | None = None
    value: float | None = None


class Condition(Protocol):
    """Anything that can be asked."""

    def ask(self, view: View) -> Verdict:
        """Say whether it holds."""
        ...


@dataclass(frozen=True)
class Bound:
    """Limits of a number; all that are given must hold."""

    lt: float | None = None
    lte: float | None = None
    gt: float | None = None
    gte: float | None = None
    between: tuple[float, float] | None = None

    def holds(self, value: float) -> bool:
        """Whether a number lies within."""
        return (
            (self.lt is None or value < self.lt)
            and (self.lte is None or value <= self.lte)
            and (self.gt is None or value > self.gt)
            and (self.gte is None or value >= self.gte)
            and (self.between is None or self.between[0] <= value <= self.between[1])
        )

    @property
    def only_grows_true(self) -> bool:
        """Whether more never makes it false."""
        return self.lt is None and self.lte is None and self.between is None


@dataclass(frozen=True)
class Number:
    """A number of the newest frame: ``quality``, ``p_value``, ``latency_s``, of an enhancement."""

    name: str
    bound: Bound

    def ask(self, view: View) -> Verdict:
        """Say whether it lies within the bound."""
        frame = view.memory.frame
        return _compared(None if frame is None else number_of(frame, self.name), self.bound)


@dataclass(frozen=True)
class Flag:
    """Whether the newest frame is degraded, or is not."""

    wanted: bool

    def ask(self, view: View) -> Verdict:
        """Say whether it is as wanted."""
        frame = view.memory.frame
        if frame is None or frame.is_degraded is None:
            return Verdict(None)
        return Verdict(frame.is_degraded is self.wanted)


@dataclass(frozen=True)
class Cause:
    """Whether one of some causes spoils the newest frame, likely enough."""

    names: frozenset[str]
    probability: Bound

    def ask(self, view: View) -> Verdict:
        """Say whether one of them does."""
        frame = view.memory.frame
        if frame is None or frame.causes is None:
            return Verdict(None)
        wanted = self.names if view.cause is None else self.names & {view.cause}
        found = [frame.causes[name] for name in wanted if name in frame.causes]
        return Verdict(any(self.probability.holds(value) for value in found), value=max(found, default=None))


@dataclass(frozen=True)
class Word:
    """Whether a word of the newest frame (``sky_class``, ``status``, ``outcome``) is one of some."""

    name: str
    one_of: frozenset[str]

    def ask(self, view: View) -> Verdict:
        """Say whether it is."""
        frame = view.memory.frame
        word = None if frame is None else _word(frame, self.name)
        return Verdict(None if word is None else word in self.one_of)


def _word(frame: Judged, name: str) -> str | None:
    if name == "outcome":
        word = frame.enhancement.get("outcome")
        return None if word is None else str(word)
    return getattr(frame, name)


@dataclass(frozen=True)
class Region:
    """A total over the regions of one type in the newest frame."""

    event_type: str | None
    name: str
    bound: Bound

    def ask(self, view: View) -> Verdict:
        """Say whether it lies within the bound."""
        frame, event_type = view.memory.frame, view.event_type or self.event_type
        if frame is None or event_type is None or self.event_type not in (None, event_type):
            return Verdict(None)
        return _compared(number_of(frame, f"{self.name}.{event_type}"), self.bound)


@dataclass(frozen=True)
class Gap:
    """Whether frames are missing that were to be expected, and for how long."""

    longer_than: timedelta

    def ask(self, view: View) -> Verdict:
        """Say whether such a gap is open."""
        start = view.memory.gap_start
        if start is None:
            return Verdict(False)
        return _lasting(start, self.longer_than, view, (view.now - start).total_seconds())


@dataclass(frozen=True)
class Onset:
    """Whether aurora brightened no longer ago than this."""

    within: timedelta

    def ask(self, view: View) -> Verdict:
        """Say whether it did; the value is how many seconds ago."""
        began = view.memory.onset_at
        if began is None:
            return Verdict(False)
        ago_s = (view.now - began).total_seconds()
        if view.now - began > self.within:
            return Verdict(False, value=ago_s)
        return Verdict(True, began + self.within + _JUST_AFTER, ago_s)


@dataclass(frozen=True)
class Drift:
    """How far a model's answers to the instrument's frames differ from its own first ones."""

    bound: Bound

    def ask(self, view: View) -> Verdict:
        """Say whether the drift lies within the bound; unknown before the first measurement."""
        told, value = view.memory.drift_at, view.memory.drift
        if told is None or value is None:
            return Verdict(None)
        if view.now - told > _DRIFT_HOLDS:
            return Verdict(self.bound.holds(0.0), value=value)  # as if there were none, also for `clear_when`
        return Verdict(self.bound.holds(value), told + _DRIFT_HOLDS + _JUST_AFTER, value)


@dataclass(frozen=True)
class Silence:
    """Whether nothing has come for a while, expected or not."""

    longer_than: timedelta

    def ask(self, view: View) -> Verdict:
        """Say whether it is silent."""
        last = view.memory.last_arrival
        silent_s = None if last is None else (view.now - last).total_seconds()
        return _lasting(last, self.longer_than, view, silent_s)


def _lasting(since: datetime | None, longer_than: timedelta, view: View, value: float | None) -> Verdict:
    """Whether it has lasted so long, from ever on where nothing tells since when; unknown while it was not watched."""
    if since is not None and view.now < since + longer_than:
        return Verdict(False, since + longer_than, value)
    watched = view.awake_since + longer_than
    return Verdict(True, value=value) if view.now >= watched else Verdict(None, watched, value)


@dataclass(frozen=True)
class Frozen:
    """Whether the same bytes came again and again."""

    repeats: int

    def ask(self, view: View) -> Verdict:
        """Say whether they did."""
        return Verdict(view.memory.repeats >= self.repeats, value=float(view.memory.repeats))


@dataclass(frozen=True)
class Rate:
    """Frames that came in a span of time: how many, or how many times as many as the cadence says."""

    over: timedelta
    bound: Bound
    of_cadence: bool

    def ask(self, view: View) -> Verdict:
        """Say whether their number lies within the bound."""
        span_s, now_s = self.over.total_seconds(), view.now.timestamp()
        inside = [item for item in view.memory.arrivals if item[0] > now_s - span_s]
        count: float = sum(number for _, number in inside)
        if self.of_cadence:
            if view.cadence_s is None:
                return Verdict(None)
            count *= view.cadence_s / span_s
        wake = view.now + timedelta(seconds=inside[0][0] + span_s - now_s) if inside else None
        held = self.bound.holds(count)
        whole = view.awake_since + self.over
        if view.now < whole and not (held and self.bound.only_grows_true):
            return Verdict(None, whole if wake is None else min(wake, whole), count)
        return Verdict(held, wake, count)


@dataclass(frozen=True)
class Change:
    """How much a number of the newest frame differs from that of a while before.

    The frame before is the one nearest to that time; where none is at least half as old, it is unknown.
    """

    name: str
    event_type: str | None
    over: timedelta
    bound: Bound
    is_relative: bool

    @property
    def series(self) -> str:
        """Name of the series that it needs."""
        return f"{self.name}.{self.event_type}" if self.event_type else self.name

    def ask(self, view: View) -> Verdict:
        """Say whether the difference lies within the bound."""
        points = view.memory.series.get(self.series, ())
        if not points:
            return Verdict(None)
        span_s, (last_s, last) = self.over.total_seconds(), points[-1]
        former = [point for point in points if last_s - point[0] >= span_s / 2]
        if not former:
            return Verdict(None)
        before = min(former, key=lambda point: abs(last_s - span_s - point[0]))[1]
        difference = last - before
        if self.is_relative:
            if before == 0:
                return Verdict(None)
            difference /= abs(before)
        return _compared(difference, self.bound)


@dataclass(frozen=True)
class All:
    """Whether all of some conditions hold."""

    parts: tuple[Condition, ...]

    def ask(self, view: View) -> Verdict:
        """Say whether they do."""
        return _together([part.ask(view) for part in self.parts], decides=False)


@dataclass(frozen=True)
class AnyOf:
    """Whether at least one of some conditions holds."""

    parts: tuple[Condition, ...]

    def ask(self, view: View) -> Verdict:
        """Say whether one does."""
        return _together([part.ask(view) for part in self.parts], decides=True)


@dataclass(frozen=True)
class Not:
    """Whether a condition does not hold."""

    part: Condition

    def ask(self, view: View) -> Verdict:
        """Say whether it does not."""
        said = self.part.ask(view)
        return Verdict(None if said.truth is None else not said.truth, said.wake, said.value)


def _together(said: list[Verdict], *, decides: bool) -> Verdict:
    """Combine: one that is ``decides`` decides; else an unknown one leaves it unknown."""
    truths = [item.truth for item in said]
    truth = decides if decides in truths else None if None in truths else not decides
    wake = min((item.wake for item in said if item.wake is not None), default=None)
    value = next((item.value for item in said if item.truth is truth and item.value is not None), None)
    return Verdict(truth, wake, value)


def _compared(value: float | None, bound: Bound) -> Verdict:
    return Verdict(None) if value is None else Verdict(bound.holds(value), value=value)


def leaves(condition: Condition) -> Iterator[Condition]:
    """The conditions that a condition is made of."""
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from leaves(part)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    else:
        yield condition


OF_FRAMES: tuple[type, ...] = (Number, Flag, Cause, Word, Region, Change)
"""Conditions on frames, of which ``for_frames`` and ``clear_frames`` count."""
