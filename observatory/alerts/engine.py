"""The engine: rules, what is known, and facts give what is known then, and what is to be told.

It has no clock and does nothing. Between two facts it looks at each alert at the very moments at which time
alone can change it, so that what it says does not depend on how often it is asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from observatory.alerts import templates
from observatory.alerts.conditions import Verdict, View
from observatory.alerts.facts import Fact, Judged
from observatory.alerts.memory import Memory, Watched, absorb
from observatory.alerts.rules import Per, Rule, Rules
from observatory.alerts.states import AlertKey, AlertState, Watch
from observatory.alerts.transitions import Escalation as Escalation
from observatory.alerts.transitions import Kind as Kind
from observatory.alerts.transitions import Transition as Transition

CadenceOf = Callable[[str], float | None]
"""Seconds between frames of an instrument, as settings or its kind say."""

REMOVED = "the rule was removed"
"""Reason of the end of an alert whose rule is gone, or is no longer about its instrument."""

_INSTANT = timedelta(milliseconds=1)


def step(
    rules: Rules,
    watch: Watch,
    facts: Iterable[Fact],
    now: datetime,
    *,
    cadence_of: CadenceOf = lambda _: None,
    is_caught_up: bool = True,
) -> tuple[Watch, list[Transition]]:
    """Take facts in, in the order in which they became known.

    Parameters
    ----------
    now : datetime
        Time of the clock on the wall. A fact counts when it says, but not before what was thought already,
        and not after now.
    is_caught_up : bool
        Whether no further fact waits: only then does time go on up to now.
    """
    run = _Run(rules, watch, cadence_of)
    for fact in facts:
        run.take(fact, now)
    if is_caught_up:
        run.advance(now)
    return run.watch(), run.told


def adopt(
    rules: Rules, watch: Watch, now: datetime, *, cadence_of: CadenceOf = lambda _: None
) -> tuple[Watch, list[Transition]]:
    """Begin with rules, or with others: what fires by a rule that is gone ends, and all is looked at anew."""
    run = _Run(rules, watch, cadence_of)
    run.drop_strangers(now)
    for name in sorted({*watch.memories, *(rule.instrument for rule in rules.rules if _is_awaited(rule))}):
        run.look(name, None)
    run.settle()
    return run.watch(), run.told


def _is_awaited(rule: Rule) -> bool:
    return rule.is_named and rule.minds_silence


class _Run:
    """One step: what is known is copied, and changed in the copy."""

    def __init__(self, rules: Rules, watch: Watch, cadence_of: CadenceOf) -> None:
        self.rules, self.cadence_of = rules, cadence_of
        self.now, self.awake_since = watch.now, watch.awake_since
        self.memories, self.states = dict(watch.memories), dict(watch.states)
        self.wakes = dict(watch.wakes)
        self.heap = [self._entry(key, wake) for key, wake in self.wakes.items()]
        heapq.heapify(self.heap)
        self.told: list[Transition] = []
        self.has_turned = False  # whether an alert fired or ended since others were looked at
        self._rules_of: dict[str, list[Rule]] = {}
        self._watched: dict[str, Watched] = {}

    def watch(self) -> Watch:
        return Watch(self.now, self.awake_since, self.memories, self.states, self.wakes)

    def take(self, fact: Fact, limit: datetime) -> None:
        self.advance(min(fact.at, limit))
        memory = self.memories.get(fact.instrument, Memory())
        if fact.instrument not in self._watched:
            self._watched[fact.instrument] = self.rules.watched(fact.instrument)
        memory, is_counted = absorb(memory, fact, self.now, self._watched[fact.instrument])
        self.memories[fact.instrument] = memory
        self.look(fact.instrument, fact if is_counted and isinstance(fact, Judged) else None)
        self.settle()

    def advance(self, to: datetime) -> None:
        """Let time go on, and look at what it changes when it changes it."""
        while self.heap and self.heap[0][0] <= to:
            wake, _, _, key = heapq.heappop(self.heap)
            if self.wakes.get(key) == wake:  # else it was looked at meanwhile
                del self.wakes[key]
                self.now = max(self.now, wake)
                rule = self.rules.by_name.get(key.rule)
                if rule is not None:
                    self.ask(rule, key, None)
            if not self.heap or self.heap[0][0] > wake:  # what ends at the same moment ends together
                self.settle()
        self.now = max(self.now, to)

    def look(self, instrument: str, frame: Judged | None) -> None:
        """Ask all rules about an instrument."""
        if instrument not in self._rules_of:
            self._rules_of[instrument] = list(self.rules.of(instrument))
        for rule in self._rules_of[instrument]:
            for key in self._keys(rule, instrument, frame):
                self.ask(rule, key, frame)

    def _keys(self, rule: Rule, instrument: str, frame: Judged | None) -> list[AlertKey]:
        if rule.per is None:
            return [AlertKey(rule.name, instrument)]
        found = {key for key in self.states if key.rule == rule.name and key.instrument == instrument}
        if frame is not None:
            names: Iterable[str] = frame.regions if rule.per is Per.EVENT_TYPE else frame.causes or ()
            found |= {AlertKey(rule.name, instrument, rule.per.value, name) for name in names}
        return sorted(found, key=lambda key: key.scope or "")

    def ask(self, rule: Rule, key: AlertKey, frame: Judged | None) -> None:
        """Ask one rule of one alert, and do what follows."""
        view = View(
            memory=self.memories.get(key.instrument, _NOTHING),
            now=self.now,
            awake_since=self.awake_since,
            cadence_s=self.cadence_of(key.instrument),
            cause=key.scope if rule.per is Per.CAUSE else None,
            event_type=key.scope if rule.per is Per.EVENT_TYPE else None,
        )
        said = rule.when.ask(view)
        state = self.states.get(key)
        wakes = [said.wake]
        if state is None and said.truth:
            state = AlertState(key, self.now)
        if state is not None and said.truth:
            tally = state.tally if frame is None else state.tally.with_frame(frame)
            value = state.value if said.value is None else said.value
            state = replace(state, tally=tally, value=value)
        if state is not None and state.fired is None:
            state = self._pending(rule, state, said, wakes)
        if state is not None and state.fired is not None:
            state = self._firing(rule, state, said, view, frame, wakes)
        if state is None:
            self.states.pop(key, None)
        else:
            self.states[key] = state
        self._wake_at(key, wakes if state is not None or key.per is None else [])

    def _pending(
        self, rule: Rule, state: AlertState, said: Verdict, wakes: list[datetime | None]
    ) -> AlertState | None:
        if said.truth is False:
            return None
        due = state.since + rule.for_
        if said.truth and state.tally.frames >= rule.for_frames and self.now >= due:
            return self._fire(rule, state)
        if due > self.now:
            wakes.append(due)
        return state

    def _fire(self, rule: Rule, state: AlertState) -> AlertState:
        key = state.key
        own = {"alertname": rule.name, "instrument": key.instrument}
        if key.per is not None and key.scope is not None:
            own[key.per] = key.scope
        inhibitor = self._inhibitor(rule, key)
        fired = Transition(
            rule=rule.name,
            alert_key=key.text,
            kind=Kind.FIRED,
            at=self.now,
            since=state.since,
            instrument=key.instrument,
            labels={**rule.labels, **own},
            annotations={},
            evidence={},
            notify=rule.notify,
            escalations=rule.escalations,
            repeat=rule.repeat,
            group_by=rule.group_by,
            group_wait=rule.group_wait,
            is_announced=inhibitor is None,
            inhibited_by=inhibitor,
        )
        fired = self._written(fired, rule, state)
        self.told.append(fired)
        self.has_turned = True
        return replace(state, fired=fired, is_announced=inhibitor is None, clear_since=None, clear_frames=0)

    def _firing(
        self,
        rule: Rule,
        state: AlertState,
        said: Verdict,
        view: View,
        frame: Judged | None,
        wakes: list[datetime | None],
    ) -> AlertState | None:
        is_clear = None if said.truth is None else not said.truth
        if rule.clear_when is not None:
            cleared = rule.clear_when.ask(view)
            wakes.append(cleared.wake)
            is_clear = cleared.truth if said.truth is not True else False
        if is_clear is None:
            return state
        if not is_clear:
            return self._updated(rule, replace(state, clear_since=None, clear_frames=0))
        since = state.clear_since or self.now
        frames = state.clear_frames + (frame is not None)
        state = replace(state, clear_since=since, clear_frames=frames)
        due = since + rule.clear_for
        if frames >= rule.clear_frames and self.now >= due:
            self._resolve(state, rule)
            return None
        if due > self.now:
            wakes.append(due)
        return state

    def _updated(self, rule: Rule, state: AlertState) -> AlertState:
        """Tell, but nobody's phone, when something else spoils the frames now."""
        assert state.fired is not None
        cause = _cause_of(state)
        if cause == state.fired.evidence.get("cause"):
            return state
        changed = replace(state.fired, kind=Kind.UPDATED, at=self.now, is_announced=False)
        changed = self._written(changed, rule, state)
        self.told.append(changed)
        return replace(state, fired=changed)

    def _resolve(self, state: AlertState, rule: Rule | None, reason: str | None = None) -> None:
        assert state.fired is not None
        ended = replace(state.fired, kind=Kind.RESOLVED, at=self.now, is_announced=state.is_announced)
        ended = replace(ended, evidence=self._evidence(state, reason), inhibited_by=None)
        if rule is not None:
            ended = self._written(ended, rule, state)
        self.told.append(ended)
        self.has_turned = True

    def settle(self) -> None:
        """Note which alerts others keep quiet now; tell of one that was kept quiet and is no longer."""
        if not self.has_turned:
            return
        self.has_turned = False
        for key, state in list(self.states.items()):
            rule = self.rules.by_name.get(key.rule)
            if rule is None or state.fired is None:
                continue
            inhibitor = self._inhibitor(rule, key)
            if inhibitor == state.fired.inhibited_by:
                continue
            is_news = inhibitor is None and not state.is_announced
            changed = replace(
                state.fired, kind=Kind.UPDATED, at=self.now, is_announced=is_news, inhibited_by=inhibitor
            )
            changed = self._written(changed, rule, state)
            self.told.append(changed)
            self.states[key] = replace(state, fired=changed, is_announced=state.is_announced or is_news)

    def _inhibitor(self, rule: Rule, key: AlertKey) -> str | None:
        for name in rule.inhibited_by:
            for other, state in self.states.items():
                if other.rule == name and other.instrument == key.instrument and state.fired is not None:
                    return name
        return None

    def drop_strangers(self, now: datetime) -> None:
        """End what belongs to no rule any more."""
        self.now = max(self.now, now)
        for key, state in list(self.states.items()):
            rule = self.rules.by_name.get(key.rule)
            is_meant = rule is not None and rule.means(key.instrument)
            if is_meant and rule is not None and (rule.per.value if rule.per else None) == key.per:
                continue
            if state.fired is not None:
                self._resolve(state, None, REMOVED)
            del self.states[key]
        self.wakes.clear()
        self.heap.clear()
        self.has_turned = True  # who inhibits whom may have changed with the rules

    def _wake_at(self, key: AlertKey, wakes: list[datetime | None]) -> None:
        wake = min((moment for moment in wakes if moment is not None), default=None)
        if wake is None:
            self.wakes.pop(key, None)
            return
        wake = max(wake, self.now + _INSTANT)
        if self.wakes.get(key) != wake:
            self.wakes[key] = wake
            heapq.heappush(self.heap, self._entry(key, wake))

    def _entry(self, key: AlertKey, wake: datetime) -> tuple[datetime, int, str, AlertKey]:
        return wake, self.rules.rank.get(key.rule, 0), key.text, key

    def _written(self, transition: Transition, rule: Rule, state: AlertState) -> Transition:
        values = self._values(rule, state)
        annotations = {name: templates.render(text, values) for name, text in rule.annotations.items()}
        return replace(transition, annotations=annotations, evidence=self._evidence(state, None))

    def _evidence(self, state: AlertState, reason: str | None) -> dict[str, Any]:
        tally = state.tally
        found = {
            "frames": tally.frames,
            "cause": _cause_of(state),
            "causes": dict(tally.causes),
            "first_frame_id": tally.first_frame_id,
            "last_frame_id": tally.last_frame_id,
            "worst_frame_id": tally.worst_frame_id,
            "worst_quality": tally.worst_quality,
            "value": state.value,
        }
        return found if reason is None else found | {"reason": reason}

    def _values(self, rule: Rule, state: AlertState) -> Mapping[str, Any]:
        memory = self.memories.get(state.key.instrument, _NOTHING)
        frame = memory.frame
        of_frame = {
            name: None if frame is None else getattr(frame, name)
            for name in ("quality", "p_value", "sky_class", "latency_s", "status", "file_name", "frame_id")
        }
        # What came last may have come before anybody watched: then the ledger tells since when frames are missing.
        last_seen = memory.last_arrival or memory.gap_start
        of_sky = {
            name: None if frame is None else frame.sky.get(name)
            for name in ("cloud_cover", "aurora_probability", "disturbance_nt")
        }
        return {
            **of_frame,
            **of_sky,
            "alert": rule.name,
            "instrument": state.key.instrument,
            "severity": rule.labels.get("severity", "warning"),
            "cause": _cause_of(state),
            "event_type": state.key.scope if rule.per is Per.EVENT_TYPE else None,
            "frames": state.tally.frames,
            "worst_quality": state.tally.worst_quality,
            "date_obs": None if frame is None or frame.date_obs is None else _moment(frame.date_obs),
            "value": state.value,
            "repeats": memory.repeats,
            "since": _moment(state.since),
            "duration": str(timedelta(seconds=round((self.now - state.since).total_seconds()))),
            "last_seen": None if last_seen is None else _moment(last_seen),
        }


_NOTHING = Memory()


def _cause_of(state: AlertState) -> str | None:
    return state.key.scope if state.key.per == Per.CAUSE else state.tally.cause


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
