"""Rules as people write them: YAML, every field typed, every mistake told with its line and column."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from observatory.alerts import templates
from observatory.alerts.conditions import AnyOf, Cause, Condition, Region, leaves
from observatory.alerts.rule_conditions import read_condition
from observatory.alerts.rule_nodes import Problem, Problems, Value, meant, parse
from observatory.alerts.rules import Per, Rule, Rules
from observatory.alerts.templates import TemplateError
from observatory.alerts.transitions import Escalation
from observatory.errors import HeliowatchError

MOST_RULES = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_GLOB = re.compile(r"[A-Za-z0-9_.\-*?\[\]!]{1,64}")
_OWN_LABELS = ("alertname", "instrument", "cause", "event_type")
_LONGEST_LABEL = 200
_MOST_LABELS = 30
_SOONEST_REPEAT = timedelta(minutes=1)
_FIELDS = (
    "alert",
    "instrument",
    "when",
    "clear_when",
    "for_frames",
    "for",
    "clear_frames",
    "clear_for",
    "per",
    "labels",
    "annotations",
    "notify",
    "repeat",
    "group_by",
    "group_wait",
    "escalate",
    "inhibited_by",
)


class RuleFileError(HeliowatchError):
    """A rule file cannot be used."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{name}: {problem}" for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Step:
    """A step of an escalation; those like another rule's are filled in when all rules are known."""

    after: timedelta
    notify: tuple[str, ...]
    unless: str | None
    like: str | None
    value: Value


@dataclass
class _Read:
    """A rule, and what refers to others."""

    rule: Rule
    value: Value
    steps: list[_Step] = field(default_factory=list)
    inhibitors: Mapping[str, Value] = field(default_factory=dict)


def read_rules(text: str, name: str = "rules", channels: Collection[str] | None = None) -> Rules:
    """Read the text of a rule file.

    Parameters
    ----------
    name : str
        What messages call it.
    channels : collection of str or None
        Names that ``notify`` may hold; None: any.

    Raises
    ------
    RuleFileError
        With all that is wrong, each with its line and column.
    """
    node, found = parse(text)
    if found:
        raise RuleFileError(name, found)
    problems = Problems()
    read: list[_Read] = []
    if node is not None:
        whole = Value(node, "", problems)
        if not whole.is_list:
            whole.wrong("a list of rules is wanted: each begins with `- alert: NAME`")
        else:
            items = whole.items()
            if len(items) > MOST_RULES:
                whole.wrong(f"there are {len(items)} rules, more than {MOST_RULES}")
            read = [one for item in items[:MOST_RULES] if (one := _rule(item, channels)) is not None]
    rules = _joined(read, problems)
    if problems.found:
        raise RuleFileError(name, sorted(problems.found, key=lambda item: (item.line, item.column)))
    return Rules(tuple(rules), text)


def _rule(value: Value, channels: Collection[str] | None) -> _Read | None:
    named = _name_of(value)
    value = Value(value.node, named or value.where, value.problems)
    fields = value.fields(_FIELDS)
    if not value.is_mapping:
        return None
    for wanted in ("alert", "when"):
        if wanted not in fields:
            value.wrong(f"{wanted} is wanted")
    name = _alert_name(fields)
    per = _per(fields)
    when = _condition(fields, "when", per)
    made = Rule(
        name=name or "",
        instrument=_instrument(fields),
        when=when if when is not None else _NEVER,
        clear_when=_condition(fields, "clear_when", per),
        for_frames=_count(fields, "for_frames"),
        for_=_span(fields, "for") or timedelta(0),
        clear_frames=_count(fields, "clear_frames"),
        clear_for=_span(fields, "clear_for") or timedelta(0),
        per=per,
        labels=_labels(fields),
        annotations=_annotations(fields),
        notify=_channels(fields, channels),
        repeat=_span(fields, "repeat", _SOONEST_REPEAT),
        group_by=_group_by(fields),
        group_wait=_span(fields, "group_wait"),
    )
    if when is not None:
        _check_together(made, fields)
    if name is None:
        return None
    return _Read(made, value, _steps(fields, channels), _inhibitors(fields))


_NEVER: Condition = AnyOf(())  # stands where there is none: a problem was noted already


