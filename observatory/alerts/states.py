"""What the engine knows: which alerts are pending or fire, and what it remembers of instruments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from observatory.alerts import memory as memories
from observatory.alerts.facts import Judged
from observatory.alerts.memory import Memory
from observatory.alerts.transitions import Transition


@dataclass(frozen=True, order=True)
class AlertKey:
    """One alert of one rule.

    Attributes
    ----------
    per, scope : str or None
        ``cause`` or ``event_type``, and which, where the rule fires for each of them.
    """

    rule: str
    instrument: str
    per: str | None = None
    scope: str | None = None

    @property
    def text(self) -> str:
        """The alert among the others of its rule."""
        word = f"instrument={self.instrument}"
        return word if self.per is None else f"{word},{self.per}={self.scope}"


@dataclass(frozen=True)
class Tally:
    """Frames for which a condition held.

    Attributes
    ----------
    causes : mapping
        Leading cause to the number of frames.
    """

    frames: int = 0
    causes: Mapping[str, int] = field(default_factory=dict)
    first_frame_id: int | None = None
    last_frame_id: int | None = None
    worst_frame_id: int | None = None
    worst_quality: float | None = None

    def with_frame(self, frame: Judged) -> Tally:
        """The same with one more."""
        causes = dict(self.causes)
        if frame.leading_cause is not None:
            causes[frame.leading_cause] = causes.get(frame.leading_cause, 0) + 1
        is_worse = frame.quality is not None and (
            self.worst_quality is None or frame.quality < self.worst_quality
        )
        return Tally(
            frames=self.frames + 1,
            causes=causes,
            first_frame_id=frame.frame_id if self.first_frame_id is None else self.first_frame_id,
            last_frame_id=frame.frame_id,
            worst_frame_id=frame.frame_id if is_worse else self.worst_frame_id,
            worst_quality=frame.quality if is_worse else self.worst_quality,
        )

    @property
    def cause(self) -> str | None:
        """What spoils most of them; of several the one that came first."""
        return max(self.causes, key=lambda name: self.causes[name]) if self.causes else None


@dataclass(frozen=True)
class AlertState:
    """An alert that is pending or fires; one that does neither has no state.

    Attributes
    ----------
    since : datetime
        When its condition began to hold.
    fired : Transition or None
        What was said when it fired, or was last updated; None: it is pending.
    clear_since, clear_frames : datetime or None, int
        From when on, and for how many frames, the condition of its end has held.
    """

    key: AlertKey
    since: datetime
    tally: Tally = field(default_factory=Tally)
    value: float | None = None
    fired: Transition | None = None
    is_announced: bool = False
    clear_since: datetime | None = None
    clear_frames: int = 0


@dataclass(frozen=True)
class Watch:
    """All that the engine knows.

    Attributes
    ----------
    now : datetime
        Up to when it has thought; it never goes back but by `moved`.
    awake_since : datetime
        From when on it has missed nothing.
    wakes : mapping
        When an alert must be looked at although nothing happens; it follows from the rest.
    """

    now: datetime
    awake_since: datetime
    memories: Mapping[str, Memory] = field(default_factory=dict)
    states: Mapping[AlertKey, AlertState] = field(default_factory=dict)
    wakes: Mapping[AlertKey, datetime] = field(default_factory=dict)


def moved(watch: Watch, by: timedelta) -> Watch:
    """The same after the clock jumped by some time: spans of time go on as if it had not.

    What the ledger says of gaps is not moved with it, and counts from now on alone.
    """

    def later(state: AlertState) -> AlertState:
        clear_since = state.clear_since and state.clear_since + by
        return replace(state, since=state.since + by, clear_since=clear_since)

    return Watch(
        now=watch.now + by,
        awake_since=watch.now + by,
        memories={name: memories.moved(memory, by) for name, memory in watch.memories.items()},
        states={key: later(state) for key, state in watch.states.items()},
        wakes={key: wake + by for key, wake in watch.wakes.items()},
    )


def resumed(watch: Watch, now: datetime) -> Watch:
    """The same after nobody watched for a while: silence counts from now on."""
    return replace(watch, awake_since=max(watch.awake_since, now))
