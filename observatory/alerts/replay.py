"""The engine over the past, for whoever asks which alerts a rule would have raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from observatory.alerts import engine
from observatory.alerts.engine import CadenceOf
from observatory.alerts.facts import Fact
from observatory.alerts.rules import Rules
from observatory.alerts.states import Watch
from observatory.alerts.transitions import Kind, Transition

_PIECE = 1000


@dataclass(frozen=True)
class PastAlert:
    """An alert that would have been raised.

    Attributes
    ----------
    resolved_at : datetime or None
        None: it still fired at the end.
    is_announced : bool
        Whether anybody would have been told.
    """

    rule: str
    alert_key: str
    instrument: str
    severity: str
    since: datetime
    fired_at: datetime
    resolved_at: datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    evidence: Mapping[str, Any]
    is_announced: bool


def replay(
    rules: Rules,
    facts: Iterable[Fact],
    start: datetime,
    end: datetime,
    *,
    cadence_of: CadenceOf = lambda _: None,
) -> list[PastAlert]:
    """Alerts in the order in which they fired.

    Parameters
    ----------
    facts : iterable of Fact
        In the order of their times.
    """
    watch, told = engine.adopt(rules, Watch(start, start), start, cadence_of=cadence_of)
    found: dict[tuple[str, str], PastAlert] = {}
    ended: list[PastAlert] = []
    _note(told, found, ended)
    piece: list[Fact] = []
    for fact in facts:
        piece.append(fact)
        if len(piece) == _PIECE:
            watch, told = engine.step(rules, watch, piece, end, cadence_of=cadence_of, is_caught_up=False)
            _note(told, found, ended)
            piece = []
    _, told = engine.step(rules, watch, piece, end, cadence_of=cadence_of)
    _note(told, found, ended)
    return sorted([*ended, *found.values()], key=lambda alert: (alert.fired_at, alert.rule, alert.alert_key))


def _note(
    told: Iterable[Transition], found: dict[tuple[str, str], PastAlert], ended: list[PastAlert]
) -> None:
    for item in told:
        key = item.rule, item.alert_key
        if item.kind is Kind.FIRED:
            found[key] = PastAlert(
                rule=item.rule,
                alert_key=item.alert_key,
                instrument=item.instrument,
                severity=item.severity,
                since=item.since,
                fired_at=item.at,
                resolved_at=None,
                labels=item.labels,
                annotations=item.annotations,
                evidence=item.evidence,
                is_announced=item.is_announced,
            )
            continue
        alert = found[key]
        alert = replace(
            alert,
            annotations=item.annotations,
            evidence=item.evidence,
            is_announced=alert.is_announced or item.is_announced,
        )
        if item.kind is Kind.RESOLVED:
            del found[key]
            ended.append(replace(alert, resolved_at=item.at))
        else:
            found[key] = alert