def _name_of(value: Value) -> str | None:
    """Name of a rule for messages, before anything is checked."""
    if value.is_mapping:
        for key, item in value.node.value:
            if getattr(key, "value", None) == "alert" and isinstance(item.value, str) and item.value:
                return item.value[:60]
    return None


def _alert_name(fields: Mapping[str, Value]) -> str | None:
    if "alert" not in fields:
        return None
    word = fields["alert"].text()
    if word is not None and not _NAME.fullmatch(word):
        fields["alert"].wrong("a name of letters, digits and _ is wanted, of at most 100")
        return None
    return word


def _instrument(fields: Mapping[str, Value]) -> str:
    if "instrument" not in fields:
        return "*"
    word = fields["instrument"].text()
    if word is None or not _GLOB.fullmatch(word):
        fields["instrument"].wrong("an instrument's name is wanted, or a glob such as aia-*")
        return "*"
    return word


def _per(fields: Mapping[str, Value]) -> Per | None:
    if "per" not in fields:
        return None
    words = fields["per"].words([*Per])
    if len(words) > 1:
        fields["per"].wrong("one of cause and event_type is wanted")
    return Per(words[0]) if words else None


def _condition(fields: Mapping[str, Value], name: str, per: Per | None) -> Condition | None:
    if name not in fields:
        return None
    return read_condition(fields[name], is_per_event_type=per is Per.EVENT_TYPE)


def _count(fields: Mapping[str, Value], name: str) -> int:
    return (fields[name].count(1, 100_000) or 0) if name in fields else 0


def _span(fields: Mapping[str, Value], name: str, least: timedelta = timedelta(0)) -> timedelta | None:
    return fields[name].duration(least) if name in fields else None


def _labels(fields: Mapping[str, Value]) -> dict[str, str]:
    if "labels" not in fields:
        return {}
    found = {}
    for name, value in fields["labels"].pairs():
        word = value.text()
        if not _LABEL.fullmatch(name):
            value.wrong("a label's name is of letters, digits and _")
        elif name in _OWN_LABELS:
            value.wrong(f"{name} is set by itself")
        elif word is not None and (not word or len(word) > _LONGEST_LABEL or not word.isprintable()):
            value.wrong(f"a line of 1 to {_LONGEST_LABEL} characters is wanted")
        elif word is not None:
            found[name] = word
    if len(found) > _MOST_LABELS:
        fields["labels"].wrong(f"there are more than {_MOST_LABELS}")
    severity = found.get("severity", "")
    if len(severity) > 32:
        fields["labels"].wrong("severity is longer than 32 characters")
    return found


def _annotations(fields: Mapping[str, Value]) -> dict[str, str]:
    if "annotations" not in fields:
        return {}
    found = {}
    for name, value in fields["annotations"].pairs():
        word = value.text()
        if not _LABEL.fullmatch(name):
            value.wrong("an annotation's name is of letters, digits and _")
            continue
        if word is None:
            continue
        try:
            templates.check(word)
        except TemplateError as error:
            value.wrong(str(error))
        found[name] = word
    return found


def _channels(fields: Mapping[str, Value], channels: Collection[str] | None) -> tuple[str, ...]:
    return fields["notify"].words(channels) if "notify" in fields else ()


def _group_by(fields: Mapping[str, Value]) -> tuple[str, ...] | None:
    if "group_by" not in fields:
        return None
    value = fields["group_by"]
    if value.is_list and not value.items():
        return ()  # all in one
    words = value.words()
    for word in words:
        if not _LABEL.fullmatch(word):
            value.wrong(f"{word[:60]!r} is no label's name")
    return words


def _steps(fields: Mapping[str, Value], channels: Collection[str] | None) -> list[_Step]:
    if "escalate" not in fields:
        return []
    found: list[_Step] = []
    for item in fields["escalate"].items():
        step = _step(item, channels)
        if step is None:
            continue
        if found and step.after <= found[-1].after:
            item.wrong("each step comes after the one before it")
        found.append(step)
    return found


