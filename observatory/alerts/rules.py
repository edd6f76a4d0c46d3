"""Rules: when an alert fires, when it is over, and who is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property

from observatory.alerts.conditions import OF_FRAMES, Change, Condition, Rate, Silence, leaves
from observatory.alerts.memory import Watched
from observatory.alerts.transitions import Escalation

UNRECOGNISED = "unknown"
"""Stands for the instrument of files that nothing recognised; no glob means it."""


class Per(StrEnum):
    """For each of what, besides each instrument, a rule fires."""

    CAUSE = "cause"
    EVENT_TYPE = "event_type"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    instrument : str
        Name, or a glob such as ``aia-*``.
    for_frames, for_ : int, timedelta
        How many frames in a row, and how long, the condition must hold before it fires.
    clear_frames, clear_for : int, timedelta
        The same for its end.
    clear_when : Condition or None
        What must hold for its end; None: that ``when`` does not.
    inhibited_by : tuple of str
        Rules whose alert of the same instrument keeps this one's quiet.
    """

    name: str
    instrument: str
    when: Condition
    clear_when: Condition | None = None
    for_frames: int = 0
    for_: timedelta = timedelta(0)
    clear_frames: int = 0
    clear_for: timedelta = timedelta(0)
    per: Per | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    notify: tuple[str, ...] = ()
    repeat: timedelta | None = None
    group_by: tuple[str, ...] | None = None
    group_wait: timedelta | None = None
    escalations: tuple[Escalation, ...] = ()
    inhibited_by: tuple[str, ...] = ()

    def means(self, instrument: str) -> bool:
        """Whether the rule is about an instrument."""
        if instrument == self.instrument:
            return True
        return instrument != UNRECOGNISED and fnmatchcase(instrument, self.instrument)

    @property
    def is_named(self) -> bool:
        """Whether it names one instrument, which therefore ought to be there."""
        return not any(letter in self.instrument for letter in "*?[")

    @property
    def counts_frames(self) -> bool:
        """Whether its condition looks at frames, so that they can be counted."""
        return any(isinstance(leaf, OF_FRAMES) for leaf in leaves(self.when))

    @property
    def minds_silence(self) -> bool:
        """Whether it can fire for an instrument of which nothing ever came."""
        return any(isinstance(leaf, Silence) for leaf in leaves(self.when))


@dataclass(frozen=True)
class Rules:
    """All rules of a file, and its text."""

    rules: tuple[Rule, ...] = ()
    text: str = ""

    @cached_property
    def by_name(self) -> Mapping[str, Rule]:
        """The same by their names."""
        return {rule.name: rule for rule in self.rules}

    @cached_property
    def rank(self) -> Mapping[str, int]:
        """Order in which they are asked: those that inhibit others before these."""
        ranks: dict[str, int] = {}
        waiting = list(self.rules)
        while waiting:
            ready = [rule for rule in waiting if all(name in ranks for name in rule.inhibited_by)]
            for rule in ready or waiting:  # a circle is refused where rules are read
                ranks[rule.name] = len(ranks)
            waiting = [rule for rule in waiting if rule.name not in ranks]
        return ranks

    def watched(self, instrument: str) -> Watched:
        """What they ask for of an instrument over time."""
        conditions = [
            leaf
            for rule in self.of(instrument)
            for part in (rule.when, rule.clear_when)
            if part
            for leaf in leaves(part)
        ]
        rates = [leaf.over.total_seconds() for leaf in conditions if isinstance(leaf, Rate)]
        series = [(leaf.series, leaf.over.total_seconds()) for leaf in conditions if isinstance(leaf, Change)]
        return Watched.of(rates, series)

    def of(self, instrument: str) -> Sequence[Rule]:
        """Rules about an instrument, in the order in which they are asked."""
        found = [rule for rule in self.rules if rule.means(instrument)]
        return sorted(found, key=lambda rule: self.rank[rule.name])

    def uses(self, kind: type) -> bool:
        """Whether any has a condition of a kind."""
        return any(
            isinstance(leaf, kind)
            for rule in self.rules
            for part in (rule.when, rule.clear_when)
            if part is not None
            for leaf in leaves(part)
        )
