"""The QUALITY word in the headers of SDO's instruments, HMI and AIA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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


def stated_bits(header: Mapping[str, Any], bits: Mapping[str, str]) -> list[tuple[int, str]]:
    """Those of the known bits that are set, each with what it stands for.

    Parameters
    ----------
    header : mapping
    bits : mapping of str to str
        Number of a bit to what it stands for.
    """
    word = quality_word(header) or 0
    return [(int(number), name) for number, name in bits.items() if word >> int(number) & 1]
