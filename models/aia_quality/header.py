"""What a header says of a frame's quality: the bits of QUALITY and the keywords behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.sdo_quality_word import stated_bits
from models.thresholds import PLAIN
from observatory.analysis import Cause

_LIGHT_MISSING = 1.2  # more than 1 % missing: just beyond our own threshold
_KEYWORDS = (
    ("ACS_ECLP", "YES", Cause.ECLIPSE),
    ("ACS_SUNP", "NO", Cause.NO_TARGET),
    ("ACS_SAFE", "YES", Cause.NO_TARGET),
    ("IMG_TYPE", "DARK", Cause.LENS_CAP),
    ("AISTATE", "OPEN", Cause.TRACKING),
)


def causes_of(header: Mapping[str, Any], bits: Mapping[str, str], *, is_whole: bool) -> dict[Cause, float]:
    """Causes that a header states, with how far beyond its threshold each lies.

    Parameters
    ----------
    bits : Mapping[str, str]
        Number of a bit to the cause that it stands for.
    is_whole : bool
        Whether the frame is as large as the header's counts of values mean; cut-outs are not.
    """
    found: dict[Cause, float] = {}

    def state(cause: Cause, ratio: float) -> None:
        found[cause] = max(found.get(cause, 0.0), ratio)

    for number, name in stated_bits(header, bits):
        state(Cause(name), _LIGHT_MISSING if number == 9 else PLAIN)
    for key, value, cause in _KEYWORDS:
        if str(header.get(key, "")).strip().upper() == value:
            state(cause, PLAIN)
    total, missing = header.get("TOTVALS"), header.get("MISSVALS")
    if is_whole and isinstance(total, int) and isinstance(missing, int) and 0 < missing <= total:
        ratio = missing / total / 0.01
        if ratio >= 1.0:
            state(Cause.MISSING_DATA, ratio)
    return found
