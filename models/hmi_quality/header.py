"""What an HMI header says of quality: the bits of QUALITY in level 1.5 files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from observatory.analysis import Cause

_STATED = 4.0  # how far beyond the threshold a cause lies that the archive itself states: score 0.015


def quality_word(header: Mapping[str, Any]) -> int | None:
    """QUALITY as 32 bits; None when the header has none that can be read.

    FITS files keep it as a signed number, exports of keywords as hexadecimal text.
    """
    value = header.get("QUALITY")
    if isinstance(value, str):
        try:
            value = int(value, 0)
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value & 0xFFFFFFFF if isinstance(value, int) and not isinstance(value, bool) else None


def causes_of(header: Mapping[str, Any], bits: Mapping[str, str]) -> dict[Cause, float]:
    """Causes that a header states, with how far beyond its threshold each lies.

    Parameters
    ----------
    bits : Mapping[str, str]
        Number of a bit to the cause that it stands for.
    """
    word = quality_word(header) or 0
    return {Cause(name): _STATED for number, name in bits.items() if word >> int(number) & 1}
