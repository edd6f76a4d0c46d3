"""Rules that run over facts told by the minute, for tests of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from observatory.alerts import engine
from observatory.alerts.facts import Fact, Judged
from observatory.alerts.replay import PastAlert, replay
from observatory.alerts.rule_file import read_rules
from observatory.alerts.states import Watch
from observatory.alerts.transitions import Transition

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAME = "kso-halpha"
DEGRADED = """
- alert: Degraded
  instrument: kso-*
  when: {quality: {lt: 0.4}}
  clear_when: {quality: {gt: 0.5}}
  for_frames: 3
  clear_frames: 5
  annotations: {summary: "{instrument}: {cause} for {frames} frames"}
"""


def frame(number: int, quality: float | None = 0.9, cause: str | None = None, **more: object) -> Judged:
    moment = NOON + number * MINUTE
    causes = None if quality is None else {} if cause is None else {cause: 0.9, "seeing": 0.1}
    made = Judged(NAME, moment, number, date_obs=moment, received_at=moment, quality=quality, causes=causes)
    return replace(made, **more)  # type: ignore[arg-type]


def scores(values: Iterable[float], cause: str | None = None) -> list[Fact]:
    return [frame(number, value, cause) for number, value in enumerate(values)]


def run(text: str, facts: Iterable[Fact], minutes: int = 10_000) -> list[PastAlert]:
    return replay(read_rules(text), facts, NOON, NOON + minutes * MINUTE, cadence_of=lambda _: 60.0)


def spans(found: Sequence[PastAlert]) -> list[tuple[str, float, float | None]]:
    """Rules with the minutes at which they fired and ended."""
    return [
        (
            alert.rule,
            (alert.fired_at - NOON) / MINUTE,
            None if alert.resolved_at is None else (alert.resolved_at - NOON) / MINUTE,
        )
        for alert in found
    ]


def begin(text: str) -> tuple[Watch, list[Transition]]:
    return engine.adopt(read_rules(text), Watch(NOON, NOON), NOON)
