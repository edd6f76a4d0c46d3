"""The values of settings one by one, by their full names, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

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


def meant(kind: Any, place: Sequence[int | str]) -> str:
    """What somebody may have meant by a name that gives no setting, else the names that there are.

    Parameters
    ----------
    kind : type
        Of the settings.
    place : sequence
        The wrong name, after those of the groups that it stands in.
    """
    *groups, name = place
    known = list(dict.fromkeys(_names(kind, groups)))
    close = get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _names(kind: Any, groups: Sequence[int | str]) -> Iterator[str]:
    """Names of the settings in a group of a type, through its lists, unions and mappings."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        for inner in get_args(kind):
            yield from _names(inner, groups)
            yield from _names(inner, groups[1:]) if groups else ()
    elif not groups:
        yield from kind.model_fields
    elif groups[0] in kind.model_fields:
        yield from _names(kind.model_fields[str(groups[0])].annotation, groups[1:])
