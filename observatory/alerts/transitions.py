"""What the engine says: an alert fired, changed or was resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What became of an alert."""

    FIRED = "fired"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Escalation:
    """Who is told when an alert still fires a while after it fired.

    Attributes
    ----------
    unless : str or None
        ``acknowledged``: not when a human has said that they know.
    """

    after: timedelta
    notify: tuple[str, ...]
    unless: str | None = "acknowledged"


@dataclass(frozen=True)
class Transition:
    """A change of one alert.

    Attributes
    ----------
    alert_key : str
        Tells this alert of the rule from its others: ``instrument=kso-halpha``, and where the rule fires
        for each cause or type of event, that: ``instrument=kso-halpha,cause=cloud``.
    at : datetime
        When it changed; for a rule with ``for`` or ``for_frames``, that is when it was long enough.
    since : datetime
        When its condition began to hold.
    labels : mapping
        Those of the rule with ``alertname``, ``instrument`` and, where the rule fires for each of them,
        ``cause`` or ``event_type``: they never change while an alert fires.
    evidence : mapping
        Plain JSON: ``frames`` (how many), ``cause``, ``first_frame_id``, ``last_frame_id``,
        ``worst_frame_id``, ``worst_score``, ``value``, ``reason`` (of an end that no frame brought).
    notify : tuple of str
        Channels.
    repeat : timedelta or None
        After which people are told again while it fires.
    group_by : tuple of str or None
        Labels by which notifications go together; None: as the settings say.
    is_announced : bool
        Whether people are to be told of this change now. Not of updates, nor while another alert inhibits
        it. When that one ends first, an UPDATED comes that is announced: it is then to be sent as one that
        fires. The end of an alert that was never announced is not announced either.
    inhibited_by : str or None
        Name of the rule whose alert of the same instrument keeps this one quiet. Where that one fires later,
        an UPDATED that is not announced says so, and another one when it has ended.
    """

    rule: str
    alert_key: str
    kind: Kind
    at: datetime
    since: datetime
    instrument: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    evidence: Mapping[str, Any]
    notify: tuple[str, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    repeat: timedelta | None = None
    group_by: tuple[str, ...] | None = None
    group_wait: timedelta | None = None
    is_announced: bool = True
    inhibited_by: str | None = None

    @property
    def is_firing(self) -> bool:
        """Whether the alert fires after this change."""
        return self.kind is not Kind.RESOLVED

    @property
    def severity(self) -> str:
        """The label of that name, else ``warning``."""
        return self.labels.get("severity", "warning")
