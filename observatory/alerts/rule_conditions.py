"""Conditions as a rule file writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from observatory.alerts import conditions as of
from observatory.alerts.conditions import Bound, Condition
from observatory.alerts.rule_nodes import Value
from observatory.analysis import AURORAL, Cause, EventType, SkyClass

_AURORA = "aurora"
_SKY = (*(name.value for name in SkyClass), _AURORA)
_SKY_NUMBERS = ("cloud_cover", "aurora_probability", "disturbance_nt")
_STATUS = ("done", "rejected", "failed")
_OUTCOMES = ("enhanced", "refused", "skipped")
_CAUSES = tuple(cause.value for cause in Cause)
_TYPES = tuple(kind.value for kind in EventType)
_SIDES = ("lt", "lte", "gt", "gte", "between")
_AREAS = ("area_msh", "disk_fraction", "regions")
_ENHANCEMENT = (
    "contrast_before",
    "contrast_after",
    "unsigned_flux_before_mx",
    "unsigned_flux_after_mx",
    "residual",
    "noise",
    "trusted_fraction",
)
_SHARES = {
    *("quality", "p_value", "disk_fraction", "trusted_fraction"),
    *("cloud_cover", "aurora_probability", "drift"),
}
_CHANGING = ("quality", "latency_s", "area_msh", "disk_fraction", *_ENHANCEMENT, *_SKY_NUMBERS)
_DEEPEST = 12
_ONE_SECOND = timedelta(seconds=1)
_ONSET_WITHIN = timedelta(minutes=30)
_ANY_PROBABILITY = Bound(gte=0.0)


def read_condition(value: Value, *, is_per_event_type: bool = False, depth: int = 0) -> Condition | None:
    """A condition; several fields in one mapping must all hold."""
    if depth > _DEEPEST:
        value.wrong(f"is nested deeper than {_DEEPEST}")
        return None
    context = _Context(depth, is_per_event_type=is_per_event_type)
    fields = value.fields(tuple(_READERS))
    if value.is_empty:
        value.wrong(f"at least one condition is wanted, of {', '.join(_READERS)}")
    parts = [part for name, item in fields.items() if (part := _READERS[name](item, context)) is not None]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else of.All(tuple(parts))


class _Context:
    """What a condition must know of the rule around it."""

    def __init__(self, depth: int, *, is_per_event_type: bool) -> None:
        self.is_per_event_type, self.depth = is_per_event_type, depth

    def inner(self, value: Value) -> Condition | None:
        return read_condition(value, is_per_event_type=self.is_per_event_type, depth=self.depth + 1)


def _bound(value: Value, name: str, others: tuple[str, ...] = ()) -> Bound | None:
    """Limits of a number, from the fields of a mapping that are no others."""
    fields = value.fields((*_SIDES, *others))
    return _bound_of(value, {side: fields[side] for side in _SIDES if side in fields}, name)


def _bound_of(value: Value, sides: Mapping[str, Value], name: str) -> Bound | None:
    low, high = (0.0, 1.0) if name in _SHARES else (None, None)
    if not sides:
        if value.is_mapping:
            value.wrong(f"a limit is wanted, of {', '.join(_SIDES)}")
        return None
    found = {side: item.number(low, high) for side, item in sides.items() if side != "between"}
    pair = None
    if "between" in sides:
        items = sides["between"].items()
        pair = [item.number(low, high) for item in items]
        if len(pair) != 2 or None in pair or not pair[0] <= pair[1]:  # type: ignore[operator]
            sides["between"].wrong("[LOW, HIGH] is wanted, LOW not above HIGH")
            return None
    if None in found.values():
        return None
    bound = Bound(**found, between=None if pair is None else (pair[0], pair[1]))  # type: ignore[arg-type]
    below = min([side for side in (bound.lt, bound.lte) if side is not None], default=None)
    above = max([side for side in (bound.gt, bound.gte) if side is not None], default=None)
    is_point = bound.gte is not None and bound.gte == bound.lte
    if below is not None and above is not None and (above > below or (above == below and not is_point)):
        value.wrong(f"nothing is both above {above:g} and below {below:g}; use any: for two ranges")
        return None
    return bound


def _number(name: str) -> Callable[[Value, _Context], Condition | None]:
    def read(value: Value, _: _Context) -> Condition | None:
        bound = _bound(value, name)
        return None if bound is None else of.Number(name, bound)

    return read


def _latency(value: Value, _: _Context) -> Condition | None:
    """The same as ``latency_s``, in words of time."""
    fields = value.fields(_SIDES[:4])
    if value.is_empty:
        value.wrong("a limit is wanted, such as {gt: 30s}")
    limits = {side: item.duration() for side, item in fields.items()}
    if not limits or None in limits.values():
        return None

    def seconds(side: str) -> float | None:
        span = limits.get(side)
        return None if span is None else span.total_seconds()

    bound = Bound(lt=seconds("lt"), lte=seconds("lte"), gt=seconds("gt"), gte=seconds("gte"))
    return of.Number("latency_s", bound)


def _degraded(value: Value, _: _Context) -> Condition | None:
    wanted = value.flag()
    return None if wanted is None else of.Flag(wanted)


def _cause(value: Value, _: _Context) -> Condition | None:
    probability: Bound | None = _ANY_PROBABILITY
    if value.is_mapping:
        fields = value.fields(("one_of", "probability"))
        if "probability" in fields:
            probability = _bound(fields["probability"], "p_value")
        words = fields["one_of"].words(("any", *_CAUSES)) if "one_of" in fields else ("any",)
    else:
        words = value.words(("any", *_CAUSES))
    if not words or probability is None:
        return None
    return of.Cause(frozenset(_CAUSES if "any" in words else words), probability)


def _word(name: str, known: tuple[str, ...]) -> Callable[[Value, _Context], Condition | None]:
    def read(value: Value, _: _Context) -> Condition | None:
        if value.is_mapping:
            fields = value.fields(("one_of",))
            if "one_of" not in fields:
                return None
            value = fields["one_of"]
        words = set(value.words(known))
        if _AURORA in words:  # the three that are one in the two-class sense
            words = words - {_AURORA} | {kind.value for kind in AURORAL}
        return of.Word(name, frozenset(words)) if words else None

    return read


def _region(value: Value, context: _Context) -> Condition | None:
    fields = value.fields(("event_type", *_AREAS))
    event_type = _event_type(fields)
    if (
        value.is_mapping
        and event_type is None
        and "event_type" not in fields
        and not context.is_per_event_type
    ):
        value.wrong("event_type is wanted (CH or AR), or `per: event_type` in the rule")
    parts: list[Condition] = []
    for name in _AREAS:
        if name in fields:
            bound = _bound(fields[name], name)
            if bound is not None:
                parts.append(of.Region(event_type, name, bound))
    if value.is_mapping and not any(name in fields for name in _AREAS):
        value.wrong(f"one of {', '.join(_AREAS)} is wanted")
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else of.All(tuple(parts))


def _event_type(fields: Mapping[str, Value]) -> str | None:
    if "event_type" not in fields:
        return None
    words = fields["event_type"].words(_TYPES)
    if len(words) > 1:
        fields["event_type"].wrong("one of them is wanted")
    return words[0] if len(words) == 1 else None


def _enhancement(value: Value, _: _Context) -> Condition | None:
    fields = value.fields(("outcome", *_ENHANCEMENT))
    parts: list[Condition] = []
    for name, item in fields.items():
        if name == "outcome":
            words = item.words(_OUTCOMES)
            parts += [of.Word("outcome", frozenset(words))] if words else []
        else:
            bound = _bound(item, name)
            parts += [of.Number(name, bound)] if bound is not None else []
    if value.is_mapping and not fields:
        value.wrong(f"one of outcome, {', '.join(_ENHANCEMENT)} is wanted")
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else of.All(tuple(parts))


def _gap(value: Value, _: _Context) -> Condition | None:
    if not value.is_mapping:
        wanted = value.flag()
        if wanted is False:
            value.wrong("write `not: {gap: true}`")
        return of.Gap(timedelta(0)) if wanted else None
    fields = value.fields(("gt",))
    length = fields["gt"].duration(_ONE_SECOND) if "gt" in fields else None
    if not fields:
        value.wrong("gt is wanted, such as {gt: 5m}")
    return None if length is None else of.Gap(length)


def _onset(value: Value, _: _Context) -> Condition | None:
    if not value.is_mapping:
        wanted = value.flag()
        if wanted is False:
            value.wrong("write `not: {onset: true}`")
        return of.Onset(_ONSET_WITHIN) if wanted else None
    fields = value.fields(("within",))
    length = fields["within"].duration(_ONE_SECOND) if "within" in fields else None
    if not fields:
        value.wrong("within is wanted, such as {within: 30m}")
    return None if length is None else of.Onset(length)


def _drift(value: Value, _: _Context) -> Condition | None:
    bound = _bound(value, "drift")
    return None if bound is None else of.Drift(bound)


def _silence(value: Value, _: _Context) -> Condition | None:
    length = value.duration(_ONE_SECOND)
    return None if length is None else of.Silence(length)


def _frozen(value: Value, _: _Context) -> Condition | None:
    if not value.is_mapping:
        wanted = value.flag()
        if wanted is False:
            value.wrong("write `not: {frozen: true}`")
        return of.Frozen(3) if wanted else None
    fields = value.fields(("repeats",))
    if not fields:
        value.wrong("repeats is wanted, such as {repeats: 3}")
        return None
    repeats = fields["repeats"].count(1)
    return None if repeats is None else of.Frozen(repeats)


def _rate(value: Value, _: _Context) -> Condition | None:
    fields = value.fields(("over", "frames", "of_cadence"))
    which = [name for name in ("frames", "of_cadence") if name in fields]
    if value.is_mapping and ("over" not in fields or len(which) != 1):
        value.wrong(
            "over is wanted, and one of frames and of_cadence, such as {over: 5m, of_cadence: {gt: 5}}"
        )
        return None
    if not fields:
        return None
    over, bound = fields["over"].duration(_ONE_SECOND), _bound(fields[which[0]], which[0])
    if over is None or bound is None:
        return None
    return of.Rate(over, bound, which[0] == "of_cadence")


def _change(value: Value, _: _Context) -> Condition | None:
    fields = value.fields(("of", "event_type", "over", "by", "relative"))
    lacking = [name for name in ("of", "over", "by") if name not in fields]
    if lacking:
        if value.is_mapping:
            value.wrong(
                f"{' and '.join(lacking)} wanted, such as {{of: quality, over: 10m, by: {{lt: -0.3}}}}"
            )
        return None
    names = fields["of"].words(_CHANGING)
    over = fields["over"].duration(_ONE_SECOND)
    bound = _bound(fields["by"], "by")
    is_relative = fields["relative"].flag() if "relative" in fields else False
    event_type = _event_type(fields)
    if len(names) != 1 or over is None or bound is None or is_relative is None:
        return None
    if (names[0] in _AREAS) != (event_type is not None):
        value.wrong("event_type goes with area_msh and disk_fraction, and with nothing else")
        return None
    return of.Change(names[0], event_type, over, bound, is_relative)


def _several(kind: type[of.All] | type[of.AnyOf]) -> Callable[[Value, _Context], Condition | None]:
    def read(value: Value, context: _Context) -> Condition | None:
        items = value.items()
        if value.is_list and not items:
            value.wrong("at least one condition is wanted")
        parts = [part for item in items if (part := context.inner(item)) is not None]
        return kind(tuple(parts)) if parts else None

    return read


def _not(value: Value, context: _Context) -> Condition | None:
    part = context.inner(value)
    return None if part is None else of.Not(part)


_READERS: dict[str, Callable[[Value, _Context], Condition | None]] = {
    "quality": _number("quality"),
    "p_value": _number("p_value"),
    "is_degraded": _degraded,
    "cause": _cause,
    "sky_class": _word("sky_class", _SKY),
    **{name: _number(name) for name in _SKY_NUMBERS},
    "status": _word("status", _STATUS),
    "region": _region,
    "enhancement": _enhancement,
    "latency_s": _number("latency_s"),
    "latency": _latency,
    "change": _change,
    "gap": _gap,
    "onset": _onset,
    "drift": _drift,
    "silent_for": _silence,
    "frozen": _frozen,
    "rate": _rate,
    "all": _several(of.All),
    "any": _several(of.AnyOf),
    "not": _not,
}
