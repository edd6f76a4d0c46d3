"""Enhancements of frames: what was made of each, in numbers; and the numbers over time."""

from __future__ import annotations

import math
from typing import Any

from observatory.analysis import Enhancement

ANALYSIS = "enhancement"
"""Name of the finding. Its payload is `enhancement_payload`, ``{"refused": why}`` or ``{"skipped": why}``."""

NUMBERS = (
    "contrast_before",
    "contrast_after",
    "unsigned_flux_before_mx",
    "unsigned_flux_after_mx",
    "residual",
    "noise",
    "trusted_fraction",
)
"""Fields of `observatory.analysis.EnhancementNumbers` in the order of tables."""

_DIGITS = 6


def enhancement_payload(enhancement: Enhancement) -> dict[str, Any]:
    """What a result keeps of an enhancement; its pixels are a product of the frame.

    Returns
    -------
    dict
        ``quantity``, ``model`` (label), ``window_px`` [x0, y0, x1, y1] and `NUMBERS`, to six digits; None
        for a number that there is not.
    """
    numbers = enhancement.numbers
    return {
        "quantity": enhancement.quantity.value,
        "model": enhancement.model.label,
        "window_px": [int(edge) for edge in enhancement.window_px],
        **{name: _plain(getattr(numbers, name)) for name in NUMBERS},
    }


def _plain(value: Any) -> float | None:
    """Six digits; None for what is no number, which JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(f"{float(value):.{_DIGITS}g}")
