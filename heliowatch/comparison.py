"""Two answers to one question, number by number, with the difference that each may have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SAME_DEVICE = 1e-6
"""Default on the CPU: scores are kept with six decimals, and the same network on another processor of the
kind adds in another order, which moves a number by some 1e-7 of itself."""
OTHER_DEVICE = 1e-3
"""Default on any other device, which computes in other precisions."""
_SLACK = 1 + 1e-9  # two decimals apart by one unit of the last place are so within rounding
_COARSE = {"probability": 1e-4}  # of causes: kept with four decimals
_COARSE |= dict.fromkeys(("x_nt", "y_nt", "z_nt"), 2e-3)  # of a disturbance: kept with three decimals
_SKY = re.compile(r"(probabilities\..+|aurora_probability|cloud_sectors\[\d+\])")
_OF_SKY = 1e-5
"""Of a sky's probabilities: an exponential stands before them, which makes differences some ten times larger."""

_KINDS = (
    "labels, words, whole numbers and what is there at all: exactly",
    "scores, p-values, fractions and measures: {tolerance:g}, of numbers above 1 the same share",
    "probabilities of causes: {coarse:g} at least, as they are kept with four decimals",
    "probabilities of a sky: {sky:g} at least; disturbances: {field:g} nT at least",
)


def explained(tolerance: float) -> list[str]:
    """What may differ and by how much, in words."""
    limits = {"coarse": _COARSE["probability"], "sky": _OF_SKY, "field": _COARSE["x_nt"]}
    return [words.format(tolerance=tolerance, **limits) for words in _KINDS]


@dataclass(frozen=True)
class Compared:
    """One value, then and now.

    Attributes
    ----------
    name : str
        Where it stands, such as ``causes[0].probability``.
    allowed : float or None
        Largest difference of a number; None for what must be the same.
    difference : float or None
        Of two numbers.
    """

    name: str
    then: Any
    now: Any
    allowed: float | None = None
    difference: float | None = None

    @property
    def is_same(self) -> bool:
        """Whether the two agree."""
        if self.allowed is None or self.difference is None:
            return type(self.then) is type(self.now) and bool(self.then == self.now)
        return self.difference <= self.allowed * _SLACK


_ABSENT = "(absent)"


def compare(then: Any, now: Any, tolerance: float, name: str = "") -> Iterator[Compared]:
    """Compare two JSON values in all their parts."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then, *now}):
            inner = f"{name}.{key}" if name else str(key)
            yield from compare(then.get(key, _ABSENT), now.get(key, _ABSENT), tolerance, inner)
    elif _is_list(then) and _is_list(now):
        if len(then) != len(now):
            yield Compared(f"{name}.length", len(then), len(now))
        for place, (first, second) in enumerate(zip(then, now, strict=False)):
            yield from compare(first, second, tolerance, f"{name}[{place}]")
    elif _is_real(then) and _is_real(now):
        yield _numbers(name, then, now, tolerance)
    else:
        yield Compared(name, then, now)


def _numbers(name: str, then: float, now: float, tolerance: float) -> Compared:
    if isinstance(then, int) and isinstance(now, int):
        return Compared(name, then, now)
    if math.isnan(then) and math.isnan(now):
        return Compared(name, then, now, tolerance, 0.0)
    coarse = _OF_SKY if _SKY.fullmatch(name) else _COARSE.get(name.rpartition(".")[2], 0.0)
    allowed = max(tolerance * max(1.0, abs(then)), coarse)
    return Compared(name, then, now, allowed, abs(then - now))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