def _step(value: Value, channels: Collection[str] | None) -> _Step | None:
    fields = value.fields(("after", "notify", "unless", "like"))
    if not value.is_mapping:
        return None
    if "after" not in fields or ("notify" in fields) == ("like" in fields):
        value.wrong("after is wanted, and one of notify and like (a rule whose notify and escalate it takes)")
        return None
    after = fields["after"].duration(timedelta(seconds=1))
    unless: str | None = "acknowledged"
    if "unless" in fields:
        words = fields["unless"].words(("acknowledged", "never"))
        unless = "acknowledged" if words[:1] == ("acknowledged",) else None
    like = fields["like"].text() if "like" in fields else None
    where = fields.get("like", value)
    return None if after is None else _Step(after, _channels(fields, channels), unless, like, where)


def _inhibitors(fields: Mapping[str, Value]) -> dict[str, Value]:
    if "inhibited_by" not in fields:
        return {}
    value = fields["inhibited_by"]
    parts = value.items() if value.is_list else [value]
    return {word: part for part in parts if (word := part.text()) is not None}


def _check_together(rule: Rule, fields: Mapping[str, Value]) -> None:
    if not rule.counts_frames:
        for name in ("for_frames", "clear_frames"):
            if name in fields:
                fields[name].wrong(
                    f"`when` looks at no frames that could be counted; use {name.split('_')[0]}"
                    f"{'' if name == 'for_frames' else '_for'}: 60s"
                )
    parts = list(leaves(rule.when))
    if rule.per is Per.CAUSE and not any(isinstance(leaf, Cause) for leaf in parts):
        fields["per"].wrong("`when` has no condition on cause")
    if rule.per is Per.EVENT_TYPE and not any(isinstance(leaf, Region) for leaf in parts):
        fields["per"].wrong("`when` has no condition on region")


def _joined(read: list[_Read], problems: Problems) -> list[Rule]:
    """Rules that know each other: no name twice, references resolved, no cycles."""
    by_name: dict[str, _Read] = {}
    for one in read:
        if one.rule.name in by_name:
            one.value.wrong(f"{one.rule.name!r} is the name of another rule, too")
        by_name.setdefault(one.rule.name, one)
    for one in read:
        for word, value in one.inhibitors.items():
            _check_reference(word, value, by_name)
        for step in one.steps:
            if step.like is not None:
                _check_reference(step.like, step.value, by_name)
    inhibition = {name: [word for word in one.inhibitors if word in by_name] for name, one in by_name.items()}
    likeness = {
        name: [step.like for step in one.steps if step.like is not None and step.like in by_name]
        for name, one in by_name.items()
    }
    for edges, what in ((inhibition, "inhibited_by"), (likeness, "escalate")):
        for cycle in _cycles(edges):
            by_name[cycle[0]].value.wrong(f"{what} goes in a circle: {' -> '.join([*cycle, cycle[0]])}")
    if problems.found:
        return []
    return [
        replace(one.rule, inhibited_by=tuple(one.inhibitors), escalations=tuple(_flat(one, by_name)))
        for one in read
    ]


def _check_reference(word: str, value: Value, by_name: Mapping[str, _Read]) -> None:
    if word not in by_name:
        value.wrong(f"there is no rule {word[:60]!r}; {meant(word, by_name)}")


def _cycles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Circles in a graph, each once, from the name that stands first in it."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        waiting: list[tuple[str, int]] = [(start, 0)]
        while waiting:
            name, depth = waiting.pop()
            del path[depth:]
            if name in path:
                circle = path[path.index(name) :]
                if not any(set(circle) == set(other) for other in found):
                    found.append(circle)
                continue
            if name in done:
                continue
            path.append(name)
            waiting.extend((other, depth + 1) for other in edges[name])
            if not edges[name]:
                done.add(name)
        done.add(start)
    return found


def _flat(one: _Read, by_name: Mapping[str, _Read]) -> list[Escalation]:
    """Steps of an escalation, those like another rule's with that rule's channels and its own steps."""
    steps: list[Escalation] = []
    for step in one.steps:
        if step.like is None:
            steps.append(Escalation(step.after, step.notify, step.unless))
            continue
        other = by_name[step.like]
        steps.append(Escalation(step.after, other.rule.notify, step.unless))
        steps += [
            Escalation(step.after + inner.after, inner.notify, inner.unless)
            for inner in _flat(other, by_name)
        ]
    return sorted(steps, key=lambda step: step.after)
