"""Numbers in words, as people read them on pages and in terminals."""

from __future__ import annotations

_UNITS = (("y", 31_557_600), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # years as IAU counts them


def counted(number: int, noun: str) -> str:
    """Number with its noun, such as ``1 frame`` and ``2 frames``."""
    return f"{number} {noun if number == 1 else f'{noun}s'}"


def seconds(value: float) -> str:
    """Duration with a fitting precision."""
    if value < 1e-3:
        return f"{value * 1e6:.3g} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.0f} s" if value >= 10 else f"{value:.2f} s"


def lasting(value: float) -> str:
    """Length of time in its two largest units, such as ``7 min``, ``2 h 5 min``, ``3 d 4 h``, ``11 y 105 d``."""
    if value < 60:
        return seconds(max(value, 0.0))
    whole = round(value)
    place = next(number for number, (_, size_s) in enumerate(_UNITS) if whole >= size_s)
    parts = []
    for unit, size_s in _UNITS[place : place + 2]:
        count, whole = divmod(whole, size_s)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)
