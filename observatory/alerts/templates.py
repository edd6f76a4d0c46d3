"""Texts of annotations with ``{names}`` in them: known names alone, no attributes, no calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

NAMES = {
    "alert": "name of the rule",
    "instrument": "name of the instrument",
    "severity": "the label",
    "cause": "what spoils most of its frames",
    "event_type": "CH or AR, where the rule fires for each of them",
    "frames": "frames for which it held in a row",
    "quality": "score of the newest frame, 0 to 1",
    "worst_quality": "lowest score since it began",
    "p_value": "of the newest frame",
    "sky_class": "of the newest frame",
    "cloud_cover": "of the newest frame, 0 to 1",
    "aurora_probability": "of the newest frame, 0 to 1",
    "disturbance_nt": "told from the newest frame",
    "latency_s": "of the newest frame",
    "status": "of the newest frame: done, rejected, failed",
    "file_name": "of the newest frame",
    "frame_id": "number of the newest frame",
    "date_obs": "of the newest frame",
    "value": "the number that the condition looked at, such as seconds of silence",
    "repeats": "how often the same bytes came again",
    "since": "when it began",
    "duration": "how long it has held",
    "last_seen": "when anything came last; since when frames are missing, if that is not known",
}
"""Names that a text may use, and what they stand for."""

UNKNOWN = "unknown"
"""What is written for a name that has no value now."""

_SPEC = re.compile(r"[<>^]?\d{0,3}(\.\d{1,2})?[dfgeG%]?")
_NUMBERS = {
    *("frames", "quality", "worst_quality", "p_value", "latency_s", "frame_id", "value", "repeats"),
    *("cloud_cover", "aurora_probability", "disturbance_nt"),
}
_LONGEST = 2000


class TemplateError(ValueError):
    """A text names what is not known, or is not well formed."""


def check(text: str) -> None:
    """Refuse a text that could not be written.

    Raises
    ------
    TemplateError
    """
    if len(text) > _LONGEST:
        raise TemplateError(f"is longer than {_LONGEST} characters")
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"{error}; write {{{{ and }}}} for braces themselves") from error
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in NAMES:
            raise TemplateError(f"{{{name}}} is not known; known are {', '.join(sorted(NAMES))}")
        if conversion is not None:
            raise TemplateError(f"{{{name}!{conversion}}}: write {{{name}}}")
        if spec and (name not in _NUMBERS or not _SPEC.fullmatch(spec)):
            raise TemplateError(f"{{{name}:{spec}}}: a number may be written as in {{quality:.2f}}")


def render(text: str, values: Mapping[str, Any]) -> str:
    """Write a text that `check` let pass."""
    written = []
    for literal, name, spec, _ in Formatter().parse(text):
        written.append(literal)
        if name is not None:
            written.append(_shown(values.get(name), spec or ""))
    return "".join(written)


def _shown(value: Any, spec: str) -> str:
    if value is None:
        return UNKNOWN
    if spec:
        try:
            return format(value, spec)
        except ValueError:  # an integer's letter for a number that is none
            return str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
