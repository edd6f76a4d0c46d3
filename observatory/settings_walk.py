"""The values of settings one by one, by their full names, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = {"_s": 1e9, "_days": 36_525.0}  # 30 and 100 years: sums with them stay inside Python's calendar


def walk(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names such as ``service.port``, and their values; an empty group is a value."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from walk(value, f"{name}.")
        else:
            yield name, value


def check_lengths(values: Mapping[str, Any]) -> None:
    """Refuse lengths of time that no clock can wait for and no calendar subtract, such as ``.inf``.

    Raises
    ------
    ValueError
        Which names the first one, and the most that may be given.
    """
    for name, value in walk(values):
        most = next((most for unit, most in _LONGEST.items() if name.endswith(unit)), None)
        if most is not None and isinstance(value, int | float) and not value <= most:
            raise ValueError(f"{name}: {value:g} is too long; at most {most:.0f}")
